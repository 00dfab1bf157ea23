"""What a lane promises, whatever is told, comes back, comes late or comes in another order."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.admission import Ending
from pipeline.core.model import RateLimit
from pipeline.limit.crowd import PROOF
from pipeline.limit.lane import Lane, Limits
from pipeline.limit.rate import LEAST_PER_S, MARGIN, TOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.admission import Ticket

ENDINGS = [Ending.OK, Ending.OK, Ending.REFUSED, Ending.FAULT, Ending.CANCELLED]
SLACK = 0.06
"""Of a second's worth: what late timers may bring too close together."""

PACES = st.none() | st.floats(0.2, 60_000)
REPLIES = st.lists(
    st.tuples(
        st.sampled_from(ENDINGS),
        st.floats(0.01, 20),  # until it is back
        st.floats(0, 0.3),  # how late the timer is
        st.none() | st.floats(0.01, 30),
        st.none() | st.sampled_from([1.0, 5.0, 60.0, 600.0, 1e308]),
        st.none() | st.sampled_from(["slow down", "too many concurrent requests"]),
    ),
    min_size=1,
    max_size=80,
)
Reply = tuple[Ending, float, float, float | None, float | None, str | None]


class Watched:
    """A lane in a world where replies come back when they are due; it checks as it goes."""

    def __init__(self, limits: Limits) -> None:
        self.lane = Lane(limits)
        self.limits = limits
        self.now = 0.0
        self.left: list[float] = []
        self.closed_until = self.longest_hint_s = 0.0
        self.told = inf if limits.requests_per_minute is None else limits.requests_per_minute / 60
        self.known_at = -inf
        self.n_refused = 0
        self.fastest = self.lane.pace_per_s
        self._out: list[tuple[float, int, Ticket, Reply]] = []
        self._numbers = count()

    def drive(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            while (wait_s := self.lane.wait(self.now)) > 0:
                if self._out and self._out[0][0] <= self.now + wait_s:
                    self._land()
                    continue
                assert wait_s < inf, "nothing is out, and nothing may leave"
                self.now += wait_s
            self._land_until(self.now + reply[2])
            if self.lane.wait(self.now) <= 0:
                self._leave(reply)
        self._land_until(inf)

    def _leave(self, reply: Reply) -> None:
        window = self.lane.holding(self.now).window
        ticket = self.lane.leave(self.now)
        self.left.append(self.now)
        assert window
        assert ticket.n_in_flight == len(self._out) + 1 <= window <= self.limits.concurrency
        assert self.now >= self.closed_until, "nothing leaves before a hint is over"
        heappush(self._out, (self.now + reply[1], next(self._numbers), ticket, reply))
        self._check_pace()

    def _land_until(self, then: float) -> None:
        while self._out and self._out[0][0] <= then:
            self._land()
        self.now = self.now if then == inf else then

    def _land(self) -> None:
        self.now, _, ticket, (what, _, _, hint_s, per_minute, label) = heappop(self._out)
        if what not in {Ending.REFUSED, Ending.FAULT}:
            hint_s = None
        before, heard = self.lane.pace_per_s, RateLimit(per_minute=per_minute or 1)
        self.lane.back(
            ticket,
            self.now,
            what,
            retry_after_s=hint_s,
            limit=heard if per_minute else None,
            label=label,
        )
        if hint_s:
            self.closed_until = max(self.closed_until, self.now + hint_s)
            self.longest_hint_s = max(self.longest_hint_s, hint_s)
        if what is Ending.REFUSED:
            self._check_refusal(ticket, before, has_header=per_minute is not None)
        self._check_pace()

    def _check_refusal(self, ticket: Ticket, before: float, *, has_header: bool) -> None:
        after = self.lane.pace_per_s
        if ticket.left_at < self.known_at and not has_header:
            assert after == before, "what left before the gate closed is no news"
        self.n_refused += 1
        if after > before:  # the pace was not to blame
            assert self.n_refused >= PROOF
            assert after <= self.fastest
        if ticket.left_at >= self.known_at:
            self.known_at = self.now

    def _check_pace(self) -> None:
        pace = self.lane.pace_per_s
        self.fastest = max(self.fastest, pace)
        assert pace <= self.told
        assert pace >= min(LEAST_PER_S * MARGIN, self.told * TOLD)


@settings(max_examples=60, deadline=None)
@given(replies=REPLIES, concurrency=st.integers(1, 12), per_minute=PACES, is_adaptive=st.booleans())
def test_in_any_order_the_window_the_gate_and_what_is_told_are_kept(
    replies: list[Reply], concurrency: int, per_minute: float | None, *, is_adaptive: bool
) -> None:
    limits = Limits(
        concurrency=concurrency, requests_per_minute=per_minute, is_adaptive=is_adaptive
    )
    world = Watched(limits)
    world.drive(replies)
    own_s = 60 / per_minute if per_minute else 0.0
    latest_s = max(60 / MARGIN, own_s / TOLD, world.closed_until - world.now)
    assert world.lane.wait(world.now + latest_s) <= 1e-6, "all are back: one may leave in time"


@settings(max_examples=60, deadline=None)
@given(replies=REPLIES, per_minute=st.floats(0.2, 60_000), is_adaptive=st.booleans())
def test_in_no_span_more_leave_than_the_told_pace_lets_out(
    replies: list[Reply], per_minute: float, *, is_adaptive: bool
) -> None:
    limits = Limits(concurrency=100, requests_per_minute=per_minute, is_adaptive=is_adaptive)
    world, rate = Watched(limits), per_minute / 60
    world.drive(replies)
    for first, start in enumerate(world.left):
        for n, end in enumerate(world.left[first:], start=1):
            assert n <= rate * (end - start) * (1 + 1e-9) + 1 + SLACK * rate + 1e-9


@pytest.mark.parametrize("late_s", [0.0, 0.03, 0.049, 0.1, 0.19, 1.0])
@pytest.mark.parametrize("per_s", [1, 20, 500])
def test_a_late_timer_is_made_up_for_by_so_little_that_no_span_holds_too_many(
    late_s: float, per_s: int
) -> None:
    lane, now, left = Lane(Limits(concurrency=200, requests_per_minute=60 * per_s)), 0.0, [0.0]
    lane.leave(now)
    now = late_s
    for _ in range(150):
        now += lane.wait(now)
        lane.leave(now)
        left.append(now)
    for first, start in enumerate(left):
        for n, end in enumerate(left[first:], start=1):
            assert n <= per_s * (end - start) + 1 + SLACK * per_s + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    latencies=st.lists(st.floats(0.01, 10), min_size=2, max_size=40),
    paces=st.lists(st.sampled_from([30.0, 60.0, 120.0, 6_000.0]), min_size=1, max_size=8),
)
def test_the_header_of_the_reply_that_left_last_is_the_one_that_holds(
    latencies: list[float], paces: list[float]
) -> None:
    lane, out, now = Lane(Limits(concurrency=100, requests_per_minute=600)), [], 0.0
    for n, latency_s in enumerate(latencies):
        now += lane.wait(now)
        out.append((now + latency_s, lane.leave(now), paces[n % len(paces)]))
    newest, told = -inf, 600 * TOLD
    for at, ticket, per_minute in sorted(out, key=lambda one: one[0]):
        lane.back(ticket, max(now, at), Ending.OK, limit=RateLimit(per_minute=per_minute))
        if ticket.left_at > newest:
            newest, told = ticket.left_at, min(600 * TOLD, MARGIN * per_minute)
        assert 60 * lane.pace_per_s == pytest.approx(told)


def test_a_limit_below_one_a_minute_is_not_raised_by_a_refusal() -> None:
    lane = Lane(Limits(concurrency=4, requests_per_minute=0.5))
    lane.back(lane.leave(0.0), 0.1, Ending.REFUSED)
    now = lane.wait(0.1) + 0.1
    lane.leave(now)
    assert lane.wait(now) >= 120


def test_requests_whose_refusals_were_about_their_number_go_back_to_a_pace_that_is_told() -> None:
    lane, now = Lane(Limits(concurrency=100)), 0.0
    for _ in range(2):
        lane.leave(now)
    for n in range(3):
        now += lane.wait(now)
        ticket, now = lane.leave(now), now + 0.05
        limit = RateLimit(per_minute=60) if n == 1 else None
        lane.back(ticket, now, Ending.REFUSED, limit=limit)
    assert lane.holding(now).window == 2
    assert lane.pace_per_s <= MARGIN
