"""The tasks of a plan that was looked at once: in order, each request once."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import BadJob, Fault
from pipeline.job.plan import NO_ADVICE, BadReference, Planner
from pipeline.job.rows import Row

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.core.model import Task
    from pipeline.job.job import Job
    from pipeline.job.kinds import Kinds
    from pipeline.job.plan import Advice, Ask
    from pipeline.job.repeats import Buffer


class Read(Protocol):
    """Starts a way through the rows of a job."""

    def __call__(self, n_passed: int = 0, /) -> Iterable[Row | Fault]:
        """The rows in order; the first ``n_passed`` were looked at before and are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the first pass over a plan found.

    ``n_combinations``: rows times cells; ``n_tasks``: different tasks in the plan; ``n_wanted``:
    those that ``--limit`` leaves; ``n_repeated``: tasks that are an earlier one's request and are
    made once, which ``repeated`` says in words. ``axes``: how many values each axis has.
    ``models``: those asked for, the first thousand. ``first``: the first tasks, to show.
    ``has_references``: whether some have input images.
    ``repeats``: the asks to pass over, by their number. ``ids``: of each ask the id of its first
    task, ten bytes each; ``kinds``: what makes their prices, None where nobody looked.
    """

    n_rows: int
    n_combinations: int
    n_tasks: int
    n_wanted: int
    n_repeated: int
    repeated: str | None
    axes: Mapping[str, int]
    models: tuple[str, ...]
    first: tuple[Task, ...]
    has_references: bool
    repeats: array[int] = field(repr=False)
    ids: Buffer = field(repr=False)
    kinds: Kinds | None = field(repr=False)


def tasks(
    job: Job, survey: Survey, read: Read, *, advice: Advice = NO_ADVICE, start: int = 0
) -> Iterator[Task]:
    """The tasks of the plan in order, each request once, as many as ``--limit`` leaves.

    ``read`` starts another way through the rows that ``survey`` has found to be sound; ``start``:
    the ask to begin with, which only a job of one sample knows. Raises :class:`BadJob` where an
    input image is not sound any more.
    """
    n_before = start - bisect_left(survey.repeats, start)
    asks = unrepeated(job, survey, read, advice=advice, start=start)
    every = (ask.task(sample) for ask in asks for sample in ask.samples)
    return itertools.islice(every, max(0, survey.n_wanted - n_before))


def unrepeated(
    job: Job, survey: Survey, read: Read, *, advice: Advice = NO_ADVICE, start: int = 0
) -> Iterator[Ask]:
    """What the plan asks for, each request once; as :func:`tasks`, and without any ``--limit``."""
    planner = Planner(job, advice)
    n_passed = planner.pass_over(start)
    rows = (row for row in read(n_passed) if isinstance(row, Row))
    asks = itertools.chain.from_iterable(_sound(planner, row, job) for row in rows)
    numbered = enumerate(asks, planner.n_combinations)
    repeats = iter(survey.repeats[bisect_left(survey.repeats, planner.n_combinations) :])
    repeat = next(repeats, None)
    for number, ask in numbered:
        if number == repeat:
            repeat = next(repeats, None)
        elif number >= start:
            yield ask


def _sound(planner: Planner, row: Row, job: Job) -> Iterator[Ask]:
    try:
        yield from planner.asks(row)
    except BadReference as bad:
        raise BadJob([Fault(job.prompts.label, row.line, 0, "references", str(bad))]) from None
