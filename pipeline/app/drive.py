"""Joins the stages for one run and drives its tasks to their outcomes."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.app.clock import SystemClock
from pipeline.app.descriptors import room_for
from pipeline.app.members import Means, Member, connected, doubts, overall_gate
from pipeline.app.prices import no_price, prices_of, worst_prices
from pipeline.engine.pool import Pool
from pipeline.engine.retry import Caps, Retry
from pipeline.engine.stages import Guards, Stages
from pipeline.errors import DiskTrouble, Guarded, Interrupted, Misconfigured, Stop
from pipeline.job import limits
from pipeline.limit.budget import Budget, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pipeline.core.model import Secret, Task
    from pipeline.core.ports import Observer
    from pipeline.job.job import Job
    from pipeline.provider.catalog import Catalog
    from pipeline.store.folder import Folder

TICK_S = 1.0
GO_ON = "Run the same command to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run works with. ``keys``: of each provider, by its name.

    ``max_runtime_s`` counts from when :meth:`Driver.drive` begins.

    ``n_tasks``: how many there are to settle, where that is known.

    ``tick`` is called every ``tick_every_s`` seconds while it goes on, at least every second.
    ``doubts`` is given what the provider's list says against one of ``models``; None: the list is
    not asked for.
    """

    job: Job
    folder: Folder
    keys: Mapping[str, Secret | None]
    observer: Observer
    n_tasks: int | None = None
    max_runtime_s: float | None = None
    tick: Callable[[], None] | None = None
    tick_every_s: float | None = None
    models: Collection[str] = ()
    doubts: Callable[[str], None] | None = None


class Driver:
    """Drives one run; can be told to stop from a signal or from another thread's loop."""

    def __init__(self, run: Run) -> None:
        """Nothing starts before :meth:`drive`."""
        self._run = run
        self._pool: Pool | None = None
        self._early: Stop | None = None
        self._starting: asyncio.Task[object] | None = None
        self.n_cut_off = 0

    async def drive(self, tasks: Iterator[Task | None]) -> Stop | None:
        """Settle ``tasks``; returns why it stopped before its end, None if it did not."""
        loop = asyncio.get_running_loop()
        if stop := self._too_little():
            return stop
        async with AsyncExitStack() as stack:
            n_workers = self._n_workers()
            self._brace(n_workers, loop)
            self._starting = asyncio.current_task()
            try:
                members, budget = await self._connected(stack)
            except asyncio.CancelledError:
                if self._early is None:
                    raise
                return self._early
            finally:
                self._starting = None
            self._pool = self._new_pool(members, budget, n_workers)
            if self._run.max_runtime_s is not None:
                reason = Guarded(f"--max-runtime is over. {GO_ON}")
                loop.call_later(self._run.max_runtime_s, self.stop, reason)
            self._tick(loop)
            try:
                return await self._pool.run(tasks)
            finally:
                self._tell_lanes()
                self.n_cut_off = self._pool.n_cut_off
                self._pool = None

    def stop(self, reason: Stop, *, grace_s: float | None = None) -> None:
        """Send no more, drain for ``grace_s`` (default: the job's). In the loop's thread."""
        if self._pool:
            self._pool.stop(reason, grace_s=grace_s)
        elif self._starting:
            self._early = self._early or reason
            self._starting.cancel()

    def heed_signals(self) -> None:
        """The first SIGINT or SIGTERM drains, a second one ends it; inside the running loop."""
        loop = asyncio.get_running_loop()
        graces = self._run.job.stop
        for number, grace_s, how in (
            (signal.SIGINT, graces.grace_int, "interrupted"),
            (signal.SIGTERM, graces.grace_term, "ended by SIGTERM"),
        ):
            reason = Interrupted(f"{how}. {GO_ON}", signal_number=number)
            loop.add_signal_handler(number, self._signalled, reason, grace_s)

    def _brace(self, n_workers: int, loop: asyncio.AbstractEventLoop) -> None:
        """Keep room for what is in flight; once that is needed, nothing more is sent."""
        reason = f"the disk of {self._run.folder.root} is full. Free some space. {GO_ON}"

        def when_full() -> None:
            with suppress(RuntimeError):  # the loop is over: nothing is sent any more anyway
                loop.call_soon_threadsafe(self.stop, DiskTrouble(reason))

        self._run.folder.brace(n_workers=n_workers, when_full=when_full)

    def _signalled(self, reason: Interrupted, grace_s: float) -> None:
        is_second = self._pool is not None and self._pool.is_interrupted
        self.stop(reason, grace_s=0.0 if is_second else grace_s)

    async def _connected(self, stack: AsyncExitStack) -> tuple[list[Member], Budget]:
        """Who is asked, and what it may cost; raises where nobody knows what it does cost."""
        run, job = self._run, self._run.job
        means = Means(
            stack=stack,
            keys=run.keys,
            asks_for_lists=run.doubts is not None,
            problem_of=run.folder.problem_of if job.verify == "decode" else None,
        )
        members = [await connected(job, chosen, means) for chosen in job.pool]
        if run.doubts is not None:
            for doubt in doubts(members, run.models):
                run.doubts(doubt)
        return members, self._budget({one.chosen.name: one.listed for one in members})

    def _n_workers(self) -> int:
        most = limits.overall(self._run.job).concurrency
        n_useful = most if self._run.n_tasks is None else self._run.n_tasks
        return room_for(min(most, n_useful))

    def _budget(self, listed: Mapping[str, Catalog]) -> Budget:
        """What is left of the budget; where the job sets none, there is no end to it."""
        run, ceiling_usd = self._run, self._run.job.budget.usd
        if ceiling_usd is None:
            return Budget()
        seen = run.folder.ledger.replies_usd
        prices = worst_prices(run.job, run.models, listed, seen)
        if unknown := [model for model in run.models if model not in prices]:
            raise Misconfigured(no_price(unknown))
        spent = Spent(usd=run.folder.cost_usd, unknown=run.folder.unknown_costs, met=seen)
        return Budget(ceiling_usd, prices=prices, before=spent)

    def _too_little(self) -> Stop | None:
        """Why not one request fits the budget, where that is known without asking anybody."""
        job, models = self._run.job, self._run.models
        if job.budget.usd is None or not models:
            return None
        try:
            budget = self._budget(prices_of(job).catalogs)
        except Misconfigured:  # the provider's list may tell
            return None
        if not all(map(budget.is_used_up, models)):
            return None
        return Guarded(budget.reason(min(models, key=budget.worst_usd)))

    def _new_pool(self, members: Sequence[Member], budget: Budget, n_workers: int) -> Pool:
        job = self._run.job
        retry = job.retry
        caps = Caps(
            attempts=retry.attempts,
            max_wait_s=retry.max_wait,
            no_image=retry.no_image,
            refused=retry.refused,
            lost=retry.lost,
            is_throttling_free=job.limits.adaptive,
        )
        stages = Stages(
            routes=[member.route for member in members],
            overall=overall_gate(job),
            budget=budget,
            retry=Retry(caps, uniform=random.Random().uniform),  # noqa: S311 - jitter, no secret
            store=self._run.folder,
            observer=self._run.observer,
            clock=SystemClock(),
        )
        guards = Guards(
            failures_in_a_row=job.stop.failures_in_a_row,
            grace_s=job.stop.grace_int,
            failed_share=job.stop.failed_share,
            longest_reply_s=job.timeouts.total,
            n_models=len(self._run.models),
        )
        return Pool(stages, guards, n_workers=n_workers)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Every second: ``status`` reads of the lanes what is fresh."""
        self._tell_lanes()
        if self._run.tick:
            self._run.tick()
        loop.call_later(min(self._run.tick_every_s or TICK_S, TICK_S), self._tick, loop)

    def _tell_lanes(self) -> None:
        states = self._pool.states() if self._pool else []
        for state in states:
            self._run.observer.see(state)
        self._run.folder.tell(states)
