"""What holds a run back, in words: whoever reads them knows whether more concurrency would help."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling import lane

from pipeline.core.ports import HeldBy, Hold, LaneState
from pipeline.view.hold import (
    Flight,
    hold_text,
    hold_words,
    lane_object,
    measured_text,
    run_text,
    run_words,
    widest,
)

NOBODY = Flight(n=0)


@pytest.mark.parametrize(
    ("by", "limits", "text", "words"),
    [
        (
            HeldBy.NOTHING,
            {"per_minute": 600.0, "window": 64},
            "held back by nothing (limits: 600 a minute, as told, 64 at once)",
            "limit 600/min",
        ),
        (HeldBy.NOTHING, {}, "held back by nothing", None),
        (
            HeldBy.PACE,
            {"per_minute": 588.0, "is_measured": True},
            "held back by the pace: 580 a minute, measured; more concurrency would not help",
            "pace 580/min measured",
        ),
        (
            HeldBy.PACE,
            {"per_minute": 6000.0},
            "held back by the pace: 6,000 a minute, as told; more concurrency would not help",
            "pace 6,000/min",
        ),
        (
            HeldBy.PACE,
            {},
            "held back by the pace; more concurrency would not help",
            "held by the pace",
        ),
        (
            HeldBy.WINDOW,
            {"window": 64},
            "held back by the window: 64 in flight; more concurrency would help",
            "window 64, more would help",
        ),
        (
            HeldBy.WINDOW,
            {"window": 24, "is_measured": True, "per_minute": 600.0},
            "held back by the window: 24 in flight, measured; more concurrency would not help",
            "window 24 measured",
        ),
        (
            HeldBy.GATE,
            {"until_s": 12.0},
            "refused by the provider, waiting 12 s",
            "refused by the provider, waiting 12 s",
        ),
        (
            HeldBy.GATE,
            {},
            "refused by the provider, waiting",
            "refused by the provider, waiting",
        ),
        (
            HeldBy.SICK,
            {"until_s": 4.2},
            "the endpoint is unwell: one request at a time tries it, next in 4 s",
            "endpoint unwell, next in 4 s",
        ),
        (
            HeldBy.DISK,
            {},
            "held back by the disk; more concurrency would not help",
            "held by the disk",
        ),
        (
            HeldBy.BUDGET,
            {},
            "held back by the budget: what is in flight may cost all that is left of it",
            "held by the budget",
        ),
        (HeldBy.END, {}, "nothing left to send", "nothing left to send"),
    ],
)
def test_a_hold_in_words(by: HeldBy, limits: dict[str, Any], text: str, words: str | None) -> None:
    hold = Hold(by=by, **limits)
    assert (hold_text(hold, NOBODY), hold_words(hold, NOBODY)) == (text, words)


@pytest.mark.parametrize(
    ("flight", "tail"),
    [
        (Flight(n=3, oldest_s=41.2), ": 3 in flight, the oldest for 41 s"),
        (Flight(n=1, oldest_s=133.0), ": 1 in flight, the oldest for 2 min 13 s"),
        (Flight(n=0, oldest_s=9.0, n_waiting=2), ": 2 tasks to be tried again"),
        (
            Flight(n=1, oldest_s=9.0, n_waiting=1),
            ": 1 in flight, the oldest for 9 s, 1 task to be tried again",
        ),
    ],
)
def test_at_the_end_it_says_what_is_waited_for(flight: Flight, tail: str) -> None:
    hold = Hold(by=HeldBy.END)
    assert hold_text(hold, flight) == f"nothing left to send{tail}"
    assert hold_words(hold, flight) == f"the last{tail}"


def test_the_limit_is_told_also_where_something_else_holds_the_run_back() -> None:
    only = [lane(HeldBy.WINDOW, window=64, per_minute=600.0)]
    assert run_text(only, NOBODY) == (
        "held back by the window: 64 in flight; more concurrency would help;"
        " limit 600 a minute, as told"
    )
    only = [lane(HeldBy.PACE, per_minute=600.0)]
    assert str(run_text(only, NOBODY)).count("600 a minute") == 1


def test_several_lanes_are_summed_up_and_the_widest_is_told() -> None:
    lanes = [
        lane(HeldBy.GATE, "a", per_minute=900.0, until_s=9.0),
        lane(HeldBy.PACE, "b\x1b[2J", per_minute=300.0),
        lane(HeldBy.WINDOW, "c", per_minute=150.0, window=8),
    ]
    assert widest(lanes) is lanes[1]
    assert run_text(lanes, NOBODY) == (
        "3 lanes, 1,350 a minute in all; the widest, b [2J,"
        " held back by the pace: 300 a minute, as told; more concurrency would not help"
    )
    assert run_words(lanes, NOBODY) == "3 lanes, b [2J: pace 300/min"
    lanes.append(lane(HeldBy.NOTHING, "d"))
    assert run_text(lanes, NOBODY) == "4 lanes; the widest, d, held back by nothing"
    assert run_words(lanes, NOBODY) is None


def test_what_holds_the_whole_run_is_told_of_no_lane() -> None:
    lanes = [lane(HeldBy.END, "a"), lane(HeldBy.END, "b")]
    assert run_text(lanes, Flight(n=2, oldest_s=5.0)) == (
        "nothing left to send: 2 in flight, the oldest for 5 s"
    )
    assert run_words(lanes, NOBODY) == "nothing left to send"


def test_without_lanes_nothing_is_said() -> None:
    assert widest(()) is None
    assert run_text((), NOBODY) is run_words((), NOBODY) is measured_text(()) is None


@pytest.mark.parametrize(
    ("lanes", "told"),
    [
        (
            [lane(HeldBy.END, per_minute=1176.0, is_measured=True)],
            (
                "the provider lets through about 1,170 a minute:"
                " limits.requests_per_minute: 1170 saves the finding out"
            ),
        ),
        (
            [lane(HeldBy.WINDOW, window=24, is_measured=True)],
            (
                "the provider takes about 24 requests at once:"
                " limits.concurrency: 24 saves the finding out"
            ),
        ),
        (
            [
                lane(HeldBy.PACE, "a", per_minute=19.63, is_measured=True),
                lane(HeldBy.PACE, "b", per_minute=600.0),
            ],
            (
                "a lets through about 19.6 a minute:"
                " limits.requests_per_minute: 19.6 saves the finding out"
            ),
        ),
        (
            [
                lane(HeldBy.PACE, "a", per_minute=588.0, is_measured=True),
                lane(HeldBy.PACE, "b", per_minute=109.9, is_measured=True),
            ],
            (
                "the providers let through, a minute, about a 580, b 109:"
                " limits.requests_per_minute in their profiles saves the finding out"
            ),
        ),
        ([lane(HeldBy.PACE, per_minute=600.0), lane(HeldBy.WINDOW, window=64)], None),
    ],
)
def test_what_was_measured_is_told_in_one_line(lanes: list[LaneState], told: str | None) -> None:
    assert measured_text(lanes) == told


@given(st.floats(min_value=1.0, max_value=1e6))
def test_a_measured_limit_is_told_at_most_two_percent_below_what_it_is(per_minute: float) -> None:
    told = measured_text([lane(HeldBy.PACE, per_minute=per_minute, is_measured=True)])
    assert told
    number = float(told.split("requests_per_minute: ")[1].split()[0])
    assert 0.98 * per_minute - 0.01 <= number <= per_minute + 1e-6


def test_a_lane_for_programs_has_plain_words_and_round_numbers() -> None:
    told = lane_object(lane(HeldBy.GATE, until_s=1.23456, per_minute=588.00001, window=64))
    assert told == {
        "lane": "knox",
        "in_flight": 64,
        "held_by": "gate",
        "until_s": 1.235,
        "requests_per_minute": 588.0,
        "window": 64,
        "measured": False,
    }
