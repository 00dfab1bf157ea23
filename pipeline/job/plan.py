"""A job and its rows become tasks: rows times cells times samples, each with its identity."""

from __future__ import annotations

import functools
import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pipeline.core.model import Keep, Reference, Task
from pipeline.errors import BadJob, Fault
from pipeline.job import template
from pipeline.job.matrix import Grid
from pipeline.job.rows import SETTINGS, Row
from pipeline.job.template import BadTemplate, MissingName, plain

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline.job.job import Job
    from pipeline.job.matrix import Cell

    Read = Callable[[], Iterable[Row | Fault]]

_ID_BYTES = 10


def _no_reference(text: str) -> Reference | str:
    return f"{text}: input images cannot be looked at here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a plan has to ask of others: it reads no image and knows no provider's dialect.

    ``reference``: the input image a text means, or what is wrong with it. ``unsayable``: of a
    task's settings the first that cannot be said to the provider, and why; None where all can.
    """

    reference: Callable[[str], Reference | str] = _no_reference
    unsayable: Callable[[Mapping[str, Any]], tuple[str, str] | None] = lambda _: None


NO_ADVICE = Advice()


class BadReference(BadTemplate):
    """A row whose input image cannot be sent.

    ``number`` is its place in the list, from 0; ``is_literal``: the list says so itself, whatever
    the row; ``missing``: the name that a template asks for and the row does not have.
    """

    def __init__(
        self, what: str, number: int, *, is_literal: bool, missing: MissingName | None = None
    ) -> None:
        """``what`` is wrong."""
        super().__init__(what)
        self.number, self.is_literal, self.missing = number, is_literal, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the first pass over a plan found.

    ``n_combinations``: rows times cells; ``n_tasks``: different tasks in the plan; ``n_wanted``:
    those that ``--limit`` leaves; ``n_repeated``: tasks that are an earlier one's request and are
    made once, which ``repeated`` says in words. ``axes``: how many values each axis has.
    ``models``: those asked for, the first thousand. ``first``: the first tasks, to show.
    ``repeats``: the asks to pass over, by their number.
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
    repeats: array[int] = field(repr=False)


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
    references: tuple[Reference, ...]

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
            references=self.references,
        )


def tasks(job: Job, survey: Survey, read: Read, *, advice: Advice = NO_ADVICE) -> Iterator[Task]:
    """The tasks of the plan in order, each request once, as many as ``--limit`` leaves.

    ``read`` starts another way through the rows that ``survey`` has found to be sound. Raises
    :class:`BadJob` where an input image is not sound any more.
    """
    asks = itertools.chain.from_iterable(_asks(job, read, advice))
    every = (ask.task(sample) for ask in _once(asks, survey) for sample in ask.samples)
    return itertools.islice(every, survey.n_wanted)


def _asks(job: Job, read: Read, advice: Advice) -> Iterator[Iterator[Ask]]:
    planner = Planner(job, advice)
    return (_sound(planner, row, job) for row in read() if isinstance(row, Row))


def _sound(planner: Planner, row: Row, job: Job) -> Iterator[Ask]:
    try:
        yield from planner.asks(row)
    except BadReference as bad:
        raise BadJob([Fault(job.prompts.label, row.line, 0, "references", str(bad))]) from None


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

    def __init__(self, job: Job, advice: Advice = NO_ADVICE) -> None:
        """Take the job apart once, for all rows."""
        self._advice = advice
        self.grid = Grid(job.matrix)
        self._template = template.parse(job.template) if job.template else None
        self._samples = range(job.samples)
        self._template_names = frozenset(self._template.names if self._template else ())
        self._settings = {name: getattr(job, name) for name in SETTINGS}
        self._cell_settings = [name for name in job.matrix.names if name in SETTINGS]
        self._is_simulated = job.is_simulated
        self._n_combinations = 0

    def asks(self, row: Row) -> Iterator[Ask]:
        """What one row asks for, cell by cell; raises :class:`BadTemplate`.

        What is wrong with its references is a :class:`BadReference`.
        """
        for cell in self.grid.cells(row.value_of):
            index = self._n_combinations
            self._n_combinations += 1
            yield from self._asks_of(row, cell, index)

    def _asks_of(self, row: Row, cell: Cell, index: int) -> Iterator[Ask]:
        settings = self._merged(row, cell)
        references = [_parsed(text) for text in settings["references"]]
        names = self._template_names.union(*(one.names for one in references))
        if not _differs_by_sample(names, settings):
            yield self._ask(row, cell, settings, index, self._samples)
            return
        for sample in self._samples:
            yield self._ask(row, cell, settings, index, range(sample, sample + 1))

    def _ask(
        self, row: Row, cell: Cell, settings: Mapping[str, Any], index: int, samples: range
    ) -> Ask:
        values = _values(row, cell, settings, index, samples[0])
        prompt = self._rendered(row, values)
        references = self._references(settings["references"], values)
        asked = _canonical(prompt, settings, references, is_simulated=self._is_simulated)
        return Ask(index, samples, prompt, settings, cell, row.meta, asked, references)

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

    def _rendered(self, row: Row, values: Callable[[], Mapping[str, Any]]) -> str:
        if self._template is None:
            return row.prompt
        prompt = self._template.render(values())
        if not prompt.strip():
            raise BadTemplate("the filled-in prompt is blank")
        return prompt

    def _references(
        self, texts: tuple[str, ...], values: Callable[[], Mapping[str, Any]]
    ) -> tuple[Reference, ...]:
        return tuple(self._reference(n, text, values) for n, text in enumerate(texts))

    def _reference(
        self, number: int, text: str, values: Callable[[], Mapping[str, Any]]
    ) -> Reference:
        parsed = _parsed(text)
        is_literal = not parsed.names
        try:
            rendered = parsed.render(values()) if parsed.names else text
        except BadTemplate as bad:
            missing = bad if isinstance(bad, MissingName) else None
            raise BadReference(str(bad), number, is_literal=False, missing=missing) from None
        found: Reference | str = f"`{text}` is blank here: name an image, or give no references"
        if rendered.strip():
            found = self._advice.reference(rendered)
        if isinstance(found, str):
            raise BadReference(found, number, is_literal=is_literal)
        return found


def _differs_by_sample(names: frozenset[str], settings: Mapping[str, Any]) -> bool:
    """Whether what these names stand for is another thing in every sample: sample k has a seed."""
    return "sample" in names or ("seed" in names and settings["seed"] is not None)


_parsed = functools.lru_cache(maxsize=1024)(template.parse)


def _values(
    row: Row, cell: Cell, settings: Mapping[str, Any], index: int, sample: int
) -> Callable[[], Mapping[str, Any]]:
    """What templates may name, put together only where one does; nothing that is not set."""

    def values() -> Mapping[str, Any]:
        own = {} if row.id is None else {"row": row.id}
        if settings["seed"] is not None:
            own["seed"] = settings["seed"] + sample
        fixed = {"prompt": row.prompt, "index": index, "sample": sample, **own}
        asked = {name: value for name, value in {**cell, **settings}.items() if value is not None}
        return {**row.meta, **asked, **fixed}

    return values


def _setting(name: str, value: Any) -> Any:
    if name == "keep":
        return Keep(value)
    if name == "references":
        return (value,) if isinstance(value, str) else tuple(value)
    return plain(value) if name in {"aspect_ratio", "image_size"} else value


def _canonical(
    prompt: str,
    settings: Mapping[str, Any],
    references: tuple[Reference, ...],
    *,
    is_simulated: bool,
) -> bytes:
    """What is asked for, all but seed and sample, the same bytes for the same request.

    A setting that is not given is left out, so that settings of later versions change no identity.
    """
    asked: dict[str, Any] = {"prompt": prompt, "params": settings["params"]}
    for name in ("model", "aspect_ratio", "image_size"):
        if settings[name] is not None:
            asked[name] = settings[name]
    if references:
        asked["references"] = [reference.identity for reference in references]
    if is_simulated:
        asked["simulated"] = True
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
