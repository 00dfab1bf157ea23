"""What the engine tells a gate, and what it makes of one that is sick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from test_pool import CAPS, MADE, World, drive, task

from pipeline.core.admission import Ending
from pipeline.core.model import Answer, Failed, Failure, RateLimit, Why
from pipeline.engine.routes import Route
from pipeline.engine.worker import Got
from pipeline.limit.lane import Lane, Limits

if TYPE_CHECKING:
    from pipeline.core.model import Task
    from pipeline.core.ports import Trail

LIMIT = RateLimit(per_minute=600)


@dataclass
class Heard:
    """A gate that lets everybody out and remembers what it is told."""

    told: list[tuple[Ending, dict[str, Any]]] = field(default_factory=list)
    lane: Lane = field(default_factory=lambda: Lane(Limits(concurrency=8, is_adaptive=False)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lane, name)

    def back(self, ticket: Any, now: float, what: Ending, **said: Any) -> None:
        self.told.append((what, {name: one for name, one in said.items() if one is not None}))
        self.lane.back(ticket, now, what, **said)


def settle(world: World, gate: Any, n_tasks: int, **options: Any) -> float:
    hedges = options.pop("hedges", False)
    routes = [Route(name="fake", attempt=world.attempt, gate=gate, hedges=hedges)]
    how = {"n_workers": 8, "routes": routes} | options
    stop, took_s = drive(world, lambda pool: pool.run(map(task, range(n_tasks))), **how)
    assert stop is None
    return took_s


def test_a_gate_hears_all_that_a_reply_says_of_limits() -> None:
    refusal = Failure(
        why=Why.THROTTLED, answer=Answer(detail="too many", limit=LIMIT), retry_after_s=2
    )
    world = World(lambda _, n: refusal if n == 1 else Got(images=(), answer=Answer(limit=LIMIT)))
    gate = Heard()
    settle(world, gate, 1)
    assert gate.told == [
        (
            Ending.REFUSED,
            {"retry_after_s": 2, "limit": LIMIT, "label": "too many", "n_images": 0},
        ),
        (Ending.OK, {"limit": LIMIT, "n_images": 0}),
    ]


def test_a_copy_that_was_called_back_tells_nothing_against_the_endpoint() -> None:
    class Slow(World):
        async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
            self.latency_s = 90.0 if task.index == 60 and task.index not in self.tries else 1.0
            self.tries.setdefault(task.index, 0)
            return await super().attempt(task, trail)

    gate = Heard()
    settle(Slow(lambda _, __: MADE), gate, 61, hedges=True)
    endings = [what for what, _ in gate.told]
    assert (endings.count(Ending.CANCELLED), endings.count(Ending.OK)) == (1, 61)


def test_an_outage_costs_no_attempt_once_it_is_known_for_one() -> None:
    down = Failure(why=Why.OVERLOADED)
    world = World(lambda _, __: down if 1_010 < world.now() < 1_060 else MADE, latency_s=0.2)
    settle(world, Lane(Limits(concurrency=8, requests_per_minute=600)), 300, caps=CAPS)
    failed = [outcome for outcome in world.settled if isinstance(outcome, Failed)]
    assert failed == []
    assert len([at for at, _ in world.sent if 15 < at < 59]) < 15


def test_what_may_have_been_billed_costs_an_attempt_in_an_outage_too() -> None:
    lost = Failure(why=Why.LOST, is_maybe_billed=True)
    world = World(lambda _, __: lost if world.now() > 1_010 else MADE, latency_s=0.2)
    lane = Lane(Limits(concurrency=8, requests_per_minute=600))
    routes = [Route(name="fake", attempt=world.attempt, gate=lane)]
    stop, took_s = drive(
        world, lambda pool: pool.run(map(task, range(300))), n_workers=8, routes=routes
    )
    assert stop is not None
    assert took_s < 120


def test_what_left_before_anything_was_learnt_is_given_up_as_soon_as_what_came_after() -> None:
    class Hanging(World):
        async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
            is_hung = task.index == 0 and task.index not in self.tries
            self.latency_s = 590.0 if is_hung else 1.0
            return await super().attempt(task, trail)

    world = Hanging(lambda _, __: MADE)
    took_s = settle(world, Lane(Limits(concurrency=8, is_adaptive=False)), 100)
    assert took_s < 40
    assert len(world.settled) == 100
