"""Whatever comes back, each prompt is settled once, and what cannot be called back is sent once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pool import CAPS, MADE, World, drive, task

from pipeline.core.admission import Ending
from pipeline.core.model import Answer, Failed, Failure, Why
from pipeline.core.ports import Back
from pipeline.engine.breaker import LONGEST_REFUSAL_S
from pipeline.engine.routes import Route, ending_of
from pipeline.engine.stages import Guards
from pipeline.errors import Guarded, NotAllowed
from pipeline.limit.lane import Lane, Limits

if TYPE_CHECKING:
    from pipeline.core.model import Task
    from pipeline.core.ports import Trail
    from pipeline.engine.worker import Got

CALM = Guards(failures_in_a_row=10**9, grace_s=60)
WEATHER = {
    "throttled": Failure(why=Why.THROTTLED),
    "hinted": Failure(why=Why.THROTTLED, retry_after_s=3),
    "overloaded": Failure(why=Why.OVERLOADED, retry_after_s=2),
    "down": Failure(why=Why.OVERLOADED),
    "lost": Failure(why=Why.LOST, is_maybe_billed=True),
    "bad": Failure(why=Why.BAD_IMAGE),
    "refused": Failure(why=Why.REFUSED),
}


@dataclass
class Changing(World):
    """Every attempt meets what chance wants, at one of two endpoints."""

    chance: random.Random = field(default_factory=random.Random)
    out: Counter[int] = field(default_factory=Counter)
    sent_twice_to: set[str] = field(default_factory=set)

    def route(self, name: str, *, hedges: bool, concurrency: int = 8) -> Route:
        async def attempt(task: Task, trail: Trail) -> Got | Failure:
            if self.out[task.index]:
                self.sent_twice_to.add(name)
            self.out[task.index] += 1
            try:
                await asyncio.sleep(400 if self.chance.random() < 0.05 else self.chance.random())
                return self.answer(task, 0)
            finally:
                self.out[task.index] -= 1

        gate = Lane(Limits(concurrency=concurrency))
        return Route(name=name, attempt=attempt, gate=gate, hedges=hedges)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    weather=st.lists(st.sampled_from(sorted(WEATHER)), min_size=1, max_size=4),
    share=st.floats(0, 0.6),
    n_tasks=st.integers(1, 60),
)
def test_every_prompt_is_settled_exactly_once_in_any_weather(
    seed: int, weather: list[str], share: float, n_tasks: int
) -> None:
    chance = random.Random(seed)

    def answer(*_: object) -> Got | Failure:
        return WEATHER[chance.choice(weather)] if chance.random() < share else MADE

    world = Changing(answer, chance=chance)
    routes = [world.route("free", hedges=True), world.route("billed", hedges=False)]
    stop, _ = drive(
        world,
        lambda pool: pool.run(map(task, range(n_tasks))),
        n_workers=16,
        routes=routes,
        guards=CALM,
    )
    assert stop is None
    assert sorted(outcome.task.index for outcome in world.settled) == list(range(n_tasks))
    assert len(world.seen(Back)) >= n_tasks
    assert "billed" not in world.sent_twice_to, "a copy goes where it can be called back"


def test_stragglers_that_have_to_wait_for_the_pace_are_sent_once_more_when_it_lets_them() -> None:
    @dataclass
    class Hanging(World):
        async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
            self.latency_s = 500.0 if task.index >= 23 and task.index not in self.tries else 1.0
            return await super().attempt(task, trail)

    world = Hanging(lambda _, __: MADE)
    gate = Lane(Limits(concurrency=8, requests_per_minute=6, is_adaptive=False))
    routes = [Route(name="fake", attempt=world.attempt, gate=gate, hedges=True)]
    stop, _ = drive(world, lambda pool: pool.run(map(task, range(25))), n_workers=8, routes=routes)
    assert stop is None
    assert [index for _, index in world.sent[25:]] == [23, 24]
    assert [at for at, _ in world.sent[25:]] == pytest.approx([250, 260])


def test_a_provider_that_refuses_everything_for_an_hour_ends_the_run() -> None:
    world = World(lambda _, __: Failure(why=Why.THROTTLED), latency_s=0.1)
    routes = [Route(name="fake", attempt=world.attempt, gate=Lane(Limits(concurrency=8)))]
    stop, took_s = drive(
        world, lambda pool: pool.run(map(task, range(50))), routes=routes, guards=CALM
    )
    assert isinstance(stop, Guarded)
    assert "for an hour" in str(stop)
    assert LONGEST_REFUSAL_S < took_s < LONGEST_REFUSAL_S + 120
    assert world.settled == []
    assert len(world.sent) < 100


def test_a_quota_of_the_hour_that_comes_back_is_waited_for() -> None:
    refusal = Failure(why=Why.THROTTLED)
    world = World(lambda _, __: refusal if 1_010 < world.now() < 4_500 else MADE)
    routes = [Route(name="fake", attempt=world.attempt, gate=Lane(Limits(concurrency=8)))]
    stop, _ = drive(world, lambda pool: pool.run(map(task, range(200))), routes=routes, guards=CALM)
    assert stop is None
    assert len(world.settled) == 200


@pytest.mark.parametrize(
    "billed",
    [
        Failure(why=Why.BAD_IMAGE),
        Failure(why=Why.SERVER_ERROR, answer=Answer(cost_usd=0.04)),
    ],
)
def test_a_useless_reply_that_may_have_cost_something_is_not_free_in_an_outage(
    billed: Failure,
) -> None:
    world = World(lambda _, __: billed if world.now() > 1_010 else MADE, latency_s=0.2)
    routes = [Route(name="fake", attempt=world.attempt, gate=Lane(Limits(concurrency=8)))]
    drive(world, lambda pool: pool.run(map(task, range(200))), routes=routes)
    assert any(isinstance(one, Failed) for one in world.settled)
    assert max(world.tries.values()) <= CAPS.attempts


def test_what_a_gate_is_told() -> None:
    told: dict[Ending, list[Got | Failure | None]] = {
        Ending.REFUSED: [
            Failure(why=Why.THROTTLED),
            Failure(why=Why.OVERLOADED, retry_after_s=1),
        ],
        Ending.FAULT: [Failure(why=Why.OVERLOADED), Failure(why=Why.SERVER_ERROR)],
        Ending.OK: [
            MADE,
            Failure(why=Why.REFUSED),
            Failure(why=Why.NO_IMAGE),
            Failure(why=Why.MODEL, stop=NotAllowed("no such model"), is_of_the_model=True),
        ],
        Ending.CANCELLED: [None],
    }
    for what, results in told.items():
        assert [ending_of(result) for result in results] == [what] * len(results)
