"""What holds a run back now, and whether more concurrency would help, in words and for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.core.ports import HeldBy
from pipeline.view.wording import count, printable, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.ports import Hold, LaneState

_NAME_CHARACTERS = 24
_OF_THE_RUN = {HeldBy.END, HeldBy.BUDGET, HeldBy.DISK}
_PAUSED = {HeldBy.SICK, HeldBy.GATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What is out: how many requests, the oldest for how long (seconds), how many tasks wait."""

    n: int
    oldest_s: float | None = None
    n_waiting: int = 0


def widest(lanes: Sequence[LaneState]) -> LaneState | None:
    """The lane through which the most can go now; None where there are no lanes."""
    return max(lanes, key=_width, default=None)


def run_text(lanes: Sequence[LaneState], flight: Flight) -> str | None:
    """What holds a run back, several lanes summed up; None where nobody knows."""
    lane = widest(lanes)
    if lane is None:
        return None
    text = hold_text(lane.hold, flight)
    if len(lanes) == 1:
        return f"{text}{limit_text(lane.hold)}"
    if lane.hold.by in _OF_THE_RUN:
        return text
    return f"{_in_all(lanes)}; the widest, {name_of(lane)}, {text}"


def run_words(lanes: Sequence[LaneState], flight: Flight) -> str | None:
    """The same in a few words, for the live line."""
    lane = widest(lanes)
    if lane is None:
        return None
    words = hold_words(lane.hold, flight)
    is_several = len(lanes) > 1 and lane.hold.by not in _OF_THE_RUN
    return f"{len(lanes)} lanes, {name_of(lane)}: {words}" if is_several and words else words


def hold_text(hold: Hold, flight: Flight) -> str:
    """``held back by the pace: 580 a minute, measured; more concurrency would not help``."""
    return _TEXTS[hold.by](hold, flight)


def hold_words(hold: Hold, flight: Flight) -> str | None:
    """``pace 580/min measured``, ``window 64, more would help``; None where nothing is to say."""
    return _WORDS[hold.by](hold, flight)


def pace_text(hold: Hold) -> str:
    """``580 a minute, measured`` or ``600 a minute, as told``; only where there is a pace."""
    if _is_pace_measured(hold):
        return f"{_pace(hold)} a minute, measured"
    return f"{_pace(hold)} a minute{'' if hold.is_measured else ', as told'}"


def limit_text(hold: Hold) -> str:
    """``; limit 580 a minute, measured``, where there is a pace and :func:`hold_text` has none."""
    is_due = hold.per_minute and hold.by not in {HeldBy.PACE, HeldBy.NOTHING}
    return f"; limit {pace_text(hold)}" if is_due else ""


def name_of(lane: LaneState) -> str:
    """Its name, safe on a terminal and not too long."""
    return printable(lane.lane, at_most=_NAME_CHARACTERS)


def measured_text(lanes: Sequence[LaneState]) -> str | None:
    """The limits that were found out, and what saves finding them out again; None: none was."""
    paces = {name_of(one): _pace(one.hold) for one in lanes if _is_pace_measured(one.hold)}
    windows = [one.hold for one in lanes if _is_window_measured(one.hold)]
    if len(paces) > 1:
        each = ", ".join(f"{name} {pace}" for name, pace in paces.items())
        where = "limits.requests_per_minute in their profiles"
        return f"the providers let through, a minute, about {each}: {where} saves the finding out"
    if paces:
        (name, pace), setting = *paces.items(), "limits.requests_per_minute"
        who = "the provider" if len(lanes) == 1 else name
        return (
            f"{who} lets through about {pace} a minute:"
            f" {setting}: {pace.replace(',', '')} saves the finding out"
        )
    if len(lanes) == len(windows) == 1:
        most = windows[0].window
        return (
            f"the provider takes about {most:,} requests at once:"
            f" limits.concurrency: {most} saves the finding out"
        )
    return None


def lane_object(lane: LaneState) -> dict[str, Any]:
    """A lane for programs; seconds, requests a minute, requests in flight."""
    hold = lane.hold
    return {
        "lane": lane.lane,
        "in_flight": lane.in_flight,
        "held_by": hold.by.name.lower(),
        "until_s": None if hold.until_s is None else round(hold.until_s, 3),
        "requests_per_minute": None if hold.per_minute is None else round(hold.per_minute, 3),
        "window": hold.window,
        "measured": hold.is_measured,
    }


def _width(lane: LaneState) -> tuple[bool, float, float, int]:
    hold = lane.hold
    pace = math.inf if hold.per_minute is None else hold.per_minute
    window = math.inf if hold.window is None else hold.window
    return hold.by not in _PAUSED, pace, window, lane.in_flight


def _in_all(lanes: Sequence[LaneState]) -> str:
    paces = [one.hold.per_minute for one in lanes]
    if None in paces:
        return f"{len(lanes)} lanes"
    return f"{len(lanes)} lanes, {_number(sum(filter(None, paces)))} a minute in all"


def _is_pace_measured(hold: Hold) -> bool:
    """What is measured is what binds: the window where that does, else the pace where one is."""
    return hold.is_measured and bool(hold.per_minute) and hold.by is not HeldBy.WINDOW


def _is_window_measured(hold: Hold) -> bool:
    return hold.is_measured and bool(hold.window) and not _is_pace_measured(hold)


def _found(hold: Hold) -> str:
    return " measured" if hold.is_measured else ""


def _nothing(hold: Hold, _: Flight) -> str:
    limits = [pace_text(hold)] if hold.per_minute else []
    limits += [] if hold.window is None else [f"{hold.window:,} at once"]
    told = f" (limits: {', '.join(limits)})" if limits else ""
    return f"held back by nothing{told}"


def _by_pace(hold: Hold, _: Flight) -> str:
    pace = f": {pace_text(hold)}" if hold.per_minute else ""
    return f"held back by the pace{pace}; more concurrency would not help"


def _by_window(hold: Hold, _: Flight) -> str:
    found, helps = (", measured", "not help") if hold.is_measured else ("", "help")
    window = "" if hold.window is None else f": {hold.window:,} in flight{found}"
    return f"held back by the window{window}; more concurrency would {helps}"


def _by_gate(hold: Hold, _: Flight) -> str:
    if hold.until_s is None:
        return "refused by the provider, waiting"
    return f"refused by the provider, waiting {seconds(hold.until_s)}"


def _sick(hold: Hold, _: Flight) -> str:
    return f"the endpoint is unwell: one request at a time tries it{_next(hold)}"


def _by_disk(_: Hold, __: Flight) -> str:
    return "held back by the disk; more concurrency would not help"


def _by_budget(_: Hold, __: Flight) -> str:
    return "held back by the budget: what is in flight may cost all that is left of it"


def _at_the_end(_: Hold, flight: Flight) -> str:
    return f"nothing left to send{_tail(flight)}"


_TEXTS: Mapping[HeldBy, Callable[[Hold, Flight], str]] = {
    HeldBy.NOTHING: _nothing,
    HeldBy.PACE: _by_pace,
    HeldBy.WINDOW: _by_window,
    HeldBy.GATE: _by_gate,
    HeldBy.SICK: _sick,
    HeldBy.DISK: _by_disk,
    HeldBy.BUDGET: _by_budget,
    HeldBy.END: _at_the_end,
}


def _limit_words(hold: Hold, _: Flight) -> str | None:
    return f"limit {_pace(hold)}/min" if hold.per_minute else None


def _pace_words(hold: Hold, _: Flight) -> str:
    return f"pace {_pace(hold)}/min{_found(hold)}" if hold.per_minute else "held by the pace"


def _window_words(hold: Hold, _: Flight) -> str:
    window = "window" if hold.window is None else f"window {hold.window:,}"
    return f"{window}{_found(hold) or ', more would help'}"


def _sick_words(hold: Hold, _: Flight) -> str:
    return f"endpoint unwell{_next(hold)}"


def _held_words(hold: Hold, _: Flight) -> str:
    return f"held by {hold.by}"


def _last_words(hold: Hold, flight: Flight) -> str:
    tail = _tail(flight)
    return f"the last{tail}" if tail else f"{hold.by}"


_WORDS: Mapping[HeldBy, Callable[[Hold, Flight], str | None]] = {
    HeldBy.NOTHING: _limit_words,
    HeldBy.PACE: _pace_words,
    HeldBy.WINDOW: _window_words,
    HeldBy.GATE: _by_gate,
    HeldBy.SICK: _sick_words,
    HeldBy.DISK: _held_words,
    HeldBy.BUDGET: _held_words,
    HeldBy.END: _last_words,
}


def _next(hold: Hold) -> str:
    return "" if hold.until_s is None else f", next in {seconds(hold.until_s)}"


def _tail(flight: Flight) -> str:
    """What is waited for at the end: ``: 3 in flight, the oldest for 41 s``."""
    told = [f"{flight.n:,} in flight"] if flight.n else []
    if flight.n and flight.oldest_s is not None:
        told.append(f"the oldest for {seconds(flight.oldest_s)}")
    if flight.n_waiting:
        told.append(f"{count(flight.n_waiting, 'task')} to be tried again")
    return f": {', '.join(told)}" if told else ""


def _pace(hold: Hold) -> str:
    """A told limit as it was told; a measured one a little below, in figures that mean something.

    At most 2 % below: 588 becomes 580, 19.63 becomes 19.6.
    """
    pace = hold.per_minute or 0.0
    if not _is_pace_measured(hold):
        return _number(pace)
    n_digits = 2 - math.floor(math.log10(2 * pace))
    return _number(math.floor(round(pace * 10**n_digits, 6)) / 10**n_digits)


def _number(value: float) -> str:
    return f"{round(value, 2):,.10g}"
