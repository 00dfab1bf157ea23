"""The end of a run in virtual time: what hangs is given up in good time, or asked for once more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from test_pool import CAPS, MADE, World, drive, task

from pipeline.core.model import Answer, Failure, Image, Why
from pipeline.core.ports import Back
from pipeline.engine.routes import Route
from pipeline.engine.tail import SHORTEST_TIMEOUT_S, Usual
from pipeline.engine.worker import Got
from pipeline.limit.budget import Budget
from pipeline.limit.lane import Lane, Limits

if TYPE_CHECKING:
    from pipeline.core.model import Task
    from pipeline.core.ports import Trail

HANG_S = 500.0


@dataclass
class Hanging(World):
    """One second a reply, but for the first try of a chosen task."""

    hangs: frozenset[int] = frozenset()
    cut: list[int] = field(default_factory=list)

    async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
        is_first = task.index not in self.tries
        self.latency_s = HANG_S if is_first and task.index in self.hangs else 1.0
        try:
            return await super().attempt(task, trail)
        except BaseException:
            self.cut.append(task.index)
            raise


def route(world: World, **more: Any) -> list[Route]:
    gate = Lane(Limits(concurrency=8, is_adaptive=False))
    return [Route(name="fake", attempt=world.attempt, gate=gate, **more)]


def settle(world: World, n_tasks: int, **options: Any) -> float:
    how = {"n_workers": 8, "routes": route(world)} | options
    stop, took_s = drive(world, lambda pool: pool.run(map(task, range(n_tasks))), **how)
    assert stop is None
    return took_s


def test_a_reply_that_takes_many_times_as_long_as_usual_is_given_up_and_asked_for_again() -> None:
    world = Hanging(lambda _, __: MADE, hangs=frozenset({90}))
    took_s = settle(world, 100)
    assert SHORTEST_TIMEOUT_S < took_s < 100
    assert world.cut == [90]
    assert len(world.settled) == 100
    (lost,) = [back for back in world.seen(Back) if back.is_maybe_billed]
    assert lost.cost_usd is None
    assert world.trails[90, 1] == [(None, True)]


def test_before_enough_replies_came_nobody_is_given_up() -> None:
    world = Hanging(lambda _, __: MADE, hangs=frozenset({3}))
    assert settle(world, 10) >= HANG_S
    assert world.cut == []


def test_where_what_is_cancelled_is_not_billed_a_straggler_is_asked_for_once_more() -> None:
    world = Hanging(lambda _, __: MADE, hangs=frozenset({90}))
    took_s = settle(world, 100, routes=route(world, hedges=True))
    assert took_s < 13.5 + 5 + 2
    assert (world.cut, world.tries[90]) == ([90], 2)
    assert [outcome.task.index for outcome in world.settled].count(90) == 1
    assert not any(back.is_maybe_billed for back in world.seen(Back))
    (made,) = [outcome for outcome in world.settled if outcome.task.index == 90]
    assert made.course.attempts == 2


def test_hedges_stay_few() -> None:
    world = Hanging(lambda _, __: MADE, hangs=frozenset(range(60, 100)))
    settle(world, 100, n_workers=64, routes=route(world, hedges=True))
    assert sum(n - 1 for n in world.tries.values()) <= 10 + 0.03 * 100 + 40
    assert len({outcome.task.index for outcome in world.settled}) == 100


def test_what_both_copies_bring_is_kept_once_and_paid_twice() -> None:
    discarded: list[int] = []

    class Part:
        def __init__(self, number: int) -> None:
            self.number = number

        def discard(self) -> None:
            discarded.append(self.number)

    def bring(of: Task, n: int) -> Got:
        picture: Any = Part(n)
        image = Image(part=picture, media_type="image/png", width=1, height=1, n_bytes=1, sha256="")
        return Got(images=(image,), answer=Answer(cost_usd=0.1))

    class Twin(World):
        async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
            self.latency_s = 6.0 if task.index == 40 and task.index not in self.tries else 1.0
            return await super().attempt(task, trail)

    world = Twin(bring)
    budget = Budget(100, prices={"m": 0.1})
    settle(world, 41, routes=route(world, hedges=True), budget=budget)
    assert len(world.settled) == 41
    assert budget.spent_usd in (4.1, 4.2) or abs(budget.spent_usd - 4.1) < 0.11


def test_a_copy_that_fails_leaves_it_to_the_other() -> None:
    def fail_second(of: Task, n: int) -> Got | Failure:
        return Failure(why=Why.SERVER_ERROR) if of.index == 60 and n == 2 else MADE

    class Slow(World):
        async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
            self.latency_s = 9.0 if task.index == 60 and task.index not in self.tries else 1.0
            self.tries.setdefault(task.index, 0)
            return await super().attempt(task, trail)

    world = Slow(fail_second)
    settle(world, 61, routes=route(world, hedges=True), caps=CAPS)
    assert [outcome.task.index for outcome in world.settled].count(60) == 1


@given(st.lists(st.floats(0.01, 100), max_size=500))
def test_a_time_out_is_learnt_from_enough_replies_and_never_short(latencies: list[float]) -> None:
    usual = Usual()
    for latency_s in latencies:
        usual.add(latency_s)
    timeout_s, straggles_s = usual.timeout_s(), usual.straggles_after_s(0)
    assert (timeout_s is None) == (straggles_s is None) == (len(latencies) < 20)
    if timeout_s is not None and straggles_s is not None:
        assert timeout_s >= SHORTEST_TIMEOUT_S
        assert straggles_s <= 1.5 * max(latencies[-400:])
