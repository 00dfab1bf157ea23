"""What a job asks for, beside what its folder tells of: made, failed, owed."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import __version__
from pipeline.app.asking import advice_for
from pipeline.app.prompts import found
from pipeline.core.model import FINAL_WHYS
from pipeline.errors import BadJob, Fault
from pipeline.job import memo
from pipeline.job.kinds import Kind, kind_of
from pipeline.job.repeats import ID_BYTES, mixed, number_of, texts_of
from pipeline.job.sources import rows
from pipeline.job.survey import survey
from pipeline.job.tasks import tasks as tasks_of
from pipeline.job.tasks import unrepeated
from pipeline.provider.references import Library
from pipeline.store.ledger import DONE_WORDS, AllBut
from pipeline.store.prompts import read_survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.core.model import Task
    from pipeline.job.job import Job
    from pipeline.job.kinds import Kinds
    from pipeline.job.plan import Advice, Ask
    from pipeline.job.rows import Row
    from pipeline.job.tasks import Read, Survey
    from pipeline.store.folder import Folder
    from pipeline.store.ledger import Ledger

_BREATH = 200
"""Tasks passed over in one go: a few milliseconds."""
_AT_ONCE = 4096  # ids
_WORTH_A_KEY_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A job whose every row was looked at once; ``read`` starts another way through them.

    ``prompts`` is the file they are read from, None where the job lists them itself. ``key``: by
    which what was seen is known again, None where it was not looked at now.
    """

    job: Job
    plan: Survey
    read: Read
    prompts: Path | None
    advice: Advice
    key: _Key | None = None

    def remember(self, folder: Folder) -> None:
        """Have the next run spared another look at the rows, where that takes a while.

        Raises :class:`DiskTrouble`.
        """
        if self.key and self.key.holds() and memo.is_worth_it(self.plan):
            folder.keep_survey(memo.pieces_of(self.plan, self.key.text))


@contextmanager
def asked(job: Job, note: Callable[[str], None], *, kinds: Kinds | None = None) -> Iterator[Asked]:
    """Look at every row of ``job``; standard input is spooled for as long as the context lasts.

    What an earlier run saw of the same job and the same rows, byte for byte, holds still. ``note``
    is told where the prompts have gone and the folder's copy is read instead; ``kinds`` takes in
    what makes the prices. Raises :class:`BadJob` with every fault.
    """
    with found(job, note) as prompts:

        def read(n_passed: int = 0, /) -> Iterator[Row | Fault]:
            return rows(job.prompts, file=prompts, n_passed=n_passed)

        advice = advice_for(job, Library())
        key = _key_of(job, prompts) if prompts and kinds is None else None
        if key and (known := memo.survey_in(read_survey(Path(job.out)), job, key.text)):
            yield Asked(job=job, plan=known, read=read, prompts=prompts, advice=advice)
            return
        plan = survey(job, read, advice=advice, kinds=kinds)
        yield Asked(job=job, plan=plan, read=read, prompts=prompts, advice=advice, key=key)


def _key_of(job: Job, prompts: Path) -> _Key | None:
    """None where they are few, are no file, or cannot be read: the survey tells why."""
    try:
        if not prompts.is_file() or prompts.stat().st_size < _WORTH_A_KEY_BYTES:
            return None
        stamp = _stamp(prompts)
        with prompts.open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
    return _Key(memo.key_of(job, content, __version__), prompts, stamp)


class _Key(NamedTuple):
    """By which a survey is known again, and of which file it holds."""

    text: str
    prompts: Path
    stamp: tuple[int, int, int]

    def holds(self) -> bool:
        """Whether nobody wrote to the prompts since."""
        with suppress(OSError):
            return _stamp(self.prompts) == self.stamp
        return False


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


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
        """Go once through the ids of the whole plan where the folder holds anything.

        ``unwanted``: the ids of the folder that the whole plan does not ask for, ``before``: how
        the wanted tasks stand now, which may be the first of the plan only.
        """
        self._asked = asked
        self._ledger = ledger
        self._n_wanted = asked.plan.n_wanted
        self._n_in_front = 0  # tasks that are not owed, before the first that is
        words, n_held = self._words()
        self.unwanted: AbstractSet[str] | AllBut = frozenset()
        if n_held < len(ledger.ids()):
            ids = itertools.chain.from_iterable(self._ids())
            self.unwanted = _unwanted(ids, asked.plan.n_tasks, ledger.ids())
        self.before = self._counts_of(words)

    def owed(self) -> Iterator[Task | None]:
        """The tasks to ask for, in plan order; raises :class:`BadJob` where rows have gone.

        None now and then, while it passes over what is there already: time for something else.
        What is there in front is passed over without a look at its rows.
        """
        n_passed = self._n_in_front
        n_left = self._n_wanted - n_passed
        for task in self._tasks(start=number_of(n_passed, self._asked.plan.repeats)):
            n_left -= 1
            if self._ledger.owes(task.id):
                yield task
                continue
            n_passed += 1
            if n_passed % _BREATH == 0:
                yield None
        if n_left > 0:
            what = "was changed while the run went on. Run the same command to go on"
            raise BadJob([Fault(self._asked.job.prompts.label, 0, 0, "", what)])

    def owed_kinds(self) -> Counter[Kind]:
        """How many of the tasks to ask for are of which kind."""
        if self._asked.job.samples > 1 or self._asked.plan.kinds is None:
            return self._owed_kinds_by_ask()
        kinds, n_before = Counter[int](), 0
        places = self._asked.plan.kinds.without(self._asked.plan.repeats)[: self._n_wanted]
        if not self._ledger.n_lines:
            kinds.update(places)
        for ids in self._ids():
            here = places[n_before : n_before + len(ids)]
            owed = (word not in DONE_WORDS for word in self._ledger.words_of(ids))
            kinds.update(itertools.compress(here, owed))
            n_before += len(ids)
        every = self._asked.plan.kinds.every
        return Counter({every[place]: n for place, n in kinds.items()})

    def counts(self) -> Counts:
        """How the wanted tasks stand now."""
        if self._n_wanted == self._asked.plan.n_tasks:
            now = self._ledger.counts(without=self.unwanted)
            owed = self._n_wanted - now.made - now.failed
            return Counts(now.made, now.failed_by_why, owed, len(self.unwanted))
        return self._counts_of(self._words()[0])

    def _words(self) -> tuple[Counter[str | None], int]:
        """How the wanted tasks stand, and how many of the whole plan the ledger tells of."""
        if self._is_all_made():
            self._n_in_front = self._n_wanted
            return Counter({"made": self._n_wanted}), self._asked.plan.n_tasks
        counts, n_beyond, n_left = Counter[str | None](), 0, self._n_wanted
        self._n_in_front = 0
        is_front, n_held = True, len(self._ledger.ids())
        for ids in self._ids():
            words = self._ledger.words_of(ids)
            if is_front:
                n_done = sum(1 for _ in itertools.takewhile(DONE_WORDS.__contains__, words))
                self._n_in_front += n_done
                is_front = n_done == len(words)
            counts.update(words[:n_left])
            n_beyond += sum(word is not None for word in words[n_left:])
            n_left = max(0, n_left - len(ids))
            if counts.total() - counts[None] + n_beyond == n_held:
                break  # the others are not there
        if self._asked.job.samples > 1:  # which ask a task is of takes a look at the rows
            self._n_in_front = 0
        self._n_in_front = min(self._n_in_front, self._n_wanted)
        del counts[None]
        return counts, counts.total() + n_beyond

    def _is_all_made(self) -> bool:
        """Whether the folder tells of the whole plan, made, and of nothing else: quickly seen."""
        plan, held = self._asked.plan, self._ledger.ids()
        if self._asked.job.samples > 1 or plan.repeats or len(held) != plan.n_tasks:
            return False
        if self._ledger.counts().made < len(held):
            return False
        texts = iter(held)
        step = _AT_ONCE * ID_BYTES
        pieces = (plan.ids[start : start + step] for start in range(0, len(plan.ids), step))
        try:
            made = mixed(map(_packed, iter(lambda: list(itertools.islice(texts, _AT_ONCE)), [])))
        except ValueError:
            return False
        return made == mixed(pieces)

    def _counts_of(self, words: Counter[str | None]) -> Counts:
        owed = self._n_wanted - words.total()
        made, n_unwanted = words.pop("made", 0), len(self.unwanted)
        by_why = {str(why): n for why, n in words.items()}
        return Counts(made, by_why, owed, n_unwanted)

    def _ids(self) -> Iterator[list[str]]:
        """The ids of the whole plan in order, some thousands at a time; none for a new folder."""
        plan = self._asked.plan
        if not self._ledger.n_lines:
            return iter(())
        if self._asked.job.samples == 1:
            return texts_of(plan.ids, plan.repeats)
        ids = (ask.digest(sample).hex() for ask in self._asks() for sample in ask.samples)
        return iter(lambda: list(itertools.islice(ids, _AT_ONCE)), [])

    def _owed_kinds_by_ask(self) -> Counter[Kind]:
        kinds, n_left = Counter[Kind](), self._n_wanted
        for ask in self._asks():
            samples = ask.samples[:n_left]
            n_left -= len(samples)
            n_owed = len(samples)
            if self._ledger.n_lines:
                n_owed = sum(self._ledger.owes(ask.digest(one).hex()) for one in samples)
            if n_owed:
                kinds[kind_of(ask)] += n_owed
            if not n_left:
                break
        return kinds

    def _tasks(self, *, start: int) -> Iterator[Task]:
        asked = self._asked
        return tasks_of(asked.job, asked.plan, asked.read, advice=asked.advice, start=start)

    def _asks(self) -> Iterator[Ask]:
        asked = self._asked
        return unrepeated(asked.job, asked.plan, asked.read, advice=asked.advice)


def _packed(ids: Sequence[str]) -> bytes:
    """Ids in binary; raises ValueError where they are none of ours."""
    if {ID_BYTES * 2} != set(map(len, ids)):
        raise ValueError("another's id")
    return bytes.fromhex("".join(ids))


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
