"""Joins the stages for one run and drives its tasks to their outcomes."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.asking import mark_for, provider_for
from pipeline.app.clock import SystemClock
from pipeline.app.descriptors import room_for
from pipeline.app.prices import no_price, prices_of, worst_prices
from pipeline.engine.pool import Pool
from pipeline.engine.retry import Caps, Retry
from pipeline.engine.routes import Route
from pipeline.engine.stages import Guards, Stages
from pipeline.engine.worker import Worker
from pipeline.errors import DiskTrouble, Guarded, Interrupted, Misconfigured, Stop
from pipeline.job.environment import proxy_for
from pipeline.limit.budget import Budget, Spent
from pipeline.limit.gate import Gate
from pipeline.provider.catalog import Catalog
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.remote import Remote
from pipeline.provider.simulator.child import running

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pipeline.core.model import Secret, Task
    from pipeline.core.ports import Observer
    from pipeline.job.job import Job
    from pipeline.store.folder import Folder

GO_ON = "Run the same command to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run works with. ``max_runtime_s`` counts from when :meth:`Driver.drive` begins.

    ``n_tasks``: how many there are to settle, where that is known.

    ``tick`` is called every ``tick_every_s`` seconds while it goes on. ``doubts`` is given what the
    provider's list says against one of ``models``; None: the list is not asked for.
    """

    job: Job
    folder: Folder
    key: Secret | None
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
        if self._run.models and (stop := self._too_little()):
            return stop
        async with AsyncExitStack() as stack:
            n_workers = self._n_workers()
            self._brace(n_workers, loop)
            self._starting = asyncio.current_task()
            try:
                worker, budget = await self._connected(stack)
            except asyncio.CancelledError:
                if self._early is None:
                    raise
                return self._early
            finally:
                self._starting = None
            self._pool = self._new_pool(worker, budget, n_workers)
            if self._run.max_runtime_s is not None:
                reason = Guarded(f"--max-runtime is over. {GO_ON}")
                loop.call_later(self._run.max_runtime_s, self.stop, reason)
            self._tick(loop)
            try:
                return await self._pool.run(tasks)
            finally:
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

    async def _connected(self, stack: AsyncExitStack) -> tuple[Worker, Budget]:
        """What asks, and what it may cost; raises where nobody knows what it does cost."""
        job, key = self._run.job, self._run.key
        profile = job.profile
        base_url = profile.base_url or ""
        if profile.simulator:
            base_url = await stack.enter_async_context(running(profile.simulator))
        address = Address(
            base_url=base_url, key=key, headers=profile.headers, proxy=proxy_for(base_url)
        )
        patience = Patience(
            connect_s=job.timeouts.connect,
            idle_s=job.timeouts.idle,
            total_s=job.timeouts.total,
            most_body_bytes=profile.max_body,
        )
        transport = await stack.enter_async_context(Http(address, patience))
        links = Remote(address, patience) if profile.remote_images else None
        mask = key.masked_in if key else str
        listed = await self._catalog(transport, base_url)
        worker = Worker(
            provider=provider_for(profile, mask=mask, gives=listed.gives),
            transport=transport,
            links=await stack.enter_async_context(links) if links else None,
            problem_of=self._run.folder.problem_of if job.verify == "decode" else None,
            mark=mark_for(profile),
        )
        return worker, self._budget(listed)

    async def _catalog(self, http: Http, base_url: str) -> Catalog:
        """The models the provider lists. The embedded one serves every name."""
        run = self._run
        if run.doubts is None or run.job.is_simulated:
            return Catalog()
        listed = await catalog.known(
            http, base_url=base_url, key=run.key, dialect=run.job.profile.dialect
        )
        for doubt in catalog.doubts(listed, run.models, run.job.chosen):
            run.doubts(doubt)
        return listed

    def _n_workers(self) -> int:
        most = self._run.job.limits.concurrency
        n_useful = most if self._run.n_tasks is None else self._run.n_tasks
        return room_for(min(most, n_useful))

    def _budget(self, listed: Catalog) -> Budget:
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
        try:
            budget = self._budget(prices_of(self._run.job).catalog)
        except Misconfigured:  # the provider's list may tell
            return None
        if not all(map(budget.is_used_up, self._run.models)):
            return None
        return Guarded(budget.reason(min(self._run.models, key=budget.worst_usd)))

    def _new_pool(self, worker: Worker, budget: Budget, n_workers: int) -> Pool:
        job = self._run.job
        limits, retry = job.limits, job.retry
        caps = Caps(
            attempts=retry.attempts,
            max_wait_s=retry.max_wait,
            no_image=retry.no_image,
            refused=retry.refused,
            lost=retry.lost,
            is_throttling_free=limits.adaptive,
        )
        gate = Gate(concurrency=limits.concurrency, requests_per_minute=limits.requests_per_minute)
        stages = Stages(
            routes=[Route(name=job.provider, attempt=worker.attempt, gate=gate)],
            budget=budget,
            retry=Retry(caps, uniform=random.Random().uniform),  # noqa: S311 - jitter, no secret
            store=self._run.folder,
            observer=self._run.observer,
            clock=SystemClock(),
        )
        guards = Guards(
            failures_in_a_row=job.stop.failures_in_a_row,
            grace_s=job.stop.grace_int,
            longest_reply_s=job.timeouts.total,
            n_models=len(self._run.models),
        )
        return Pool(stages, guards, n_workers=n_workers)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._run.tick and self._run.tick_every_s:
            self._run.tick()
            loop.call_later(self._run.tick_every_s, self._tick, loop)
