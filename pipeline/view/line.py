"""How a run goes on, in one line for a terminal, one for a log, or as an object for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.view.hold import Flight, lane_object, run_text, run_words, widest
from pipeline.view.wording import clock, duration, money, rate, short_rate

if TYPE_CHECKING:
    from pipeline.view.tally import Tally

_BETWEEN = " · "


def live_words(tally: Tally, now: float, *, n_columns: int) -> str:
    """The words of the live line; those that matter most are there as far as they fit."""
    eta_s = tally.eta_s(now)
    failed = tally.failed_before + tally.failed
    # In the order in which they stand, each with how much it matters.
    ranked = [
        (f"made {tally.made_in_all}/{tally.wanted}", 8),
        (f"failed {failed}", 5 if failed else 1),
        (f"in flight {tally.in_flight}", 2),
        (short_rate(tally.images_per_s(now)), 6),
        (run_words(tally.lanes, _flight(tally, now)), 7),
        (f"ETA {'?' if eta_s is None else clock(eta_s)}", 4),
        (money(tally.cost_usd), 3),
    ]
    words = [(word, rank) for word, rank in ranked if word]
    left, chosen = n_columns + len(_BETWEEN), set[str]()
    for word, _ in sorted(words, key=lambda one: -one[1]):
        if (width := len(word) + len(_BETWEEN)) <= left or not chosen:
            chosen.add(word)
            left -= width
    return _BETWEEN.join(word for word, _ in words if word in chosen)


def plain_line(tally: Tally, now: float) -> str:
    """The line of a log."""
    eta_s = tally.eta_s(now)
    held = run_text(tally.lanes, _flight(tally, now))
    return (
        f"made {tally.made_in_all} of {tally.wanted}, failed {tally.failed_before + tally.failed},"
        f" {tally.in_flight} in flight, {rate(tally.images_per_s(now))},"
        f" {'no end in sight yet' if eta_s is None else f'{duration(eta_s)} to go'},"
        f" {money(tally.cost_usd)}{f'; {held}' if held else ''}"
    )


def progress_object(tally: Tally, now: float) -> dict[str, Any]:
    """The object of a ``progress`` event. ``held_by`` is the widest of the ``lanes``' reason."""
    eta_s, oldest_s, lane = tally.eta_s(now), tally.oldest_s(now), widest(tally.lanes)
    return {
        "event": "progress",
        "wanted": tally.wanted,
        "made": tally.made_in_all,
        "failed": tally.failed_before + tally.failed,
        "in_flight": tally.in_flight,
        "oldest_s": None if oldest_s is None else round(oldest_s, 1),
        "images_per_s": round(tally.images_per_s(now), 3),
        "eta_s": None if eta_s is None else round(eta_s, 1),
        "cost_usd": round(tally.cost_usd, 6),
        "held_by": lane_object(lane)["held_by"] if lane else None,
        "lanes": [lane_object(one) for one in tally.lanes],
    }


def _flight(tally: Tally, now: float) -> Flight:
    return Flight(n=tally.in_flight, oldest_s=tally.oldest_s(now), n_waiting=tally.waiting)
