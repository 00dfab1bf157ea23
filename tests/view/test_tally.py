"""The tally adds up events, forgets old rates, and stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling import back, failed, made, sent, tried_again

from pipeline.core.model import Why
from pipeline.core.ports import Draining, Event, Held
from pipeline.view.tally import Percentiles, Rate, Tally


def _tally(**changes: int) -> Tally:
    return Tally(**({"wanted": 10} | changes), started_at=1000.0)


def test_events_add_up() -> None:
    tally = _tally(made_before=2, failed_before=1)
    events: list[Event] = [
        sent(),
        back(None),
        tried_again(Why.THROTTLED),
        sent(),
        back(0.01, is_maybe_billed=True),
        tried_again(Why.LOST),
        sent(),
        back(0.04),
        made(n_images=3),
        sent(),
        back(None),
        failed(why=Why.REFUSED, cost_usd=None),
        sent(),
        Held(wait_s=9),
    ]
    for event in events:
        tally.note(event, 1001.0)
    assert (tally.requests, tally.retries, tally.in_flight) == (5, 2, 1)
    assert (tally.made, tally.made_in_all, tally.failed, tally.images, tally.left) == (
        1,
        3,
        1,
        3,
        5,
    )
    assert tally.retries_by_why == {"throttled": 1, "lost": 1}
    assert (tally.cost_usd, tally.maybe_billed) == (0.05, 1)


def test_the_drain_says_what_is_in_flight() -> None:
    tally = _tally()
    tally.note(Draining(reason="Ctrl-C", in_flight=7, grace_s=60), 1000.0)
    assert tally.in_flight == 7


def test_the_oldest_request_is_the_one_that_is_out_longest() -> None:
    tally = _tally()
    assert tally.oldest_s(1000.0) is None
    for number in range(3):
        tally.note(sent(number), 1000.0 + number)
    assert (tally.oldest_s(1041.0), tally.waiting) == (41.0, 7)
    tally.note(back(), 1041.0)
    tally.note(made(0), 1041.0)
    assert tally.oldest_s(1041.0) == 40.0
    tally.note(back(), 1041.0)
    tally.note(tried_again(task_number=1), 1041.0)
    assert (tally.oldest_s(1041.0), tally.waiting) == (39.0, 8)
    tally.note(sent(1), 1042.0)
    assert tally.oldest_s(1042.0) == 40.0
    for number in (2, 1):
        tally.note(back(), 1043.0)
        tally.note(failed(number), 1043.0)
    assert (tally.oldest_s(1043.0), tally.waiting) == (None, 7)


def test_rates_are_those_of_the_last_minute_and_of_the_whole_run() -> None:
    tally = _tally(wanted=100)
    for second in range(10):
        tally.note(made(second, n_images=2), 1000.0 + second)
    assert tally.images_per_s(1010.0) == pytest.approx(2.0)
    assert tally.eta_s(1010.0) == pytest.approx(90.0)
    assert tally.images_per_s(1200.0) == 0.0
    assert tally.eta_s(1200.0) is None


@given(st.lists(st.floats(0.002, 3000), min_size=1, max_size=200), st.floats(0, 1))
def test_a_percentile_is_within_a_bucket_of_the_true_one(
    latencies_s: list[float], share: float
) -> None:
    at = Percentiles(latencies_s).at(share)
    place = max(0, -int(-share * len(latencies_s) // 1) - 1)
    assert at == pytest.approx(sorted(latencies_s)[place], rel=0.011)


def test_without_latencies_there_is_no_percentile_and_zero_is_no_trouble() -> None:
    assert Percentiles().at(0.5) is None
    assert Percentiles([0.0]).at(0.5) == pytest.approx(0.001, rel=0.011)


@given(st.lists(st.floats(0, 5), max_size=300))
def test_memory_does_not_grow_with_events(gaps_s: list[float]) -> None:
    rate, now = Rate(0.0), 0.0
    for gap_s in gaps_s:
        now += gap_s
        rate.note(1, now)
    assert len(rate._seconds) <= 62
