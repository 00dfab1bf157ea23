"""A watch over an exchange: rings when its moment has passed, wherever that was put."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import VirtualLoop

from pipeline.core.ports import Break
from pipeline.provider.deadline import Deadline, Watch


async def rung(first_s: float, puts: list[tuple[float, float]], until_s: float) -> list[float]:
    """When a watch rang, where each of ``puts`` says at what time it was put how far off."""
    loop = asyncio.get_running_loop()
    start, rings = loop.time(), []
    watch = Watch(start + first_s, lambda: rings.append(loop.time() - start))
    for at, off in puts:
        await asyncio.sleep(at - (loop.time() - start))
        if rings:
            break
        watch.put(loop.time() + off)
    await asyncio.sleep(until_s)
    watch.stop()
    return rings


STEPS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=12)


@settings(deadline=None)  # a loop of its own each time
@given(first=st.integers(1, 50), steps=STEPS)
def test_it_rings_once_at_the_moment_it_was_put_last(
    first: int, steps: list[tuple[int, int]]
) -> None:
    due, at, puts = first, 0, []
    for pause, off in steps:
        at += pause
        if due <= at:
            break
        due = at + off
        puts.append((float(at), float(off)))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(rung(first, puts, 1_000)) == [pytest.approx(due)]


async def put_off_often(n_times: int) -> int:
    loop = asyncio.get_running_loop()
    n_set, set_timer = 0, loop.call_at

    def counted(*words: object, **more: object) -> asyncio.TimerHandle:
        nonlocal n_set
        n_set += 1
        return set_timer(*words, **more)  # type: ignore[arg-type]

    loop.call_at = counted  # type: ignore[method-assign]
    watch = Watch(loop.time() + 10, lambda: pytest.fail("it was put off"))
    for _ in range(n_times):
        watch.put(loop.time() + 10)
    watch.stop()
    return n_set


def test_to_put_it_off_sets_no_timer() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(put_off_often(10_000)) == 1


async def stopped_and_put() -> list[float]:
    loop = asyncio.get_running_loop()
    rings: list[float] = []
    watch = Watch(loop.time() + 10, lambda: rings.append(loop.time()))
    watch.stop()
    watch.stop()
    watch.put(loop.time() + 1)
    await asyncio.sleep(100)
    return rings


def test_stopped_it_never_rings_whatever_is_put_off_later() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(stopped_and_put()) == []


async def passed(heard_after_s: float) -> tuple[float, Break]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    deadline = Deadline(idle_s=20, total_s=30)
    await asyncio.sleep(heard_after_s)
    next_at = deadline.next_at()
    await asyncio.sleep(next_at - loop.time())
    return next_at - start, deadline.how_it_passed


@pytest.mark.parametrize(
    ("heard_after_s", "expected"), [(5, (25, Break.IDLE)), (15, (30, Break.TOTAL))]
)
def test_silence_ends_an_exchange_and_so_does_its_total_time(
    heard_after_s: float, expected: tuple[float, Break]
) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(passed(heard_after_s)) == expected
