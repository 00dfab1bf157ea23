"""The pool in virtual time: who is sent when, what is tried again, how it stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from virtual import VirtualLoop

from pipeline.core.model import Answer, Failed, Failure, Made, Outcome, Past, Receipt, Task, Why
from pipeline.core.ports import Back, Draining, Event, Held, LeftOut, Sent, Settled, TriedAgain
from pipeline.engine.pool import Pool
from pipeline.engine.retry import Caps, Retry
from pipeline.engine.routes import Route
from pipeline.engine.stages import Guards, Stages
from pipeline.engine.worker import Got
from pipeline.errors import (
    DiskTrouble,
    Guarded,
    Interrupted,
    Misconfigured,
    NotAllowed,
    Stop,
    Unreachable,
)
from pipeline.limit.budget import Budget
from pipeline.limit.lane import Lane, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.ports import Trail

Result = Got | Failure
CAPS = Caps(attempts=3, max_wait_s=60, no_image=2, refused=1, lost=2, is_throttling_free=True)
MADE = Got(images=(), answer=Answer())


def task(number: int) -> Task:
    return Task(id=f"{number:020x}", index=number, sample=0, prompt=f"p{number}", model="m")


@dataclass
class Footprints:
    """A trail that remembers."""

    left: list[Any]

    def heard(self, request_id: str) -> None:
        self.left.append(request_id)

    @property
    def past(self) -> Past:
        return Past()

    def answered(self) -> None:
        raise AssertionError

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        told = (cost_usd, is_maybe_billed)
        self.left.append((*told, "unpriced") if is_unpriced else told)

    def part(self) -> Any:
        raise AssertionError


@dataclass
class World:
    """Fakes for every port; ``answer`` says what an attempt meets."""

    answer: Callable[[Task, int], Result]
    latency_s: float = 1.0
    sent: list[tuple[float, int]] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)
    trails: dict[tuple[int, int], list[Any]] = field(default_factory=dict)

    async def attempt(self, task: Task, trail: Trail) -> Result:
        self.sent.append((self.now() - 1_000, task.index))
        self.tries[task.index] = self.tries.get(task.index, 0) + 1
        await asyncio.sleep(self.latency_s)
        return self.answer(task, self.tries[task.index])

    async def keep(self, outcome: Outcome) -> Receipt:
        await asyncio.sleep(0)
        self.settled.append(outcome)
        return Receipt(outcome=outcome, record={"images": []})

    def begin(self, task: Task, attempt: int, *, at: str) -> Footprints:
        return Footprints(self.trails.setdefault((task.index, attempt), []))

    def see(self, event: Event) -> None:
        self.events.append(event)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def utc(self) -> str:
        return "2026-11-22T14:00:00.000Z"

    def utc_in(self, seconds: float) -> str:
        return f"in {seconds:.0f} s"

    def pool(
        self,
        *,
        n_workers: int = 4,
        per_minute: float | None = None,
        caps: Caps = CAPS,
        n_models: int = 1,
        budget: Budget | None = None,
        routes: Sequence[Route] = (),
        guards: Guards | None = None,
    ) -> Pool:
        limits = Limits(concurrency=n_workers, requests_per_minute=per_minute, is_adaptive=False)
        gate = Lane(limits)
        stages = Stages(
            routes=routes or [Route(name="fake", attempt=self.attempt, gate=gate)],
            budget=budget or Budget(),
            retry=Retry(caps, uniform=lambda low, high: high),
            store=self,
            observer=self,
            clock=self,
        )
        guards = guards or Guards(failures_in_a_row=4, grace_s=60, n_models=n_models)
        return Pool(stages, guards, n_workers=n_workers)

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def run(world: World, n_tasks: int = 10, **options: Any) -> tuple[Stop | None, float]:
    """Settle tasks 0, 1, …; returns the reason of a stop and the seconds it took."""
    return drive(world, lambda pool: pool.run(map(task, range(n_tasks))), **options)


def drive(world: World, act: Callable[[Pool], Any], **options: Any) -> tuple[Stop | None, float]:
    async def main() -> tuple[Stop | None, float]:
        start = world.now()
        stop = await act(world.pool(**options))
        return stop, world.now() - start

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def fails_first(why: Why, *, times: int = 1, **more: Any) -> Callable[[Task, int], Result]:
    return lambda _, n: Failure(why=why, **more) if n <= times else MADE


def test_every_task_is_settled_once_and_as_many_at_once_as_allowed() -> None:
    world = World(lambda _, __: MADE)
    assert run(world) == (None, 3.0)
    assert sorted(outcome.task.index for outcome in world.settled) == list(range(10))
    assert len(world.seen(Sent)) == len(world.seen(Settled)) == 10


def test_requests_leave_at_the_pace() -> None:
    world = World(lambda _, __: MADE)
    run(world, per_minute=120)
    assert [at for at, _ in world.sent] == pytest.approx([0.5 * n for n in range(10)])


def test_a_due_retry_goes_before_new_tasks() -> None:
    world = World(lambda t, n: Failure(why=Why.SERVER_ERROR) if (t.index, n) == (0, 1) else MADE)
    run(world, n_workers=1)
    assert [index for _, index in world.sent[:4]] == [0, 1, 0, 2]


def test_one_hint_holds_back_every_worker() -> None:
    world = World(
        lambda t, n: Failure(why=Why.THROTTLED, retry_after_s=5) if (t.index, n) == (0, 1) else MADE
    )
    run(world)
    assert [at for at, _ in world.sent if 1 < at < 6] == []
    assert world.seen(Held) == [Held(wait_s=5)]
    assert world.tries[0] == 2


def test_a_429_costs_no_attempt() -> None:
    world = World(fails_first(Why.THROTTLED, times=20))
    stop, _ = run(world, n_tasks=1)
    assert stop is None
    assert world.settled[0].course.attempts == 21


def test_a_task_that_keeps_failing_is_given_up_and_the_others_are_made() -> None:
    world = World(lambda t, _: Failure(why=Why.SERVER_ERROR) if t.index == 3 else MADE)
    run(world)
    failed = [outcome for outcome in world.settled if isinstance(outcome, Failed)]
    assert [(f.task.index, f.why, f.course.attempts) for f in failed] == [(3, Why.SERVER_ERROR, 3)]
    assert len(world.seen(TriedAgain)) == 2


def test_an_answer_no_other_task_would_change_stops_the_run_and_settles_nothing() -> None:
    refusal = Failure(why=Why.AUTH, stop=NotAllowed("no"))
    world = World(lambda _, __: refusal)
    stop, _ = run(world)
    assert isinstance(stop, NotAllowed)
    assert len(world.sent) == 4
    assert world.settled == []


def test_replies_in_flight_are_kept_when_the_run_stops() -> None:
    world = World(
        lambda t, _: Failure(why=Why.AUTH, stop=NotAllowed("no")) if t.index == 0 else MADE
    )
    run(world)
    assert sorted(outcome.task.index for outcome in world.settled) == [1, 2, 3]
    assert len(world.seen(Draining)) == 1


def test_a_stop_that_allows_one_more_try_takes_it() -> None:
    page = Failure(why=Why.UNREACHABLE, stop=Unreachable("a page"), n_tries_before_stop=1)
    world = World(lambda _, __: page)
    stop, _ = run(world, n_tasks=1)
    assert isinstance(stop, Unreachable)
    assert world.tries == {0: 2}


def test_nobody_there_at_the_first_call_stops_the_run() -> None:
    world = World(lambda _, __: Failure(why=Why.UNREACHABLE))
    stop, _ = run(world)
    assert isinstance(stop, Unreachable)
    assert len(world.sent) == 4


def test_nobody_there_later_is_tried_again() -> None:
    world = World(lambda t, n: Failure(why=Why.UNREACHABLE) if t.index == 9 and n == 1 else MADE)
    assert run(world)[0] is None
    assert len(world.settled) == 10


def test_failures_in_a_row_by_the_providers_fault_stop_the_run() -> None:
    world = World(lambda _, __: Failure(why=Why.SERVER_ERROR))
    stop, _ = run(world, n_tasks=1_000)
    assert isinstance(stop, Guarded)
    assert len(world.settled) <= 4 + 3


def test_refusals_in_a_row_do_not_stop_it() -> None:
    world = World(lambda _, __: Failure(why=Why.REFUSED))
    assert run(world, n_tasks=50)[0] is None
    assert len(world.settled) == 50


def test_a_wait_beyond_a_quarter_of_an_hour_stops_the_run_and_says_until_when() -> None:
    world = World(lambda _, __: Failure(why=Why.THROTTLED, retry_after_s=3_600))
    stop, took_s = run(world)
    assert isinstance(stop, Guarded)
    assert "in 3600 s" in str(stop)
    assert took_s < 10


def test_while_an_endpoint_is_down_the_job_is_not_swallowed() -> None:
    pulled: list[int] = []

    def tasks() -> Iterator[Task]:
        for number in range(10_000):
            pulled.append(number)
            yield task(number)

    world = World(lambda _, __: Failure(why=Why.SERVER_ERROR))
    drive(world, lambda pool: pool.run(tasks()))
    assert len(pulled) <= 4 * 6


def test_a_bug_in_reading_one_reply_costs_that_attempt_only() -> None:
    def answer(task: Task, n: int) -> Result:
        if (task.index, n) == (0, 1):
            raise ZeroDivisionError
        return MADE

    world = World(answer)
    assert run(world)[0] is None
    assert len(world.settled) == 10
    assert "internal error" in str(world.seen(TriedAgain)[0].detail)


def test_stopping_lets_what_is_in_flight_land() -> None:
    world = World(lambda _, __: MADE, latency_s=10)

    async def stop_at_12(pool: Pool) -> Stop | None:
        loop = asyncio.get_running_loop()
        loop.call_later(12, pool.stop, Interrupted("enough", signal_number=2))
        return await pool.run(map(task, range(100)))

    stop, took_s = drive(world, stop_at_12)
    assert isinstance(stop, Interrupted)
    assert took_s == 20
    assert len(world.settled) == 8


def test_the_drain_ends_with_its_grace_and_a_second_word_ends_it_now() -> None:
    for second_at, expected_s in ((None, 72), (15, 15)):
        world = World(lambda _, __: MADE, latency_s=1_000)

        async def act(pool: Pool, second_at: float | None = second_at) -> Stop | None:
            loop = asyncio.get_running_loop()
            loop.call_later(12, pool.stop, Interrupted("enough", signal_number=2))
            if second_at:
                loop.call_at(
                    loop.time() + second_at,
                    lambda: pool.stop(Interrupted("now", signal_number=2), grace_s=0),
                )
            stop = await pool.run(map(task, range(100)))
            assert pool.n_cut_off == 4
            return stop

        stop, took_s = drive(world, act)
        assert str(stop) == "enough"
        assert took_s == expected_s
        assert world.settled == []


def test_stopping_while_everyone_waits_for_a_cooldown_ends_at_once() -> None:
    world = World(lambda _, __: Failure(why=Why.THROTTLED, retry_after_s=600))

    async def act(pool: Pool) -> Stop | None:
        asyncio.get_running_loop().call_later(5, pool.stop, Interrupted("x", signal_number=15))
        return await pool.run(map(task, range(100)))

    assert drive(world, act)[1] == 5


def test_no_tasks_is_no_work() -> None:
    world = World(lambda _, __: MADE)
    assert run(world, n_tasks=0) == (None, 0.0)
    assert world.events == []


def unserved(task: Task, _: int) -> Result:
    """Model `gone` cannot be served, every other can."""
    if task.model != "gone":
        return MADE
    answer = Answer(detail="no such model", request_id="r1")
    stop = Misconfigured("no such model")
    return Failure(why=Why.MODEL, answer=answer, stop=stop, is_of_the_model=True)


def of_models(*models: str) -> Iterator[Task]:
    return (replace(task(number), model=model) for number, model in enumerate(models))


def test_a_job_of_several_models_goes_on_without_one() -> None:
    world = World(unserved)
    models = ("gone", "m") * 15
    stop, _ = drive(world, lambda pool: pool.run(of_models(*models)), n_models=2)
    assert stop is None
    assert len(world.settled) == 30
    failed = [outcome for outcome in world.settled if isinstance(outcome, Failed)]
    assert {(one.task.model, one.why) for one in failed} == {("gone", Why.MODEL)}
    assert len(failed) == 15
    assert {one.answer.detail for one in failed} == {"no such model"}
    unasked = [one for one in failed if not one.course.attempts]
    assert len(unasked) >= 11
    assert {one.answer.request_id for one in unasked} == {None}
    assert [event.model for event in world.seen(LeftOut)] == ["gone"]
    assert len(world.seen(Back)) == len(world.sent)


def test_tasks_that_are_given_up_unasked_wait_for_no_pace() -> None:
    world = World(unserved)
    models = ("gone",) * 100 + ("m",)
    _, took_s = drive(
        world, lambda pool: pool.run(of_models(*models)), n_models=2, per_minute=60, n_workers=1
    )
    assert len(world.settled) == 101
    assert len(world.sent) == 2
    assert took_s == 2.0


def test_a_retry_that_waits_is_given_up_too_where_its_model_is_gone() -> None:
    def answer(task: Task, n: int) -> Result:
        is_first = (task.index, n) == (0, 1)
        return Failure(why=Why.SERVER_ERROR) if is_first else unserved(task, n)

    world = World(answer)
    stop, _ = drive(
        world, lambda pool: pool.run(of_models("gone", "gone", "m")), n_models=2, n_workers=1
    )
    assert stop is None
    by_index = {outcome.task.index: outcome.course.attempts for outcome in world.settled}
    assert by_index == {0: 1, 1: 1, 2: 1}


def test_where_no_model_is_left_the_run_stops_and_the_rest_stays_owed() -> None:
    world = World(unserved)
    stop, _ = drive(world, lambda pool: pool.run(of_models(*("gone",) * 20)), n_workers=2)
    assert isinstance(stop, Misconfigured)
    assert world.settled == []
    assert len(world.sent) == 2


def test_what_may_stop_the_run_is_tried_again_on_the_house() -> None:
    stop = Unreachable("a firewall")
    caps = replace(CAPS, attempts=1)
    once = World(fails_first(Why.UNREACHABLE, stop=stop, n_tries_before_stop=1))
    assert run(once, 1, caps=caps)[0] is None
    assert isinstance(once.settled[0], Made)
    twice = World(fails_first(Why.UNREACHABLE, times=9, stop=stop, n_tries_before_stop=1))
    assert run(twice, 1, caps=caps)[0] is stop
    assert (len(twice.sent), twice.settled) == (2, [])


def test_what_an_attempt_cost_is_told_when_it_comes_back_whatever_becomes_of_its_task() -> None:
    answer = Answer(cost_usd=0.5)
    stopping = Failure(why=Why.AUTH, answer=answer, stop=NotAllowed("no"))
    world = World(lambda t, n: Failure(why=Why.LOST, answer=answer, is_maybe_billed=True)
                  if n == 1 else stopping)  # fmt: skip
    run(world, n_tasks=1)
    assert world.seen(Back) == [
        Back(cost_usd=0.5, is_maybe_billed=True),
        Back(cost_usd=0.5, is_maybe_billed=False),
    ]
    assert world.settled == []


def test_while_tasks_are_passed_over_what_is_in_flight_goes_on() -> None:
    def tasks() -> Iterator[Task | None]:
        yield task(0)
        yield from [None] * 1_000
        yield task(1)

    world = World(lambda _, __: MADE)
    assert drive(world, lambda pool: pool.run(tasks()))[0] is None
    assert [outcome.task.index for outcome in world.settled] == [0, 1]


def test_a_hint_that_stops_the_run_is_not_told_as_a_wait() -> None:
    world = World(lambda _, __: Failure(why=Why.THROTTLED, retry_after_s=3_600))
    run(world)
    assert world.seen(Held) == []


def test_every_attempt_leaves_its_trail() -> None:
    world = World(
        lambda _, n: (
            Failure(why=Why.LOST, answer=Answer(cost_usd=0.5), is_maybe_billed=True)
            if n == 1
            else MADE
        )
    )
    run(world, n_tasks=1)
    assert world.trails == {(0, 1): [(0.5, True)], (0, 2): []}


def test_what_an_image_cost_is_noted_though_it_cannot_be_kept() -> None:
    class Full(World):
        async def keep(self, outcome: Outcome) -> Receipt:
            raise DiskTrouble("full")

    paid = Got(images=(), answer=Answer(cost_usd=0.25))
    world = Full(lambda _, __: paid)
    stop, _ = run(world, n_tasks=1)
    assert isinstance(stop, DiskTrouble)
    assert world.trails == {(0, 1): [(0.25, False)]}
    untold = Full(lambda _, __: MADE)
    run(untold, n_tasks=1)
    assert untold.trails == {(0, 1): []}


# A budget


def priced(usd: float | None) -> Got:
    return Got(images=(), answer=Answer(cost_usd=usd))


def test_a_budget_ends_the_run_once_nothing_more_fits_and_what_is_out_still_lands() -> None:
    world = World(lambda _, __: priced(0.1))
    stop, _ = run(world, 50, budget=Budget(1.05, prices={"m": 0.1}))
    assert isinstance(stop, Guarded)
    assert "budget of $1.05" in str(stop)
    assert len(world.sent) == len(world.settled) == 10


def test_what_comes_back_for_less_makes_room_for_more() -> None:
    world = World(lambda _, __: priced(0.05))
    budget = Budget(1.0, prices={"m": 0.4})
    run(world, 50, n_workers=16, budget=budget)
    assert len(world.sent) == 13, "0.60 spent leave room for one more at 0.40, 0.65 do not"
    assert budget.spent_usd == pytest.approx(0.65)


def test_a_budget_below_one_image_sends_nothing() -> None:
    world = World(lambda _, __: priced(0.1))
    stop, took = run(world, budget=Budget(0.05, prices={"m": 0.1}))
    assert isinstance(stop, Guarded)
    assert (world.sent, took) == ([], 0)


def test_lost_tries_and_replies_of_unknown_cost_count_in_full() -> None:
    def answer(task: Task, n: int) -> Result:
        if n == 1:
            return Failure(why=Why.LOST, is_maybe_billed=True)
        return Failure(why=Why.NO_IMAGE) if n == 2 else priced(None)

    world = World(answer)
    stop, _ = run(world, 9, n_workers=1, budget=Budget(0.5, prices={"m": 0.1}))
    assert isinstance(stop, Guarded)
    assert len(world.sent) == 5
    (made,) = world.settled
    assert (made.course.n_maybe_billed, made.course.n_unpriced) == (1, 2)
    assert world.trails[0, 2] == [(None, False, "unpriced")]


def test_errors_cost_nothing() -> None:
    world = World(fails_first(Why.SERVER_ERROR, times=2))
    stop, _ = run(world, 3, budget=Budget(0.3, prices={"m": 0.1}))
    assert stop is None
    assert len(world.sent) == 9


def test_a_cheaper_task_does_not_overtake_one_that_waits_for_room() -> None:
    prices = {"dear": 0.9, "cheap": 0.1}
    tasks = [replace(task(0), model="dear"), replace(task(1), model="dear"),
             replace(task(2), model="cheap")]  # fmt: skip
    world = World(lambda _, __: priced(0.1))
    budget = Budget(1.2, prices=prices)
    assert drive(world, lambda pool: pool.run(iter(tasks)), budget=budget)[0] is None
    assert [index for _, index in world.sent] == [0, 1, 2]


def test_a_share_of_failures_ends_the_run_though_they_are_not_in_a_row() -> None:
    world = World(lambda t, _: Failure(why=Why.LOST) if t.index % 2 else MADE)
    guards = Guards(failures_in_a_row=25, grace_s=60, failed_share=0.5)
    stop, _ = run(world, 500, guards=guards, caps=replace(CAPS, lost=1))
    assert isinstance(stop, Guarded)
    assert "50 of the last 100 tasks" in str(stop)
    assert 100 <= len(world.settled) < 110
    patient = Guards(failures_in_a_row=25, grace_s=60)
    assert run(world, 200, guards=patient, caps=replace(CAPS, lost=1))[0] is None
