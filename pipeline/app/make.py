"""Makes what a job wants, or what failed once more: from the folder's lock to the report."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.app.drive import Driver, Run
from pipeline.core.model import Why
from pipeline.errors import Fault, Stop, exit_code_of
from pipeline.job.environment import environment
from pipeline.job.job import Filed
from pipeline.job.keys import key_of
from pipeline.job.load import freeze
from pipeline.job.naming import Naming
from pipeline.job.plan import tasks as tasks_of
from pipeline.job.sources import rows, spool
from pipeline.job.survey import Survey, survey
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms
from pipeline.view.report import Ending
from pipeline.view.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pipeline.core.model import Secret, Task
    from pipeline.core.ports import Event
    from pipeline.job.job import Job
    from pipeline.job.plan import Read
    from pipeline.job.rows import Row
    from pipeline.store.ledger import Ledger

SOME_FAILED = 3


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
    report; ``heeds_signals``: only where the process is ours; ``watch``: is given the driver.
    """

    teller: Callable[[Tally], Teller]
    again: str
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


@contextmanager
def surveyed(job: Job) -> Iterator[tuple[Survey, Read]]:
    """The survey of a job and a way through its rows; standard input is spooled for as long.

    Raises :class:`BadJob` with every fault.
    """
    with ExitStack() as stack:
        stdin = None
        if isinstance(job.prompts, Filed) and job.prompts.path == "-":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="imagebatch-"))
            stdin = Path(folder) / "stdin.jsonl"
            spool(sys.stdin.buffer, stdin)

        def read() -> Iterator[Row | Fault]:
            return rows(job.prompts, stdin=stdin)

        yield survey(job, read), read


def make(job: Job, manner: Manner, note: Callable[[str], None]) -> Report:
    """Make every image the job wants that is not there yet.

    Local checks come first and cost nothing: input, lock, output folder; then the first request.
    ``note`` is told of duplicates. Raises the Stops that come before that request.
    """
    with surveyed(job) as (plan, read):
        if plan.repeated:
            note(plan.repeated)
        if not (Path(job.out) / "manifest.jsonl").exists():
            _key_for(job)  # with something to send for certain, say so before a folder is made
        with _open(job, manner) as folder:
            wanted = Wanted(job, plan, read, folder.ledger)
            folder.freeze(freeze(job))
            folder.note_plan(wanted=plan.n_tasks, unwanted=wanted.unwanted)
            making = _Making(job, folder, manner, wanted.tally_before())
            return making.report_on(wanted.owed(), wanted.counts)


def remake(
    job: Job, manner: Manner, *, whys: Collection[str] = (), ids: Collection[str] = ()
) -> Report:
    """Run failed tasks of the job's output folder again, from the folder alone."""
    with _open(job, manner) as folder:
        chosen = folder.chosen(whys=whys, ids=ids)
        n_chosen = len(chosen) if job.limit is None else min(len(chosen), job.limit)
        tally = Tally(wanted=n_chosen, started_at=time.monotonic())
        making = _Making(job, folder, manner, tally)
        return making.report_on(islice(chosen, n_chosen), lambda: _counts_of(folder))


@dataclass(frozen=True, slots=True)
class Counts:
    """Wanted tasks as they stand."""

    made: int
    failed_by_why: Mapping[str, int]
    owed: int


class Wanted:
    """What a job wants beside what its folder's ledger tells of."""

    def __init__(self, job: Job, plan: Survey, read: Read, ledger: Ledger) -> None:
        """``plan`` may want only the first tasks; ``unwanted`` is seen from the whole plan."""
        self._job = job
        self._plan = plan
        self._read = read
        self._ledger = ledger
        self.unwanted: Collection[str] = ()
        if ledger.n_lines:
            whole = replace(plan, n_wanted=plan.n_tasks)
            self.unwanted = set(ledger.ids()).difference(t.id for t in tasks_of(job, whole, read))

    def owed(self) -> Iterator[Task]:
        """The tasks to ask for, in plan order."""
        return (task for task in self._tasks() if self._ledger.owes(task.id))

    def counts(self) -> Counts:
        """How the wanted tasks stand now."""
        if not self._ledger.n_lines:
            return Counts(0, {}, self._plan.n_wanted)
        words = Counter(self._ledger.word_of(task.id) for task in self._tasks())
        made, owed = words.pop("made", 0), words.pop(None, 0)
        return Counts(made, {str(why): n for why, n in words.items()}, owed)

    def tally_before(self) -> Tally:
        """A tally of the run that is about to begin; it asks again for what may succeed."""
        counts = self.counts()
        n_final = sum(n for why, n in counts.failed_by_why.items() if Why(why).is_final)
        return Tally(
            wanted=self._plan.n_wanted,
            made_before=counts.made,
            failed_before=n_final,
            started_at=time.monotonic(),
        )

    def _tasks(self) -> Iterator[Task]:
        return tasks_of(self._job, self._plan, self._read)


class _Making:
    """One run over an open folder."""

    def __init__(self, job: Job, folder: Folder, manner: Manner, tally: Tally) -> None:
        self._job = job
        self._folder = folder
        self._manner = manner
        self._tally = tally

    def report_on(self, tasks: Iterator[Task], counts: Callable[[], Counts]) -> Report:
        """Settle ``tasks``, then tell how the folder stands; ``counts`` are taken afterwards."""
        driver = self._driver()
        stop = asyncio.run(self._drive(driver, tasks)) if driver else None
        self._folder.write_metadata()
        return self._report(stop, counts(), n_cut_off=driver.n_cut_off if driver else 0)

    def _driver(self) -> Driver | None:
        """None where nothing is left to send: then no key is needed either."""
        if not self._tally.left:
            return None
        self._teller = self._manner.teller(self._tally)
        return Driver(
            Run(
                job=self._job,
                folder=self._folder,
                key=_key_for(self._job),
                observer=self._teller,
                max_runtime_s=self._manner.max_runtime_s,
                tick=self._tick,
                tick_every_s=self._teller.period_s,
            )
        )

    def _tick(self) -> None:
        self._teller.tick()
        self._folder.note_in_flight(self._tally.in_flight)

    async def _drive(self, driver: Driver, tasks: Iterator[Task]) -> Stop | None:
        try:
            if self._manner.heeds_signals:
                driver.heed_signals()
            if self._manner.watch:
                self._manner.watch(driver, asyncio.get_running_loop())
            return await driver.drive(tasks)
        finally:
            self._teller.close()

    def _report(self, stop: Stop | None, counts: Counts, *, n_cut_off: int) -> Report:
        unfinished = SOME_FAILED if counts.failed_by_why or counts.owed else 0
        return Report(
            ending=Ending(
                wanted=counts.made + sum(counts.failed_by_why.values()) + counts.owed,
                made=counts.made,
                failed_by_why=counts.failed_by_why,
                owed=counts.owed,
                output=os.path.relpath(self._job.out),
                again=self._manner.again,
                exit_code=exit_code_of(stop) if stop else unfinished,
                elapsed_s=time.monotonic() - self._tally.started_at,
                cost_usd_in_all=self._folder.ledger.cost_usd,
                reason=str(stop) if stop else None,
                n_cut_off=n_cut_off,
            ),
            tally=self._tally,
            stop=stop,
        )


def _counts_of(folder: Folder) -> Counts:
    standing = folder.standing()
    return Counts(standing.made, standing.failed_by_why, standing.owed)


def _key_for(job: Job) -> Secret | None:
    return key_of(job.chosen, environment())


def _open(job: Job, manner: Manner) -> Folder:
    return Folder(
        Path(job.out),
        Terms(
            job=job.name,
            run=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}",
            path_for=Naming.of(job.path).path_for,
            durability=Durability(job.durability),
            wait_s=manner.wait_s,
            adopt=manner.adopt,
        ),
    )
