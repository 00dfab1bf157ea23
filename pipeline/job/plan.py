"""A job and its rows become tasks: rows times cells times samples, each with its identity."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pipeline.core.model import Keep, Reference, Task
from pipeline.job import template
from pipeline.job.form import Form
from pipeline.job.matrix import Grid
from pipeline.job.repeats import ID_BYTES
from pipeline.job.rows import SETTINGS
from pipeline.job.template import BadTemplate, MissingName, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.job.job import Job
    from pipeline.job.matrix import Cell
    from pipeline.job.rows import Row

_MOST_FORMS = 10_000
_NONE: tuple[Reference, ...] = ()


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


class Ask(NamedTuple):
    """Tasks that differ in nothing but their sample.

    ``combination`` numbers rows times cells from 0. ``asked`` is what the tasks ask for in
    canonical JSON, all but seed and sample.
    """

    combination: int
    samples: range
    prompt: str
    form: Form
    vars: Mapping[str, Any]
    meta: Mapping[str, Any]
    asked: bytes
    references: tuple[Reference, ...]

    def seed(self, sample: int) -> int | None:
        """The seed as it is sent."""
        seed = self.form.settings["seed"]
        return None if seed is None else seed + sample

    def digest(self, sample: int) -> bytes:
        """The identity of one of the tasks: ten bytes that hash everything it asks for."""
        seed = self.form.settings["seed"]
        tail = b"\n%d\n" % sample if seed is None else b"\n%d\n%d" % (sample, seed + sample)
        return blake2b(self.asked + tail, digest_size=ID_BYTES).digest()

    def task(self, sample: int) -> Task:
        """The task of one sample."""
        settings = self.form.settings
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


class Planner:
    """The rule that makes tasks of rows.

    ``n_combinations`` numbers the combinations as they come. What follows from settings alone is
    worked out once for all rows that set nothing themselves.
    """

    def __init__(self, job: Job, advice: Advice = NO_ADVICE) -> None:
        """Take the job apart once, for all rows."""
        self._advice = advice
        self.grid = Grid(job.matrix)
        self.n_combinations = 0
        self._template = template.parse(job.template) if job.template else None
        self._samples = range(job.samples)
        self._settings = {name: getattr(job, name) for name in SETTINGS}
        self._cell_settings = [name for name in job.matrix.names if name in SETTINGS]
        self._is_simulated = job.is_simulated
        self._forms: dict[bytes, Form] = {}
        self._plain_form = self._form_of(self._settings)

    def pass_over(self, n_asks: int) -> int:
        """Begin behind so many asks, or a few before; returns how many rows are behind.

        None are where that takes a look at the rows: where they have cells or asks of their own.
        """
        n_each = self.grid.n_certain
        if n_each is None or len(self._samples) > 1:
            return 0
        n_rows = n_asks // n_each
        self.n_combinations = n_rows * n_each
        return n_rows

    def asks(self, row: Row) -> Iterator[Ask]:
        """What one row asks for, cell by cell; raises :class:`BadTemplate`.

        What is wrong with its references is a :class:`BadReference`.
        """
        for cell in self.grid.cells(row.value_of):
            index = self.n_combinations
            self.n_combinations += 1
            form = self._form(row, cell)
            if not form.is_by_sample:
                yield self._ask(row, cell, form, index, self._samples)
                continue
            for sample in self._samples:
                yield self._ask(row, cell, form, index, range(sample, sample + 1))

    def _ask(self, row: Row, cell: Cell, form: Form, index: int, samples: range) -> Ask:
        prompt, references = row.prompt, _NONE
        if self._template or form.references:
            values = _values(row, cell, form.settings, index, samples[0])
            prompt = self._rendered(row, values)
            references = self._references(form, values)
        asked = form.asked(prompt, references)
        return Ask(index, samples, prompt, form, cell, row.meta, asked, references)

    def _form(self, row: Row, cell: Cell) -> Form:
        if row.settings:
            return self._form_of(self._merged(row, cell))
        if not self._cell_settings:
            return self._plain_form
        key = orjson.dumps([cell.get(name) for name in self._cell_settings])
        form = self._forms.get(key)
        if form is None:
            form = self._form_of(self._merged(row, cell))
            if len(self._forms) < _MOST_FORMS:
                self._forms[key] = form
        return form

    def _form_of(self, settings: Mapping[str, Any]) -> Form:
        names = self._template.names if self._template else ()
        return Form.of(settings, template_names=names, is_simulated=self._is_simulated)

    def _merged(self, row: Row, cell: Cell) -> Mapping[str, Any]:
        """The settings of one combination: an axis beats the row, the row the job."""
        own = [name for name in self._cell_settings if cell.get(name) is not None]
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
        self, form: Form, values: Callable[[], Mapping[str, Any]]
    ) -> tuple[Reference, ...]:
        return tuple(self._reference(n, form, values) for n in range(len(form.references)))

    def _reference(
        self, number: int, form: Form, values: Callable[[], Mapping[str, Any]]
    ) -> Reference:
        parsed, text = form.references[number], form.settings["references"][number]
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
