"""Makes what a job wants, or what failed once more: from the folder's lock to the report."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.app.clock import run_name
from pipeline.app.onward import Selection, with_next
from pipeline.app.prompts import keep_prompts
from pipeline.app.wanted import Counts, Wanted, asked
from pipeline.errors import BadOutput, DiskTrouble, Interrupted, Stop, exit_code_of
from pipeline.job.environment import environment
from pipeline.job.keys import Keyhole
from pipeline.job.load import freeze
from pipeline.job.naming import Naming
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms
from pipeline.store.manifest import MANIFEST
from pipeline.store.status import Origin, read_origin
from pipeline.view.report import Ending
from pipeline.view.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.app.drive import Driver
    from pipeline.core.model import Task
    from pipeline.core.ports import Event
    from pipeline.job.job import Job

SOME_FAILED = 3
QUICK_ROWS = 100_000
"""Rows of ``metadata.jsonl`` that are written in about a second."""


class Teller(Protocol):
    """Tells of a run while it goes on."""

    @property
    def period_s(self) -> float | None:
        """How often :meth:`tick` wants to be called, None: never."""

    def see(self, event: Event) -> None:
        """Something happened."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """The run is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to go about it.

    ``teller`` is made once the tally is known; ``again``: the command that goes on, for the
    report; ``words``: what followed ``imagebatch run``, which the folder notes; ``heeds_signals``:
    only where the process is ours; ``watch``: is given the driver.
    """

    teller: Callable[[Tally], Teller]
    again: str
    words: tuple[str, ...] = ()
    wait_s: float = 0.0
    adopt: bool = False
    max_runtime_s: float | None = None
    heeds_signals: bool = False
    watch: Callable[[Driver, asyncio.AbstractEventLoop], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run left its folder. ``stop`` says why it ended early, None where it did not."""

    ending: Ending
    tally: Tally = field(repr=False)
    stop: Stop | None

    @property
    def made(self) -> int:
        """Wanted tasks that have their images."""
        return self.ending.made

    @property
    def failed(self) -> int:
        """Wanted tasks that failed."""
        return self.ending.failed

    @property
    def owed(self) -> int:
        """Wanted tasks that are in no line yet."""
        return self.ending.owed

    @property
    def cost_usd(self) -> float:
        """What this run cost, as far as the provider told."""
        return self.tally.cost_usd

    @property
    def output(self) -> Path:
        """The output folder."""
        return Path(self.ending.output)

    @property
    def exit_code(self) -> int:
        """The exit code of the command that does the same."""
        return self.ending.exit_code


def make(job: Job, manner: Manner, note: Callable[[str], None]) -> Report:
    """Make every image the job wants that is not there yet.

    Local checks come first and cost nothing: input, lock, output folder; then the first request.
    ``note`` is told of prompts that have gone, of duplicates, of models nobody lists, and where
    most of what is there is no longer wanted. Raises the Stops that come before that request.
    """
    keyhole = Keyhole(job.pool, environment())
    with asked(job, note) as wish:
        if wish.plan.repeated:
            note(wish.plan.repeated)
        if not (Path(job.out) / MANIFEST).exists():
            keyhole.look()  # with something to send for certain, say so before a folder is made
        with _open(job, manner, note) as folder:
            if not manner.adopt:
                _refuse_the_other_kind(job, folder)
            _pass_on(folder.remarks, note)
            keep_prompts(job, folder, wish.prompts)
            wish.remember(folder)
            n_unwanted = folder.n_unwanted
            wanted = Wanted(wish, folder.ledger)
            if wanted.before.to_send:
                _pass_on(_change_of(job, folder, len(wanted.unwanted) - n_unwanted), note)
            folder.freeze(freeze(job))
            folder.note_plan(
                wanted=wish.plan.n_tasks, unwanted=wanted.unwanted, origin=_origin(job, manner)
            )
            making = _Making(job, folder, manner, _tally_of(wanted.before), keyhole)
            making.doubt(wish.plan.models, note)
            return making.report_on(wanted.owed(), wanted.counts)


def remake(job: Job, manner: Manner, note: Callable[[str], None], chosen_by: Selection) -> Report:
    """Run failed tasks of the job's output folder again, from the folder alone."""
    with _open(job, manner, note) as folder:
        _pass_on(folder.remarks, note)
        chosen = folder.chosen(whys=chosen_by.whys, ids=chosen_by.ids)
        n_chosen = len(chosen) if job.limit is None else min(len(chosen), job.limit)
        tally = Tally(wanted=n_chosen, started_at=time.monotonic())
        making = _Making(job, folder, manner, tally, Keyhole(job.pool, environment()))
        making.doubt(tuple({task.model for task in chosen}), _silently)
        report = making.report_on(islice(chosen, n_chosen), lambda: _counts_of(folder))
        ending = with_next(report.ending, report.stop, folder, chosen_by)
        return replace(report, ending=ending)


class _Making:
    """One run over an open folder."""

    def __init__(
        self, job: Job, folder: Folder, manner: Manner, tally: Tally, keyhole: Keyhole
    ) -> None:
        self._job = job
        self._folder = folder
        self._manner = manner
        self._tally = tally
        self._keyhole = keyhole
        self._models: tuple[str, ...] = ()
        self._note: Callable[[str], None] = _silently

    def doubt(self, models: tuple[str, ...], note: Callable[[str], None]) -> None:
        """Tell ``note`` where the provider does not list one of ``models``."""
        self._models, self._note = models, note

    def report_on(self, tasks: Iterator[Task | None], counts: Callable[[], Counts]) -> Report:
        """Settle ``tasks``, then tell how the folder stands; ``counts`` are taken afterwards."""
        driver = self._driver()
        stop = self._driven(driver, tasks) if driver else None
        self._folder.finish()
        # Who sent a signal waits for the end; the next run writes what is missing.
        if not isinstance(stop, Interrupted) or self._folder.ledger.n_lines <= QUICK_ROWS:
            try:
                self._folder.write_metadata()
            except DiskTrouble as trouble:
                stop = stop or trouble
        return self._report(stop, counts(), n_cut_off=driver.n_cut_off if driver else 0)

    def _driven(self, driver: Driver, tasks: Iterator[Task | None]) -> Stop | None:
        """Run the loop; afterwards signals mean again what they meant before."""
        with ExitStack() as afterwards:
            for number in (signal.SIGINT, signal.SIGTERM) if self._manner.heeds_signals else ():
                afterwards.callback(signal.signal, number, signal.getsignal(number))
            return asyncio.run(self._drive(driver, tasks))

    def _driver(self) -> Driver | None:
        """None where nothing is left to send: then no key is needed either."""
        if not self._tally.left:
            return None
        from pipeline.app.drive import Driver, Run  # with it aiohttp: only where something is sent

        self._teller = self._manner.teller(self._tally)
        return Driver(
            Run(
                job=self._job,
                folder=self._folder,
                keys=self._keyhole.look(),
                observer=self._teller,
                n_tasks=self._tally.left,
                max_runtime_s=self._manner.max_runtime_s,
                tick=self._teller.tick,
                tick_every_s=self._teller.period_s,
                models=self._models,
                doubts=self._note,
            )
        )

    async def _drive(self, driver: Driver, tasks: Iterator[Task | None]) -> Stop | None:
        try:
            if self._manner.heeds_signals:
                driver.heed_signals()
            if self._manner.watch:
                self._manner.watch(driver, asyncio.get_running_loop())
            return await driver.drive(tasks)
        finally:
            self._teller.close()

    def _report(self, stop: Stop | None, counts: Counts, *, n_cut_off: int) -> Report:
        unfinished = SOME_FAILED if counts.failed or counts.owed else 0
        return Report(
            ending=Ending(
                wanted=counts.made + counts.failed + counts.owed,
                made=counts.made,
                failed_by_why=counts.failed_by_why,
                owed=counts.owed,
                unwanted=counts.unwanted,
                output=os.path.relpath(self._job.out),
                again=self._manner.again,
                exit_code=exit_code_of(stop) if stop else unfinished,
                elapsed_s=time.monotonic() - self._tally.started_at,
                cost_usd_in_all=self._folder.cost_usd,
                maybe_billed_in_all=self._folder.n_maybe_billed,
                reason=str(stop) if stop else None,
                n_cut_off=n_cut_off,
            ),
            tally=self._tally,
            stop=stop,
        )


def _pass_on(remarks: Iterable[str], note: Callable[[str], None]) -> None:
    for remark in remarks:
        note(remark)


def _silently(_: str) -> None:
    """Say nothing."""


def _counts_of(folder: Folder) -> Counts:
    standing = folder.standing()
    return Counts(standing.made, standing.failed_by_why, standing.owed, standing.unwanted)


def _refuse_the_other_kind(job: Job, folder: Folder) -> None:
    """Drawn pictures and bought ones never share a folder: a rerun could not tell them apart."""
    origin = read_origin(folder.root)
    if origin is None or not folder.ledger.n_lines or origin.is_simulated is job.is_simulated:
        return
    now, before = ("simulated", "real") if job.is_simulated else ("real", "simulated")
    raise BadOutput(
        f"{folder.root} holds {before} images, and this run's would be {now}: choose another "
        "folder with --out, or mix them with --adopt"
    )


def _change_of(job: Job, folder: Folder, n_new: int) -> Iterator[str]:
    """What to say where most of the folder is no longer wanted, ``n_new`` tasks since the last run.

    It may be a template that was edited, or another job file of the same name.
    """
    n_there = len(folder.ledger.ids())
    if 2 * n_new > n_there:
        yield (
            f"{n_new:,} of {n_there:,} tasks in {os.path.relpath(job.out)} are no longer wanted"
            " by this job: they stay, counted apart. If they are another job's, stop this run and"
            " choose another folder with --out"
        )


def _origin(job: Job, manner: Manner) -> Origin:
    return Origin(
        words=tuple(map(_in_unicode, manner.words)),
        here=_in_unicode(str(Path().absolute())),
        out=_in_unicode(job.out),
        is_simulated=job.is_simulated,
    )


def _in_unicode(word: str) -> str:
    """A word that JSON can hold; of bytes that are no text only a mark is left."""
    return word.encode(errors="replace").decode()


def _tally_of(counts: Counts) -> Tally:
    """The tally of a run that is about to begin; it asks again for what may succeed."""
    wanted = counts.made + counts.failed + counts.owed
    return Tally(
        wanted=wanted,
        made_before=counts.made,
        failed_before=wanted - counts.made - counts.to_send,
        started_at=time.monotonic(),
    )


def _open(job: Job, manner: Manner, note: Callable[[str], None]) -> Folder:
    return Folder(
        Path(job.out),
        Terms(
            job=job.name,
            run=run_name(),
            path_for=Naming.of(job.path).path_for,
            durability=Durability(job.durability),
            wait_s=manner.wait_s,
            waits=note,
            adopt=manner.adopt,
        ),
    )
