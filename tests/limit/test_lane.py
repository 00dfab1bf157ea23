"""The lane: a pace, a window and a gate, moved by what comes back."""

from __future__ import annotations

import random
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.admission import Ending
from pipeline.core.model import RateLimit
from pipeline.core.ports import HeldBy, Hold
from pipeline.limit.cooldown import LONGEST_COOLDOWN_S
from pipeline.limit.gauge import Gauge
from pipeline.limit.health import LONGEST_SICKNESS_S
from pipeline.limit.lane import Lane, Limits
from pipeline.limit.rate import FIRST_AT_ONCE, FIRST_PER_S, LEAST_PER_S, MARGIN, TOLD

if TYPE_CHECKING:
    from pipeline.core.admission import Ticket


def lane_of(
    concurrency: int = 100, per_minute: float | None = None, images: float | None = None
) -> Lane:
    return Lane(
        Limits(concurrency=concurrency, requests_per_minute=per_minute, images_per_minute=images)
    )


def fixed(concurrency: int = 100, per_minute: float | None = None) -> Lane:
    """A lane that does what it is told, and nothing else."""
    return Lane(Limits(concurrency=concurrency, requests_per_minute=per_minute, is_adaptive=False))


def next_leave(lane: Lane, now: float) -> tuple[Ticket, float]:
    """The next request leaves as soon as it may."""
    for _ in range(100):
        wait_s = lane.wait(now)
        if wait_s <= 0:
            return lane.leave(now), now
        assert wait_s < inf
        now += wait_s
    raise AssertionError(wait_s)


# What is told.


def test_a_told_pace_is_kept_from_the_first_request_on() -> None:
    lane = lane_of(per_minute=60)
    _, now = next_leave(lane, 10.0)
    _, now = next_leave(lane, now)
    assert now == pytest.approx(10 + 1 / TOLD)


def test_a_window_alone_lets_out_as_many_as_it_takes() -> None:
    lane = fixed(concurrency=2)
    first = lane.leave(0.0)
    assert lane.wait(0.0) == 0
    lane.leave(0.0)
    assert lane.wait(0.0) == inf
    lane.back(first, 1.0, Ending.OK)
    assert lane.wait(1.0) == 0


def test_a_timer_that_is_a_little_late_does_not_shift_the_schedule() -> None:
    lane = fixed(per_minute=60)
    lane.leave(0.0)
    lane.leave(1.04)
    assert lane.wait(1.04) == pytest.approx(0.96)


def test_an_idle_time_is_not_saved_up_for_a_burst() -> None:
    lane = fixed(per_minute=60)
    lane.leave(0.0)
    lane.leave(100.0)
    assert lane.wait(100.0) == pytest.approx(1.0)


def test_the_limit_in_a_replys_headers_is_kept_whatever_the_job_says() -> None:
    lane = lane_of(per_minute=600)
    lane.back(lane.leave(0.0), 1.0, Ending.OK, limit=RateLimit(per_minute=60))
    _, now = next_leave(lane, 5.0)
    assert next_leave(lane, now)[1] - now == pytest.approx(1 / MARGIN)


def test_headers_never_lift_the_pace_above_what_the_job_says() -> None:
    lane = lane_of(per_minute=60)
    lane.back(lane.leave(0.0), 1.0, Ending.OK, limit=RateLimit(per_minute=6_000))
    _, now = next_leave(lane, 5.0)
    assert next_leave(lane, now)[1] - now == pytest.approx(1 / TOLD)


def test_an_older_replys_header_never_overrides_a_newer_ones() -> None:
    lane = lane_of()
    older, now = next_leave(lane, 0.0)
    newer, now = next_leave(lane, now)
    lane.back(newer, 2.0, Ending.OK, limit=RateLimit(per_minute=60))
    lane.back(older, 3.0, Ending.OK, limit=RateLimit(per_minute=6_000))
    _, now = next_leave(lane, 5.0)
    assert next_leave(lane, now)[1] - now == pytest.approx(1 / MARGIN)


def test_images_a_minute_are_paced_by_what_the_last_replies_brought() -> None:
    lane, now = lane_of(images=60), 0.0
    for _ in range(200):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.OK, n_images=4)
    _, now = next_leave(lane, now)
    assert next_leave(lane, now)[1] - now == pytest.approx(4, rel=0.1)


def test_what_brought_no_image_takes_up_nothing_of_the_images_pace() -> None:
    lane = lane_of(images=60)
    lane.back(lane.leave(0.0), 0.1, Ending.FAULT)
    assert lane.wait(0.1) < 0.1


# Refusals.


def test_one_hint_holds_everyone_back() -> None:
    lane = lane_of()
    lane.back(lane.leave(0.0), 1.0, Ending.REFUSED, retry_after_s=7.0)
    assert lane.wait(1.0) == 7.0


def test_an_overloaded_server_that_gives_a_hint_holds_everyone_back_too() -> None:
    lane = lane_of()
    lane.back(lane.leave(0.0), 1.0, Ending.FAULT, retry_after_s=3.0)
    assert lane.wait(2.0) == 2.0


def test_a_shorter_hint_does_not_open_a_gate_that_a_longer_one_closed() -> None:
    lane = fixed()
    first, second = lane.leave(0.0), lane.leave(0.0)
    lane.back(first, 1.0, Ending.REFUSED, retry_after_s=10.0)
    lane.back(second, 1.0, Ending.REFUSED, retry_after_s=1.0)
    assert lane.wait(1.0) == 10.0


def test_after_a_cooldown_the_first_goes_alone_until_it_is_answered() -> None:
    lane = lane_of()
    lane.back(lane.leave(0.0), 1.0, Ending.REFUSED, retry_after_s=2.0)
    probe = lane.leave(3.0)
    assert lane.wait(3.5) > 0
    lane.back(probe, 3.6, Ending.OK)
    assert lane.wait(3.6) == 0


def test_after_a_cooldown_a_slow_answer_does_not_hold_everyone() -> None:
    lane = lane_of()
    lane.back(lane.leave(0.0), 0.1, Ending.REFUSED, retry_after_s=2.0)
    lane.leave(3.0)
    assert lane.wait(3.31) == 0  # a refusal would have been back by now, three times over


def test_without_limits_of_its_own_a_lane_doubles_the_cooldown_while_nothing_gets_through() -> None:
    lane, now, waits = fixed(), 0.0, []
    for _ in range(12):
        lane.back(lane.leave(now), now, Ending.REFUSED)
        waits.append(lane.wait(now))
        now += waits[-1]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[4:9] == [10] * 5  # most providers count by the minute
    assert waits[-1] == LONGEST_COOLDOWN_S


def test_refusals_of_one_volley_are_one_piece_of_news() -> None:
    lane = lane_of(per_minute=6_000)
    volley, now = [], 0.0
    for _ in range(10):
        ticket, now = next_leave(lane, now)
        volley.append(ticket)
    lane.back(volley[0], 0.5, Ending.REFUSED)
    pace = lane.holding(0.5).per_minute
    for ticket in volley[1:]:
        lane.back(ticket, 0.5, Ending.REFUSED)
    assert lane.holding(0.5).per_minute == pace


def test_a_refusal_that_speaks_of_concurrency_sets_the_window_and_leaves_the_pace() -> None:
    lane, now, tickets = lane_of(per_minute=600), 0.0, []
    for _ in range(9):
        ticket, now = next_leave(lane, now)
        tickets.append(ticket)
    lane.back(tickets[-1], now, Ending.REFUSED, label="Too many concurrent requests")
    hold = lane.holding(now)
    assert (hold.by, hold.window, hold.per_minute) == (HeldBy.GATE, 8, 600)
    assert lane.wait(now + 100) == inf


def test_three_refusals_at_one_number_in_flight_show_a_window_without_a_word() -> None:
    lane, now, n_refused = lane_of(), 0.0, 0
    for _ in range(2):
        _, now = next_leave(lane, now)
    while lane.wait(now) < inf:
        ticket, now = next_leave(lane, now)
        now += 0.05
        lane.back(ticket, now, Ending.REFUSED)
        n_refused += 1
    assert n_refused == 3
    assert lane.holding(now + 100) == Hold(by=HeldBy.WINDOW, window=2, is_measured=True)


def test_a_measured_window_is_felt_for_again_after_a_while() -> None:
    lane, now, tickets = lane_of(), 0.0, list[Any]()
    for _ in range(5):
        ticket, now = next_leave(lane, now)
        tickets.append(ticket)
    lane.back(tickets.pop(), now, Ending.REFUSED, label="concurrency limit reached")
    for _ in range(200):
        lane.back(tickets.pop(0), now, Ending.OK)
        while lane.wait(now) < inf:
            ticket, now = next_leave(lane, now)
            tickets.append(ticket)
        now += 1.0
    assert lane.holding(now).window == 100


def test_an_average_that_two_paces_have_in_common_is_the_limit() -> None:
    lane, now, tokens, n_in, left_at = lane_of(), 0.0, 10.0, 0, 0.0
    for _ in range(2_000):
        ticket, now = next_leave(lane, now)
        tokens = min(10.0, tokens + (now - left_at) * 5) - 1
        left_at = now
        is_in = tokens >= 0
        n_in += is_in
        tokens += not is_in
        lane.back(ticket, now, Ending.OK if is_in else Ending.REFUSED)
    assert n_in > 1_950
    assert lane.holding(now).per_minute == pytest.approx(300, rel=0.04)


def test_without_refusals_the_pace_grows_as_fast_as_answers_come() -> None:
    lane, now = lane_of(), 0.0
    for n in range(500):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now + 0.001, Ending.OK)
        assert n or now == 0
    assert now < 3  # 500 at the first pace would be fifty seconds


def test_refusals_that_slowing_down_makes_no_rarer_are_not_about_the_pace() -> None:
    lane, now, chance = lane_of(), 0.0, random.Random(5)
    n_left, out = 0, list[Any]()
    while n_left < 1_000:
        while out and out[0][0] <= now:
            lane.back(out.pop(0)[1], now, Ending.OK)
        wait_s = lane.wait(now)
        if wait_s > 0:
            now = min(now + wait_s, out[0][0] if out else inf)
            continue
        n_left += 1
        ticket = lane.leave(now)
        if chance.random() < 0.1:
            lane.back(ticket, now, Ending.REFUSED)
        else:
            out.append((now + 1.0, ticket))
    assert now < 3_000  # at the floor it would be 60,000 s


def test_a_window_that_refusals_by_chance_seemed_to_show_is_given_up_again() -> None:
    lane, now, out = lane_of(), 0.0, list[Any]()
    for _ in range(2):
        ticket, now = next_leave(lane, now)
        out.append(ticket)
    for _ in range(3):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.REFUSED)
    assert lane.holding(now).window == 2
    lane.back(out.pop(), now, Ending.OK)
    for _ in range(2):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.REFUSED)
    assert lane.holding(now).window == 100


def test_headers_that_take_turns_do_not_make_a_lane_forget_what_it_met() -> None:
    lane, now, n_refused, tokens = lane_of(), 0.0, 0, 10.0
    for n in range(1_000):
        before = now
        ticket, now = next_leave(lane, now)
        tokens = min(10.0, tokens + (now - before) * 10)
        is_in = tokens >= 1
        tokens -= is_in
        n_refused += not is_in
        limit = RateLimit(per_minute=6_000 if n % 2 else 600)
        lane.back(ticket, now, Ending.OK if is_in else Ending.REFUSED, limit=limit)
    assert n_refused < 10


def test_where_fewer_images_do_not_help_it_is_the_requests_that_are_refused() -> None:
    lane, now, n_refused, tokens = lane_of(images=600), 0.0, 0, 10.0
    for _ in range(1_000):
        before = now
        ticket, now = next_leave(lane, now)
        tokens = min(10.0, tokens + (now - before) * 5)
        is_in = tokens >= 1
        tokens -= is_in
        n_refused += not is_in
        what = Ending.OK if is_in else Ending.REFUSED
        lane.back(ticket, now, what, retry_after_s=None if is_in else 1.0, n_images=int(is_in))
    assert n_refused < 30


def test_a_refusal_with_a_wait_far_longer_than_the_limit_takes_slows_down_to_half_at_most() -> None:
    lane, now = lane_of(per_minute=600), 0.0
    for _ in range(100):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.OK)
    ticket, now = next_leave(lane, now)
    before = lane.pace_per_s
    lane.back(ticket, now, Ending.REFUSED, retry_after_s=60.0)
    assert lane.pace_per_s == pytest.approx(before / 2, rel=0.03)


def test_what_was_let_in_before_an_outage_is_not_taken_for_what_came_after() -> None:
    gauge = Gauge()
    for n in range(1_000):
        gauge.leave(n * 0.1)
    gauge.restart(100.0)
    for n in range(50):
        gauge.leave(100 + n * 0.1)
    gauge.refused(1_050)
    reading = gauge.read(105.0, opens_at=105.0, is_again=False, has_hint=True)
    assert reading.n_let_in == 49
    assert reading.average == pytest.approx(9.8)


# Sickness.


def downed(lane: Lane) -> float:
    """The lane was well, and is down now."""
    now = 0.0
    for n in range(60):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.FAULT if n > 10 else Ending.OK)
        if lane.is_sick:
            return now
    raise AssertionError


def test_an_endpoint_that_is_down_is_probed_alone_ever_more_rarely() -> None:
    lane = lane_of(per_minute=6_000)
    now, gaps = downed(lane), []
    for _ in range(6):
        before = now
        ticket, now = next_leave(lane, now)
        gaps.append(round(now - before))
        lane.back(ticket, now, Ending.FAULT)
    assert gaps == [1, 1, 2, 4, 5, 5]
    assert lane.holding(now).by is HeldBy.SICK


def test_one_answer_that_left_after_it_went_down_ends_it_and_an_older_one_does_not() -> None:
    lane = lane_of(per_minute=6_000)
    older = lane.leave(0.0)
    now = downed(lane)
    lane.back(older, now, Ending.OK)
    assert lane.is_sick
    probe, now = next_leave(lane, now)
    lane.back(probe, now, Ending.OK)
    assert not lane.is_sick


def test_what_never_answered_is_wrong_and_not_sick() -> None:
    lane, now = lane_of(per_minute=6_000), 0.0
    for _ in range(100):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.FAULT)
    assert not lane.is_sick


def test_what_stays_down_for_long_is_left_to_the_runs_own_guards() -> None:
    lane = lane_of(per_minute=6_000)
    now = start = downed(lane)
    while lane.is_sick:
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.FAULT)
    assert LONGEST_SICKNESS_S < now - start < LONGEST_SICKNESS_S + 10
    for _ in range(50):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.FAULT)
    assert not lane.is_sick


def test_a_request_that_we_ended_tells_nothing() -> None:
    lane, now = lane_of(per_minute=6_000), 0.0
    for _ in range(60):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.CANCELLED)
    assert not lane.is_sick


# What holds.


def test_a_lane_says_what_holds_it_back_and_what_its_limits_are() -> None:
    lane = lane_of(concurrency=2, per_minute=60)
    assert lane.holding(0.0) == Hold(by=HeldBy.NOTHING, per_minute=60, window=2)
    first, now = next_leave(lane, 0.0)
    assert lane.holding(0.5).by is HeldBy.PACE
    second, now = next_leave(lane, now)
    assert lane.holding(now).by is HeldBy.WINDOW
    lane.back(first, 2.0, Ending.REFUSED, retry_after_s=5)
    hold = lane.holding(2.0)
    assert (hold.by, hold.until_s, hold.is_measured) == (HeldBy.GATE, 5, True)
    lane.back(second, 9.0, Ending.OK)


def test_where_nothing_is_known_the_first_few_leave_at_once_and_the_others_at_a_pace() -> None:
    lane = lane_of()
    for _ in range(FIRST_AT_ONCE):
        assert lane.wait(0.0) == 0
        lane.leave(0.0)
    assert 0.05 < lane.wait(0.0) <= 1 / FIRST_PER_S


def test_a_start_at_a_pace_that_nobody_told_names_none() -> None:
    lane = lane_of()
    for _ in range(FIRST_AT_ONCE):
        lane.leave(0.0)
    hold = lane.holding(0.01)
    assert (hold.by, hold.per_minute, hold.is_measured) == (HeldBy.PACE, None, False)


# In the long run.


def test_a_day_of_refusals_overflows_nothing_and_stays_above_the_floor() -> None:
    lane, now = lane_of(), 0.0
    while now < 86_400:
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now + 0.05, Ending.REFUSED)
        assert lane.wait(now + 0.05) <= 60.001
    assert lane.pace_per_s >= LEAST_PER_S
    ticket, now = next_leave(lane, now)
    lane.back(ticket, now + 0.05, Ending.OK)
    assert next_leave(lane, now + 0.05)[1] - now <= 61


def test_a_timer_that_is_always_late_costs_less_than_a_thousandth() -> None:
    lane, now = lane_of(per_minute=600), 0.0
    for _ in range(3_000):
        ticket, now = next_leave(lane, now)
        lane.back(ticket, now, Ending.OK)
        now += lane.wait(now) + 0.04
    assert now == pytest.approx(300 / TOLD, rel=0.001)
