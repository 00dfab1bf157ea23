"""Answers that no retry would change: what ends, the run or its model, and what a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum

from pipeline.errors import Guarded, Misconfigured, NotAllowed, Stop, Unreachable


class Halt(Enum):
    """Why no other task would fare better."""

    KEY = "key"
    CREDIT = "credit"
    PERMISSION = "permission"
    MODEL = "model"
    MODALITIES = "modalities"
    PATH = "path"
    REDIRECT = "redirect"
    QUOTA = "quota"
    WALL = "wall"

    @property
    def is_of_the_model(self) -> bool:
        """Whether tasks of another model may fare better."""
        return self in {Halt.PERMISSION, Halt.MODEL, Halt.MODALITIES}


_STOPS: dict[Halt, tuple[type[Stop], str]] = {
    Halt.KEY: (NotAllowed, "the provider refuses this key. Check the key, then run again"),
    Halt.CREDIT: (
        NotAllowed,
        "the provider wants payment. Add credit, or lower params.max_tokens, then run again",
    ),
    Halt.PERMISSION: (
        NotAllowed,
        "this key may not use this model. Allow the model for the key, or choose another model",
    ),
    Halt.MODEL: (Misconfigured, "the provider cannot serve this model. See: imagebatch models"),
    Halt.MODALITIES: (
        Misconfigured,
        "this model gives other modalities than params asks for. See: imagebatch models",
    ),
    Halt.PATH: (
        Misconfigured,
        "there is no such API at this address. Check base_url and dialect in the profile",
    ),
    Halt.REDIRECT: (
        Misconfigured,
        "the provider redirects, which is never followed. Set the profile's base_url right",
    ),
    Halt.QUOTA: (Guarded, "the daily quota is used up. Run again when it resets"),
    Halt.WALL: (
        Unreachable,
        "a firewall answers in the provider's place. Check base_url, or try another network",
    ),
}
_LONGEST_TOLD = 2_000
_LONGEST_QUOTA_S = 400 * 86_400.0


def stop_of(halt: Halt, told: str, *, alternatives: tuple[str, ...] = (), resets: str = "") -> Stop:
    """What to do, then what the provider said: ``told``, the key taken out of it."""
    kind, what_to_do = _STOPS[halt]
    instead = f" Available instead: {', '.join(map(_line, alternatives))}." if alternatives else ""
    return kind(f"{what_to_do}{resets}.{instead} It said: {_line(told[:_LONGEST_TOLD])}")


def _line(told: str) -> str:
    """As one line: none of them may look like one of ours."""
    return " ".join(told.split())


def reset_at(arrived_at: float | None, wait_s: float | None) -> str:
    """When a daily quota comes back, in words: as the server hints, else the next midnight UTC.

    ``arrived_at``: when the server said so, in seconds since the epoch.
    """
    if arrived_at is None:
        return " (midnight UTC)"
    instant = datetime.fromtimestamp(arrived_at, UTC)
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    at = instant + timedelta(seconds=min(wait_s, _LONGEST_QUOTA_S)) if wait_s else midnight
    return f", at {at:%Y-%m-%d %H:%M} UTC"
