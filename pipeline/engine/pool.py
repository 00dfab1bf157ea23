"""Many workers: a TaskGroup over one heap of due retries and one shared iterator.

A worker waits for two things at once, leave to send and something to send, and binds the two as
late as it can: whoever is first in line asks the gate, then takes the retry that is longest due,
else the next new task. So a retry never waits for a second pass, memory grows with the workers
and not with the tasks, and there is one timer, held by the first in line.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Course, Failed, Failure, Made, Outcome, Task, Why
from pipeline.core.ports import (
    Draining,
    Held,
    HeldBy,
    RouteClosed,
    Sent,
    Settled,
    TriedAgain,
)
from pipeline.engine.accounts import Accounts, known_cost
from pipeline.engine.breaker import Breaker
from pipeline.engine.queue import Queue
from pipeline.engine.retry import LONGEST_HINT_S
from pipeline.engine.routes import Routes
from pipeline.engine.tail import Tail
from pipeline.engine.worker import Got
from pipeline.errors import Guarded, Interrupted, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.ports import LaneState, Trail
    from pipeline.engine.errand import Errand
    from pipeline.engine.routes import Leave, Route
    from pipeline.engine.stages import Guards, Stages

SHORTEST_HOLD_TOLD_S = 1.0


class Pool:
    """Drives every task to its outcome, or stops the run with a reason."""

    def __init__(self, stages: Stages, guards: Guards, *, n_workers: int) -> None:
        """``n_workers``: attempts that can be under way at once.

        ``n_cut_off`` counts those that were ended without an answer because the run stopped.
        """
        self._stages = stages
        self._guards = guards
        self._n_workers = n_workers
        self._routes = Routes(stages.routes, overall=stages.overall)
        self._queue = Queue(iter(()), n_workers=n_workers)
        self._tail = Tail(longest_s=guards.longest_reply_s)
        self._is_short_of_money = False
        self._n_busy = 0
        self._n_out = 0
        self._front = asyncio.Lock()
        self._changed = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._stop: Stop | None = None
        self._accounts = Accounts(stages.budget, stages.observer)
        self._breaker = Breaker(guards, stages.clock, stages.observer)
        self.n_cut_off = 0

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal has stopped it already."""
        return isinstance(self._stop, Interrupted)

    def states(self) -> list[LaneState]:
        """How each route that is open stands, and what holds its next request back."""
        now = self._stages.clock.now()
        n_kept = self._n_busy - self._n_out
        of_all = None
        if self._queue.is_empty:
            of_all = HeldBy.END
        elif self._is_short_of_money:
            of_all = HeldBy.BUDGET
        elif n_kept > self._n_workers / 2:
            of_all = HeldBy.DISK
        return self._routes.states(now, of_all)

    async def run(self, tasks: Iterator[Task | None]) -> Stop | None:
        """Settle ``tasks``; returns why the run stopped before its end, None if it did not.

        None among them is a breath: the iterator is at work, and others may have a turn.
        """
        self._queue = Queue(tasks, n_workers=self._n_workers)
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as self._patience, asyncio.TaskGroup() as group:
                for _ in range(self._n_workers):
                    group.create_task(self._work())
        return self._stop

    def stop(self, reason: Stop, *, grace_s: float | None = None) -> None:
        """Send nothing any more and drain, for at most ``grace_s`` seconds (0: end now).

        The first reason given is the run's, but a signal beats a guard; a later call can only
        shorten the drain.
        """
        grace_s = self._guards.grace_s if grace_s is None else grace_s
        is_signal = isinstance(reason, Interrupted) and not self.is_interrupted
        if self._stop is None or is_signal:
            self._stop = reason
            self._stages.observer.see(
                Draining(
                    reason=str(reason),
                    in_flight=self._n_out,
                    grace_s=grace_s,
                    is_signalled=isinstance(reason, Interrupted),
                )
            )
        self._changed.set()
        if self._patience and not self._patience.expired():
            end = asyncio.get_running_loop().time() + grace_s
            self._patience.reschedule(min(end, self._patience.when() or inf))

    async def _work(self) -> None:
        while turn := await self._turn():
            errand, leave = turn
            try:
                await (self._attempt(errand, leave) if leave else self._forgo(errand))
            except Stop as stop:
                self.stop(stop)
            finally:
                self._n_busy -= 1
                self._changed.set()

    async def _turn(self) -> tuple[Errand, Leave | None] | None:
        """Leave to send and the errand to send; None when there is nothing left to do.

        An errand whose model was left out needs no leave, and does not wait for it.
        """
        async with self._front:
            while self._stop is None:
                self._changed.clear()
                now = self._stages.clock.now()
                if self._breaker.left_out and (errand := self._take_left_out(now)):
                    self._n_busy += 1
                    return errand, None
                wait_s = max(self._queue.wait(now), self._routes.wait(now))
                if wait_s <= 0 and (errand := self._take(now)):
                    if leave := self._leave_for(errand, now):
                        self._n_busy += 1
                        return errand, leave
                    self._queue.put_first(errand)
                    wait_s = self._routes.wait_of(errand.task, now) or inf
                elif self._queue.is_empty and self._n_busy:
                    straggler, wait_s = self._tail.straggler(now)
                    if straggler:
                        if leave := self._leave_for(straggler, now, is_copy=True):
                            self._n_busy += 1
                            return straggler, leave
                        wait_s = self._routes.wait_of(straggler.task, now, is_copy=True) or inf
                if self._queue.is_empty and not self._n_busy:
                    return None
                await (self._change(wait_s) if wait_s > 0 else asyncio.sleep(0))
        return None

    def _take_left_out(self, now: float) -> Errand | None:
        """The next errand, if its model was left out; else it stays the next."""
        errand = self._take(now)
        if errand is None or errand.task.model in self._breaker.left_out:
            return errand
        self._queue.put_first(errand)
        return None

    def _take(self, now: float) -> Errand | None:
        try:
            return None if self._stop else self._queue.take(now)
        except Stop as stop:
            self.stop(stop)
            return None

    def _leave_for(self, errand: Errand, now: float, *, is_copy: bool = False) -> Leave | None:
        """Leave to send it, where a route is free and what it may cost is there to be spent."""
        route = self._routes.choose(errand.task, now, is_copy=is_copy)
        if route is None or not self._is_affordable(errand.task):
            return None
        return self._routes.leave(route, now)

    def _is_affordable(self, task: Task) -> bool:
        """Reserve what it may cost; where there never will be room for that, the run ends."""
        budget = self._stages.budget
        self._is_short_of_money = not budget.allows(task.model)
        if not self._is_short_of_money:
            budget.reserve(task.model)
            return True
        if budget.is_used_up(task.model):
            reason = Guarded(budget.reason(task.model))
            self.stop(reason, grace_s=self._guards.longest_reply_s)
        return False

    async def _change(self, wait_s: float) -> None:
        """Until something comes back, is stopped or falls due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait_s == inf else wait_s):
                await self._changed.wait()

    async def _attempt(self, errand: Errand, leave: Leave) -> None:
        clock, store = self._stages.clock, self._stages.store
        at = clock.utc()
        trail = store.begin(errand.task, errand.n_sent + 1, at=at)
        errand.started_at = errand.started_at or at
        errand.n_sent += 1
        self._n_out += 1
        self._stages.observer.see(Sent(task=errand.task, attempt=errand.n_sent))
        result: Got | Failure | None = None
        try:
            result = await self._flown(errand, leave, trail)
        finally:
            now = clock.now()
            self._n_out -= 1
            self.n_cut_off += result is None
            self._return(errand, leave, now, result)
        if errand.is_settled:
            self._accounts.forget(errand, result)
            return
        self._accounts.settle(errand, result)
        latency_s = now - leave.ticket.left_at
        if isinstance(result, Got):
            self._breaker.brought_images()
            self._tail.beat(errand, now)
            course = self._course(errand, leave.route, latency_s)
            made = Made(task=errand.task, images=result.images, answer=result.answer, course=course)
            with known_cost(trail, result.answer.cost_usd):
                await self._settle(made)
        else:
            trail.back(
                cost_usd=result.answer.cost_usd,
                is_maybe_billed=result.is_maybe_billed,
                is_unpriced=result.is_unpriced,
            )
            if not errand.n_out:  # else a copy of it may still bring its images
                await self._failed(errand, result, leave.route, latency_s)

    async def _flown(self, errand: Errand, leave: Leave, trail: Trail) -> Got | Failure:
        """One attempt, given up where it takes many times as long as usual."""
        route, now = leave.route, self._stages.clock.now()
        patience_s = self._tail.timeout_s(route, errand.task.model)
        async with self._tail.flight(errand, route, now, patience_s) as flight:
            flight.landed = await self._guarded(route, errand.task, trail)
        return flight.outcome(self._stages.clock.now())

    async def _guarded(self, route: Route, task: Task, trail: Trail) -> Got | Failure:
        """One attempt; a bug of ours in one reply costs that attempt, not the run."""
        try:
            return await route.attempt(task, trail)
        except Stop:
            raise
        except Exception as bug:  # noqa: BLE001 - the guard around one task
            detail = f"internal error, please report it: {type(bug).__name__}: {bug}"
            return Failure(why=Why.BAD_REPLY, answer=Answer(detail=detail), is_maybe_billed=True)

    def _return(
        self, errand: Errand, leave: Leave, now: float, result: Got | Failure | None
    ) -> None:
        self._routes.back(leave, now, result, is_beaten=errand.is_settled)
        failure = result if isinstance(result, Failure) else None
        hint_s = failure.retry_after_s if failure else None
        is_heeded = failure is not None and failure.stop is None
        if hint_s and is_heeded and SHORTEST_HOLD_TOLD_S <= hint_s <= LONGEST_HINT_S:
            self._stages.observer.see(Held(wait_s=hint_s))

    async def _failed(
        self, errand: Errand, failure: Failure, route: Route, latency_s: float
    ) -> None:
        is_free = route.gate.is_sick and failure.is_unbilled_fault
        wait_s = 0.0 if is_free else self._stages.retry.wait_after(errand.history, failure)
        if self._is_left_to_others(errand, failure, route):
            wait_s = 0.0
        elif self._breaker.leaves_out(errand, failure):
            wait_s = None
        elif stop := self._breaker.reason_to_stop(errand, failure):
            self.stop(stop)
            return
        if wait_s is not None:
            self._put_back(errand, failure, wait_s)
        else:
            course = self._course(errand, route, latency_s)
            await self._settle(
                Failed(task=errand.task, why=failure.why, answer=failure.answer, course=course)
            )

    def _is_left_to_others(self, errand: Errand, failure: Failure, route: Route) -> bool:
        """Whether this route will not serve again, and another one does instead."""
        stop = self._breaker.reason_to_stop(errand, failure)
        if stop is None:
            return False
        if failure.is_of_the_model:
            return self._routes.close_for(route, errand.task)
        was_open = self._routes.is_open(route)
        if not self._routes.close(route):
            return False
        if was_open:
            self._stages.observer.see(RouteClosed(route=route.name, reason=str(stop)))
        return self._routes.serve(errand.task)

    async def _forgo(self, errand: Errand) -> None:
        """Give up a task unasked: its model was left out, for the reason that others met."""
        failure = self._breaker.left_out[errand.task.model]
        answer = Answer(detail=failure.answer.detail)
        course = self._course(errand, self._stages.routes[0], 0.0)
        failed = Failed(task=errand.task, why=failure.why, answer=answer, course=course)
        await self._settle(failed)

    def _put_back(self, errand: Errand, failure: Failure, wait_s: float) -> None:
        """A 429 that costs no attempt goes to the front: the gate is what holds it."""
        if wait_s == 0:
            self._queue.put_soon(errand)
        else:
            self._queue.put_until(errand, self._stages.clock.now() + wait_s)
        self._stages.observer.see(
            TriedAgain(
                task=errand.task,
                attempt=errand.n_sent,
                why=failure.why,
                detail=failure.answer.detail,
                wait_s=wait_s,
            )
        )

    async def _settle(self, outcome: Outcome) -> None:
        if stop := self._breaker.settled(outcome):
            self.stop(stop)  # before it is kept, which takes a while: nothing more is to be sent
        receipt = await self._stages.store.keep(outcome)
        self._stages.observer.see(Settled(receipt=receipt))

    def _course(self, errand: Errand, route: Route, latency_s: float) -> Course:
        finished_at = self._stages.clock.utc()
        return errand.course(finished_at=finished_at, latency_s=latency_s, provider=route.name)
