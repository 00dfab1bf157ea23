"""The gate: so many at once, so many a minute, nobody during a cooldown."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.ports import Ending, Ticket
from pipeline.limit.gate import Gate
from pipeline.limit.pace import LONGEST_COOLDOWN_S


def gate_of(*, concurrency: int = 4, per_minute: float | None = None) -> Gate:
    return Gate(concurrency=concurrency, requests_per_minute=per_minute)


def test_without_a_pace_the_window_alone_decides() -> None:
    gate = gate_of(concurrency=2)
    first = gate.leave(0.0)
    assert gate.wait(0.0) == 0
    gate.leave(0.0)
    assert gate.wait(0.0) == inf
    gate.back(first, 1.0, Ending.OK)
    assert gate.wait(1.0) == 0


def test_the_pace_spreads_departures_evenly() -> None:
    gate = gate_of(concurrency=100, per_minute=60)
    gate.leave(10.0)
    assert gate.wait(10.0) == 1.0
    gate.leave(11.0)
    assert gate.wait(11.5) == 0.5


def test_a_timer_that_is_a_little_late_does_not_shift_the_schedule() -> None:
    gate = gate_of(concurrency=100, per_minute=60)
    gate.leave(0.0)
    gate.leave(1.04)
    assert round(gate.wait(1.04), 9) == 0.96


def test_an_idle_time_is_not_saved_up_for_a_burst() -> None:
    gate = gate_of(concurrency=100, per_minute=60)
    gate.leave(0.0)
    gate.leave(100.0)
    assert gate.wait(100.0) > 0.9


def test_one_hint_holds_everyone_back() -> None:
    gate = gate_of()
    ticket = gate.leave(0.0)
    gate.back(ticket, 1.0, Ending.REFUSED, retry_after_s=7.0)
    assert gate.wait(1.0) == 7.0


def test_an_overloaded_server_that_gives_a_hint_holds_everyone_back_too() -> None:
    gate = gate_of()
    gate.back(gate.leave(0.0), 1.0, Ending.FAULT, retry_after_s=3.0)
    assert gate.wait(2.0) == 2.0


def test_a_shorter_hint_does_not_open_a_gate_that_a_longer_one_closed() -> None:
    gate = gate_of()
    first, second = gate.leave(0.0), gate.leave(0.0)
    gate.back(first, 1.0, Ending.REFUSED, retry_after_s=10.0)
    gate.back(second, 1.0, Ending.REFUSED, retry_after_s=1.0)
    assert gate.wait(1.0) == 10.0


def test_after_a_cooldown_the_first_goes_alone_until_it_is_answered() -> None:
    gate = gate_of()
    gate.back(gate.leave(0.0), 1.0, Ending.REFUSED, retry_after_s=2.0)
    assert gate.wait(3.0) == 0
    probe = gate.leave(3.0)
    assert gate.wait(3.0) > 0
    gate.back(probe, 3.2, Ending.OK)
    assert gate.wait(3.2) == 0


def test_after_a_cooldown_a_slow_answer_does_not_hold_everyone() -> None:
    gate = gate_of()
    gate.back(gate.leave(0.0), 1.0, Ending.REFUSED, retry_after_s=2.0)
    gate.leave(3.0)
    assert gate.wait(4.0) == 0


def test_without_hints_the_cooldown_doubles_while_nothing_gets_through() -> None:
    gate = gate_of()
    now, waits = 0.0, []
    for _ in range(8):
        gate.back(gate.leave(now), now, Ending.REFUSED)
        waits.append(gate.wait(now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_refusals_of_one_volley_are_one_piece_of_news() -> None:
    gate = gate_of(concurrency=10)
    volley = [gate.leave(0.0) for _ in range(10)]
    for ticket in volley:
        gate.back(ticket, 0.5, Ending.REFUSED)
    assert gate.wait(0.5) == 1.0


moves = st.lists(
    st.tuples(
        st.floats(0, 5),
        st.sampled_from(["leave", "ok", "refused", "fault"]),
        st.none() | st.floats(0.01, 30),
    ),
    max_size=200,
)


@given(moves=moves, concurrency=st.integers(1, 8), per_minute=st.none() | st.floats(1, 6000))
def test_whatever_happens_the_promises_of_the_gate_hold(
    moves: list[tuple[float, str, float | None]], concurrency: int, per_minute: float | None
) -> None:
    gate = Gate(concurrency=concurrency, requests_per_minute=per_minute)
    now, closed_until, out, left = 0.0, 0.0, list[Ticket](), list[float]()
    for step, move, hint_s in moves:
        now += step
        if move == "leave":
            wait_s = gate.wait(now)
            if wait_s == inf:
                assert len(out) >= concurrency
            if wait_s > 0:
                continue
            assert now >= closed_until
            out.append(gate.leave(now))
            left.append(now)
        elif out:
            what = {"ok": Ending.OK, "refused": Ending.REFUSED, "fault": Ending.FAULT}[move]
            gate.back(out.pop(0), now, what, retry_after_s=None if move == "ok" else hint_s)
            if move != "ok" and hint_s:
                closed_until = max(closed_until, now + hint_s)
        assert len(out) <= concurrency
        if per_minute and len(left) > 1:
            span = left[-1] - left[0]
            assert len(left) <= span * per_minute / 60 * 1.0001 + 1 + 0.06 * per_minute / 60 + 1e-6
    for ticket in out:
        gate.back(ticket, now, Ending.OK)
    assert gate.wait(now + max(LONGEST_COOLDOWN_S, 60.0)) == 0
