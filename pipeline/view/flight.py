"""What is out while a run goes on: each request with its age, and how the lanes stand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.view.hold import Flight, hold_text, limit_text, name_of
from pipeline.view.wording import printable, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.ports import LaneState

_SHOWN = 8
_PROMPT_CHARACTERS = 40
_MODEL_CHARACTERS = 32


class Attempt(Protocol):
    """An attempt that is out, whose end nobody knows, or that ended without an answer."""

    def told(self) -> dict[str, Any]:
        """``id``, ``attempt``, ``run``, ``at``, ``model``, ``prompt`` (how it begins).

        And ``request_id``, None where no reply came.
        """


def flight_lines(
    out: Sequence[Attempt], lanes: Sequence[LaneState], now: datetime
) -> Iterator[str]:
    """How many are out, the oldest of them one by one, then a line a lane."""
    told = [out_object(one, now) for one in out]
    yield f"in flight {len(told)}" + (_for(told[0]["for_s"], "the oldest ") if told else "")
    yield from map(_line, told[:_SHOWN])
    if len(told) > _SHOWN:
        yield f"  and {len(told) - _SHOWN:,} more (--json)"
    yield from map(_lane, lanes)


def out_object(attempt: Attempt, now: datetime) -> dict[str, Any]:
    """An attempt for programs: what it tells of itself, and ``for_s``, None where nobody knows."""
    told = attempt.told()
    return told | {"for_s": _since_s(told["at"], now)}


def _line(told: dict[str, Any]) -> str:
    words = [f"  task {printable(told['id'])}{_for(told['for_s'])}"]
    words += [f"attempt {told['attempt']}"] if told["attempt"] > 1 else []
    words += filter(None, [printable(told["model"], at_most=_MODEL_CHARACTERS)])
    prompt = printable(told["prompt"], at_most=_PROMPT_CHARACTERS)
    return ", ".join(words) + (f": {prompt}" if prompt else "")


def _lane(lane: LaneState) -> str:
    """``knox: 64 in flight, held back by …``; its limit also where something else holds it."""
    held = f"{hold_text(lane.hold, Flight(n=0))}{limit_text(lane.hold)}"
    return f"{name_of(lane)}: {lane.in_flight:,} in flight, {held}"


def _since_s(at: str, now: datetime) -> float | None:
    try:
        return round(max(0.0, (now - datetime.fromisoformat(at)).total_seconds()), 1)
    except (ValueError, TypeError):
        return None


def _for(number_s: float | None, what: str = "") -> str:
    return "" if number_s is None else f", {what}for {seconds(number_s)}"
