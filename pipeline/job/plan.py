"""A job and its rows become tasks: rows times cells times samples, each with its identity."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pipeline.core.model import Keep, Task
from pipeline.job import template
from pipeline.job.matrix import Grid
from pipeline.job.rows import SETTINGS, Row
from pipeline.job.template import BadTemplate, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline.errors import Fault
    from pipeline.job.job import Job
    from pipeline.job.matrix import Cell
    from pipeline.job.survey import Survey

    Read = Callable[[], Iterable[Row | Fault]]

_ID_BYTES = 10


class Ask(NamedTuple):
    """Tasks that differ in nothing but their sample.

    ``combination`` numbers rows times cells from 0. ``asked`` is what the tasks ask for in
    canonical JSON, all but seed and sample; ``settings`` has every name of
    :data:`pipeline.job.rows.SETTINGS`.
    """

    combination: int
    samples: range
    prompt: str
    settings: Mapping[str, Any]
    vars: Mapping[str, Any]
    meta: Mapping[str, Any]
    asked: bytes

    def seed(self, sample: int) -> int | None:
        """The seed as it is sent."""
        seed = self.settings["seed"]
        return None if seed is None else seed + sample

    def digest(self, sample: int) -> bytes:
        """The identity of one of the tasks: ten bytes that hash everything it asks for."""
        seed = self.seed(sample)
        tail = f"\n{sample}\n{'' if seed is None else seed}"
        return hashlib.blake2b(self.asked + tail.encode(), digest_size=_ID_BYTES).digest()

    def task(self, sample: int) -> Task:
        """The task of one sample."""
        settings = self.settings
        return Task(
            id=self.digest(sample).hex(),
            index=self.combination,
            sample=sample,
            prompt=self.prompt,
            model=settings["model"],
            aspect_ratio=settings["aspect_ratio"],
            image_size=settings["image_size"],
            seed=self.seed(sample),
            params=settings["params"],
            keep=settings["keep"],
            vars=self.vars,
            meta=self.meta,
        )


def tasks(job: Job, survey: Survey, read: Read) -> Iterator[Task]:
    """The tasks of the plan in order, each request once, as many as ``--limit`` leaves.

    ``read`` starts another way through the rows that ``survey`` has found to be sound.
    """
    asks = itertools.chain.from_iterable(_asks(job, read))
    every = (ask.task(sample) for ask in _once(asks, survey) for sample in ask.samples)
    return itertools.islice(every, survey.n_wanted)


def _asks(job: Job, read: Read) -> Iterator[Iterator[Ask]]:
    planner = Planner(job)
    return (planner.asks(row) for row in read() if isinstance(row, Row))


def _once(asks: Iterable[Ask], survey: Survey) -> Iterator[Ask]:
    repeats = iter(survey.repeats)
    repeat = next(repeats, None)
    for number, ask in enumerate(asks):
        if number == repeat:
            repeat = next(repeats, None)
        else:
            yield ask


class Planner:
    """The rule that makes tasks of rows; it numbers their combinations as they come."""

    def __init__(self, job: Job) -> None:
        """Take the job apart once, for all rows."""
        self.grid = Grid(job.matrix)
        self._template = template.parse(job.template) if job.template else None
        self._samples = range(job.samples)
        self._varies_by_sample = self._template is not None and "sample" in self._template.names
        self._settings = {name: getattr(job, name) for name in SETTINGS}
        self._cell_settings = [name for name in job.matrix.names if name in SETTINGS]
        self._is_simulated = job.is_simulated
        self._n_combinations = 0

    def asks(self, row: Row) -> Iterator[Ask]:
        """What one row asks for, cell by cell; raises :class:`BadTemplate`."""
        for cell in self.grid.cells(row.value_of):
            index = self._n_combinations
            self._n_combinations += 1
            yield from self._asks_of(row, cell, index)

    def _asks_of(self, row: Row, cell: Cell, index: int) -> Iterator[Ask]:
        settings = self._merged(row, cell)
        if not self._varies_by_sample:
            yield self._ask(row, cell, settings, index, self._samples)
            return
        for sample in self._samples:
            yield self._ask(row, cell, settings, index, range(sample, sample + 1))

    def _ask(
        self, row: Row, cell: Cell, settings: Mapping[str, Any], index: int, samples: range
    ) -> Ask:
        prompt = self._rendered(row, cell, settings, index, samples[0])
        asked = _canonical(prompt, settings, is_simulated=self._is_simulated)
        return Ask(index, samples, prompt, settings, cell, row.meta, asked)

    def _merged(self, row: Row, cell: Cell) -> Mapping[str, Any]:
        """The settings of one combination: an axis beats the row, the row the job."""
        own = [name for name in self._cell_settings if cell.get(name) is not None]
        if not own and not row.settings:
            return self._settings
        by_cell = {name: _setting(name, cell[name]) for name in own}
        merged = {**self._settings, **row.settings, **by_cell}
        if "params" in row.settings or "params" in by_cell:
            layers = (self._settings, row.settings, by_cell)
            merged["params"] = {k: v for one in layers for k, v in one.get("params", {}).items()}
        return merged

    def _rendered(
        self, row: Row, cell: Cell, settings: Mapping[str, Any], index: int, sample: int
    ) -> str:
        if self._template is None:
            return row.prompt
        values = {**row.meta, **settings, **cell, "prompt": row.prompt, "index": index}
        values["sample"] = sample
        if row.id is not None:
            values["row"] = row.id
        prompt = self._template.render(values)
        if not prompt.strip():
            raise BadTemplate("the filled-in prompt is blank")
        return prompt


def _setting(name: str, value: Any) -> Any:
    if name == "keep":
        return Keep(value)
    return plain(value) if name in {"aspect_ratio", "image_size"} else value


def _canonical(prompt: str, settings: Mapping[str, Any], *, is_simulated: bool) -> bytes:
    """What is asked for, all but seed and sample, the same bytes for the same request.

    A setting that is not given is left out, so that settings of later versions change no identity.
    """
    asked: dict[str, Any] = {"prompt": prompt, "params": settings["params"]}
    for name in ("model", "aspect_ratio", "image_size"):
        if settings[name] is not None:
            asked[name] = settings[name]
    if is_simulated:
        asked["simulated"] = True
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
