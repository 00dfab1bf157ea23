"""Many workers: a TaskGroup over one heap of due retries and one shared iterator.

A worker waits for two things at once, leave to send and something to send, and binds the two as
late as it can: whoever is first in line asks the gate, then takes the retry that is longest due,
else the next new task. So a retry never waits for a second pass, memory grows with the workers
and not with the tasks, and there is one timer, held by the first in line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Course, Failed, Failure, Made, Outcome, Task, Why
from pipeline.core.ports import (
    Back,
    Draining,
    Ending,
    Held,
    Sent,
    Settled,
    TriedAgain,
)
from pipeline.engine.breaker import Breaker
from pipeline.engine.errand import Errand
from pipeline.engine.retry import LONGEST_HINT_S
from pipeline.engine.worker import Got
from pipeline.errors import Guarded, Interrupted, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.ports import Ticket, Trail
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
        self._new: Iterator[Task | None] = iter(())
        self._waiting: list[tuple[float, int, Errand]] = []
        self._at_once: deque[Errand] = deque()
        self._n_waited = 0
        self._n_busy = 0
        self._n_out = 0
        self._front = asyncio.Lock()
        self._changed = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._stop: Stop | None = None
        self._is_exhausted = False
        self._breaker = Breaker(guards, stages.clock, stages.observer)
        self.n_cut_off = 0

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal has stopped it already."""
        return isinstance(self._stop, Interrupted)

    async def run(self, tasks: Iterator[Task | None]) -> Stop | None:
        """Settle ``tasks``; returns why the run stopped before its end, None if it did not.

        None among them is a breath: the iterator is at work, and others may have a turn.
        """
        self._new = tasks
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
            errand, ticket = turn
            try:
                await (self._attempt(errand, ticket) if ticket else self._forgo(errand))
            except Stop as stop:
                self.stop(stop)
            finally:
                self._n_busy -= 1
                self._changed.set()

    async def _turn(self) -> tuple[Errand, Ticket | None] | None:
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
                wait_s = max(self._wait_for_work(now), self._stages.gate.wait(now))
                if wait_s <= 0 and (errand := self._take(now)):
                    if self._is_affordable(errand):
                        self._n_busy += 1
                        return errand, self._stages.gate.leave(now)
                    wait_s = inf  # until one comes back that cost less than it might have
                if self._is_all_done():
                    return None
                await (self._change(wait_s) if wait_s > 0 else asyncio.sleep(0))
        return None

    def _wait_for_work(self, now: float) -> float:
        if self._at_once or self._may_take_new():
            return 0.0
        return max(0.0, self._waiting[0][0] - now) if self._waiting else inf

    def _may_take_new(self) -> bool:
        # While an endpoint is down the heap would otherwise swallow the whole job.
        return not self._is_exhausted and len(self._waiting) < 2 * self._n_workers

    def _take_left_out(self, now: float) -> Errand | None:
        """The next errand, if its model was left out; else it stays the next."""
        errand = self._take(now)
        if errand is None or errand.task.model in self._breaker.left_out:
            return errand
        self._at_once.appendleft(errand)
        return None

    def _take(self, now: float) -> Errand | None:
        if self._stop:
            return None
        if self._at_once:
            return self._at_once.popleft()
        if self._waiting and self._waiting[0][0] <= now:
            return heappop(self._waiting)[2]
        return self._take_new() if self._may_take_new() else None

    def _is_affordable(self, errand: Errand) -> bool:
        """Reserve what it may cost; where there is no room for that, it stays the next."""
        budget, model = self._stages.budget, errand.task.model
        if budget.allows(model):
            budget.reserve(model)
            return True
        self._at_once.appendleft(errand)
        if budget.is_used_up(model):
            self.stop(Guarded(budget.reason(model)), grace_s=self._guards.longest_reply_s)
        return False

    def _take_new(self) -> Errand | None:
        try:
            task = next(self._new)
        except StopIteration:
            self._is_exhausted = True
            return None
        except Stop as stop:
            self.stop(stop)
            return None
        return Errand(task=task) if task else None

    def _is_all_done(self) -> bool:
        return self._is_exhausted and not self._at_once and not self._waiting and self._n_busy == 0

    async def _change(self, wait_s: float) -> None:
        """Until something comes back, is stopped or falls due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait_s == inf else wait_s):
                await self._changed.wait()

    async def _attempt(self, errand: Errand, ticket: Ticket) -> None:
        clock, store = self._stages.clock, self._stages.store
        at = clock.utc()
        trail = store.begin(errand.task, errand.n_sent + 1, at=at)
        errand.started_at = errand.started_at or at
        errand.n_sent += 1
        self._n_out += 1
        self._stages.observer.see(Sent(task=errand.task, attempt=errand.n_sent))
        result: Got | Failure | None = None
        try:
            result = await self._guarded(errand.task, trail)
        finally:
            now = clock.now()
            self._n_out -= 1
            self.n_cut_off += result is None
            self._return(ticket, now, result)
        cost_usd = result.answer.cost_usd
        is_maybe_billed = isinstance(result, Failure) and result.is_maybe_billed
        is_charged = is_maybe_billed or result.is_unpriced
        self._stages.budget.settle(errand.task.model, cost_usd=cost_usd, is_charged=is_charged)
        errand.add(cost_usd, is_maybe_billed=is_maybe_billed, is_unpriced=result.is_unpriced)
        self._stages.observer.see(Back(cost_usd=cost_usd, is_maybe_billed=is_maybe_billed))
        latency_s = now - ticket.left_at
        if isinstance(result, Got):
            self._breaker.brought_images()
            course = self._course(errand, latency_s)
            made = Made(task=errand.task, images=result.images, answer=result.answer, course=course)
            with _known_cost(trail, cost_usd):
                await self._settle(made)
        else:
            trail.back(
                cost_usd=cost_usd, is_maybe_billed=is_maybe_billed, is_unpriced=result.is_unpriced
            )
            await self._failed(errand, result, latency_s)

    async def _guarded(self, task: Task, trail: Trail) -> Got | Failure:
        """One attempt; a bug of ours in one reply costs that attempt, not the run."""
        try:
            return await self._stages.attempt(task, trail)
        except Stop:
            raise
        except Exception as bug:  # noqa: BLE001 - the guard around one task
            detail = f"internal error, please report it: {type(bug).__name__}: {bug}"
            return Failure(why=Why.BAD_REPLY, answer=Answer(detail=detail), is_maybe_billed=True)

    def _return(self, ticket: Ticket, now: float, result: Got | Failure | None) -> None:
        failure = result if isinstance(result, Failure) else None
        hint_s = failure.retry_after_s if failure else None
        self._stages.gate.back(ticket, now, _ending(result), retry_after_s=hint_s)
        is_heeded = failure is not None and failure.stop is None
        if hint_s and is_heeded and SHORTEST_HOLD_TOLD_S <= hint_s <= LONGEST_HINT_S:
            self._stages.observer.see(Held(wait_s=hint_s))

    async def _failed(self, errand: Errand, failure: Failure, latency_s: float) -> None:
        wait_s = self._stages.retry.wait_after(errand.history, failure)
        if self._breaker.leaves_out(errand, failure):
            wait_s = None
        elif stop := self._breaker.reason_to_stop(errand, failure):
            self.stop(stop)
            return
        if wait_s is not None:
            self._put_back(errand, failure, wait_s)
        else:
            course = self._course(errand, latency_s)
            await self._settle(
                Failed(task=errand.task, why=failure.why, answer=failure.answer, course=course)
            )

    async def _forgo(self, errand: Errand) -> None:
        """Give up a task unasked: its model was left out, for the reason that others met."""
        failure = self._breaker.left_out[errand.task.model]
        answer = Answer(detail=failure.answer.detail)
        course = self._course(errand, 0.0)
        failed = Failed(task=errand.task, why=failure.why, answer=answer, course=course)
        await self._settle(failed)

    def _put_back(self, errand: Errand, failure: Failure, wait_s: float) -> None:
        """A 429 that costs no attempt goes to the front: the gate is what holds it."""
        if wait_s == 0:
            self._at_once.append(errand)
        else:
            self._n_waited += 1
            due = self._stages.clock.now() + wait_s
            heappush(self._waiting, (due, self._n_waited, errand))
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
        receipt = await self._stages.store.keep(outcome)
        self._stages.observer.see(Settled(receipt=receipt))
        if stop := self._breaker.settled(outcome):
            self.stop(stop)

    def _course(self, errand: Errand, latency_s: float) -> Course:
        clock, provider = self._stages.clock, self._stages.provider
        return errand.course(finished_at=clock.utc(), latency_s=latency_s, provider=provider)


@contextmanager
def _known_cost(trail: Trail, cost_usd: float | None) -> Iterator[None]:
    """Where images cannot be kept, what they cost is still noted, if that can be."""
    try:
        yield
    except Stop:
        if cost_usd is not None:
            with suppress(Stop):
                trail.back(cost_usd=cost_usd, is_maybe_billed=False, is_unpriced=False)
        raise


def _ending(result: Got | Failure | None) -> Ending:
    """What the gate is told; an attempt that was cancelled tells nothing against the endpoint."""
    if not isinstance(result, Failure):
        return Ending.OK
    if result.why is Why.THROTTLED:
        return Ending.REFUSED
    return Ending.FAULT if result.why.is_the_providers_fault else Ending.OK
