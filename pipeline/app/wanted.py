"""What a job asks for, beside what its folder tells of: made, failed, owed."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.app.asking import advice_for
from pipeline.app.prompts import found
from pipeline.core.model import FINAL_WHYS
from pipeline.errors import BadJob, Fault
from pipeline.job.plan import tasks as tasks_of
from pipeline.job.sources import rows
from pipeline.job.survey import survey
from pipeline.provider.references import Library
from pipeline.store.ledger import AllBut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from pipeline.core.model import Task
    from pipeline.job.job import Job
    from pipeline.job.plan import Advice, Read, Survey
    from pipeline.job.rows import Row
    from pipeline.store.ledger import Ledger

_BREATH = 200
"""Tasks passed over in one go: a few milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A job whose every row was looked at once; ``read`` starts another way through them.

    ``prompts`` is the file they are read from, None where the job lists them itself.
    """

    job: Job
    plan: Survey
    read: Read
    prompts: Path | None
    advice: Advice


@contextmanager
def asked(job: Job, note: Callable[[str], None]) -> Iterator[Asked]:
    """Look at every row of ``job``; standard input is spooled for as long as the context lasts.

    ``note`` is told where the prompts have gone and the folder's copy is read instead. Raises
    :class:`BadJob` with every fault.
    """
    with found(job, note) as prompts:

        def read() -> Iterator[Row | Fault]:
            return rows(job.prompts, file=prompts)

        advice = advice_for(job, Library())
        plan = survey(job, read, advice=advice)
        yield Asked(job=job, plan=plan, read=read, prompts=prompts, advice=advice)


@dataclass(frozen=True, slots=True)
class Counts:
    """Wanted tasks as they stand, and how many the folder holds that are no longer wanted."""

    made: int
    failed_by_why: Mapping[str, int]
    owed: int
    unwanted: int = 0

    @property
    def to_send(self) -> int:
        """How many a run would ask for: the owed, and the failed that may succeed."""
        return self.owed + sum(n for why, n in self.failed_by_why.items() if why not in FINAL_WHYS)

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())


class Wanted:
    """What a job wants beside what its folder's ledger tells of."""

    def __init__(self, asked: Asked, ledger: Ledger) -> None:
        """Walk once through the whole plan where the folder holds anything.

        ``unwanted``: the ids of the folder that the whole plan does not ask for, ``before``: how
        the wanted tasks stand now, which may be the first of the plan only.
        """
        self._asked = asked
        self._ledger = ledger
        self._n_wanted = asked.plan.n_wanted
        words: Counter[str | None] = Counter()
        self.unwanted = _unwanted(self._whole(words), asked.plan.n_tasks, ledger.ids())
        self.before = self._counts_of(words)

    def owed(self) -> Iterator[Task | None]:
        """The tasks to ask for, in plan order; raises :class:`BadJob` where rows have gone.

        None now and then, while it passes over what is there already: time for something else.
        """
        n_left, n_passed = self._n_wanted, 0
        for task in self._tasks(self._asked.plan):
            n_left -= 1
            if self._ledger.owes(task.id):
                yield task
                continue
            n_passed += 1
            if n_passed % _BREATH == 0:
                yield None
        if n_left:
            what = "was changed while the run went on. Run the same command to go on"
            raise BadJob([Fault(self._asked.job.prompts.label, 0, 0, "", what)])

    def counts(self) -> Counts:
        """How the wanted tasks stand now."""
        if self._n_wanted == self._asked.plan.n_tasks:
            now = self._ledger.counts(without=self.unwanted)
            owed = self._n_wanted - now.made - now.failed
            return Counts(now.made, now.failed_by_why, owed, len(self.unwanted))
        tasks = self._tasks(self._asked.plan)
        return self._counts_of(Counter(self._ledger.word_of(task.id) for task in tasks))

    def _counts_of(self, words: Counter[str | None]) -> Counts:
        del words[None]
        owed = self._n_wanted - words.total()
        made, n_unwanted = words.pop("made", 0), len(self.unwanted)
        return Counts(made, {str(why): n for why, n in words.items()}, owed, n_unwanted)

    def _whole(self, words: Counter[str | None]) -> Iterator[str]:
        """The ids of the whole plan; ``words`` counts how those to be made stand."""
        whole = replace(self._asked.plan, n_wanted=self._asked.plan.n_tasks)
        for number, task in enumerate(self._tasks(whole) if self._ledger.n_lines else ()):
            if number < self._n_wanted:
                words[self._ledger.word_of(task.id)] += 1
            yield task.id

    def _tasks(self, plan: Survey) -> Iterator[Task]:
        asked = self._asked
        return tasks_of(asked.job, plan, asked.read, advice=asked.advice)


def _unwanted(
    wanted: Iterable[str], n_wanted: int, held: AbstractSet[str]
) -> AbstractSet[str] | AllBut:
    """What is ``held`` and not ``wanted``, in the shorter of two ways to say it."""
    if n_wanted >= len(held):
        unwanted = set(held)
        for task_id in wanted:
            unwanted.discard(task_id)
        return frozenset(unwanted)  # a set that lost most of what it held keeps its size
    asked = set(wanted)
    n_others = len(held) - sum(task_id in held for task_id in asked)
    return AllBut(ids=asked, n_others=n_others) if n_others > len(asked) else held - asked
