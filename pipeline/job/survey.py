"""The first pass over a plan: every row is checked, every request asked for twice is found."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from pipeline.errors import Fault
from pipeline.job import naming
from pipeline.job.naming import Naming
from pipeline.job.plan import NO_ADVICE, BadReference, Planner
from pipeline.job.repeats import first_of, repeats_in
from pipeline.job.review import MOST_TASKS
from pipeline.job.rows import SETTINGS
from pipeline.job.tasks import Survey
from pipeline.job.template import BadTemplate, MissingName, parse, plain
from pipeline.job.unsound import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.model import Task
    from pipeline.job.form import Form
    from pipeline.job.job import Job
    from pipeline.job.kinds import Kinds
    from pipeline.job.plan import Advice, Ask
    from pipeline.job.rows import Row
    from pipeline.job.tasks import Read

_N_SHOWN = 5
_ANY_EXTENSION = "png"
_MOST_MODELS = 1_000


def survey(
    job: Job, read: Read, *, advice: Advice = NO_ADVICE, kinds: Kinds | None = None
) -> Survey:
    """Go through every row once; raises :class:`BadJob` with the first faults and their number.

    ``read`` starts a way through the rows; it is called again where requests repeat, to say which.
    ``kinds`` takes in what makes the prices.
    """
    surveying = _Surveying(job, advice, kinds)
    for row in read():
        surveying.look_at(row)
    return surveying.result(read)


class _Surveying:
    """What is known of the plan so far; memory is ten bytes for each ask, an id."""

    def __init__(self, job: Job, advice: Advice, kinds: Kinds | None) -> None:
        self._job = job
        self._advice = advice
        self._planner = Planner(job, advice)
        self._paths = _Paths(job)
        self._path_settings = [n for n in Naming.of(job.path).names if n in naming.SETTINGS]
        self._faults = Faults(job)
        self._columns: set[str] = set()
        self._ids_to_meet = _ids_named(job)
        self._ids = bytearray()
        self._kinds = kinds
        self._sound: Form | None = None
        self._first: dict[str, Task] = {}
        self._models: dict[str, None] = {}
        self._has_references = False
        self._modelless = array("Q")
        self._n_rows = self._n_combinations = self._n_planned = 0

    def look_at(self, row: Row | Fault) -> None:
        """Check one row and count its tasks."""
        if isinstance(row, Fault):
            self._faults.add(row)
            return
        self._n_rows += 1
        self._columns.update(row.meta)
        if row.id is not None and self._ids_to_meet:
            self._ids_to_meet.discard(plain(row.id))
        grid = self._planner.grid
        if (self._n_combinations + (grid.n_certain or 0)) * self._job.samples > MOST_TASKS:
            self._n_combinations += grid.count(row.value_of)
            return  # too many already: only their number is still of interest
        try:
            for ask in self._planner.asks(row):
                self._take(ask, row)
        except BadReference as bad:
            self._faults.add_reference(bad, row)
        except BadTemplate as bad:
            self._faults.add_unfilled(bad, "template", row.line)

    def _take(self, ask: Ask, row: Row) -> None:
        self._n_combinations += ask.samples.start == 0
        if ask.form is not self._sound:
            if not self._is_sound(ask.form.settings, row):
                return
            self._sound = ask.form
        self._n_planned += len(ask.samples)
        self._ids += ask.digest(ask.samples.start)
        if self._kinds is not None:
            self._kinds.note(ask)
        if len(self._first) < _N_SHOWN:
            self._show(ask)
        if not self._paths.are_certain and self._paths.is_new(ask):
            self._look_at_paths(ask, row)

    def _is_sound(self, settings: Mapping[str, Any], row: Row) -> bool:
        """Whether settings can be asked for; faults are noted."""
        if settings["model"] is None:
            if not self._modelless or self._modelless[-1] != row.line:
                self._modelless.append(row.line)
            return False
        if unsaid := self._advice.unsayable(settings):
            self._faults.add(self._fault_of(*unsaid, row))
            return False
        self._has_references |= bool(settings["references"])
        if len(self._models) < _MOST_MODELS:
            self._models[settings["model"]] = None
        return True

    def _show(self, ask: Ask) -> None:
        for sample in ask.samples[:_N_SHOWN]:
            task = ask.task(sample)
            if len(self._first) < _N_SHOWN:
                self._first.setdefault(task.id, task)

    def _look_at_paths(self, ask: Ask, row: Row) -> None:
        try:
            self._check_path_settings(ask)
            for sample in ask.samples:
                self._paths.add(ask.task(sample), row.line)
        except BadTemplate as bad:
            self._faults.add_unfilled(bad, "output.path", row.line)

    def _check_path_settings(self, ask: Ask) -> None:
        """A path names no setting that is not given; raises :class:`MissingName`."""
        for name in self._path_settings:
            if ask.form.settings[name] is None:
                raise MissingName(name, ())

    def _fault_of(self, key: str, what: str, row: Row) -> Fault:
        """A fault of one setting, where it was given: by the row, an axis or the job."""
        if key in row.settings:
            return Fault(self._job.prompts.label, row.line, 0, key, what)
        is_axis = key in self._job.matrix.names
        return self._job.fault(f"matrix.{key}" if is_axis else key, what)

    def result(self, read: Read) -> Survey:
        """The survey; raises :class:`BadJob`."""
        job = self._job
        n_planned = self._n_combinations * job.samples
        if n_planned > MOST_TASKS:
            what = f"{n_planned:,} tasks are planned: at most {MOST_TASKS:,} can be"
            self._faults.add(job.fault("samples" if job.samples > 1 else "prompts", what))
        elif self._n_rows and self._n_combinations == 0 and self._faults.are_none:
            self._faults.add(job.fault("matrix", "leaves no combination: exclude less"))
        self._faults.add_of_models(self._modelless, self._n_rows)
        self._faults.add_of_matrix(self._columns, self._ids_to_meet)
        self._faults.add_of_paths(self._paths.clash)
        self._faults.add_hidden(self._columns)
        self._faults.raise_any(self._n_rows, self._columns)
        repeats = repeats_in(self._ids)
        n_repeated, repeated = self._repeated(repeats, read) if repeats else (0, None)
        n_tasks = self._n_planned - n_repeated
        return Survey(
            n_rows=self._n_rows,
            n_combinations=self._n_combinations,
            n_tasks=n_tasks,
            n_wanted=n_tasks if job.limit is None else min(n_tasks, job.limit),
            n_repeated=n_repeated,
            repeated=repeated,
            axes={name: len(axis) for name, axis in job.matrix.axes.items()},
            models=tuple(self._models),
            first=tuple(self._first.values()),
            has_references=self._has_references,
            repeats=repeats,
            ids=self._ids,
            kinds=self._kinds,
        )

    def _repeated(self, repeats: Sequence[int], read: Read) -> tuple[int, str]:
        """How many tasks repeat; in words, with the first as an example and its original."""
        example = (first_of(self._ids, repeats[0]), repeats[0])
        planner = Planner(self._job, self._advice)
        rows = (row for row in read() if not isinstance(row, Fault))
        asks = ((row.line, len(ask.samples)) for row in rows for ask in planner.asks(row))
        lines, n_repeated, left_out = [], 0, frozenset(repeats)
        for number, (line, n_samples) in enumerate(asks):
            if number in example:
                lines.append(line)
            if number in left_out:
                n_repeated += n_samples
        are = "task is" if n_repeated == 1 else "tasks are"
        return n_repeated, (
            f"{n_repeated} {are} the same request as an earlier one, made once "
            f"(first: line {lines[1]} = line {lines[0]}){_unnamed(self._job)}"
        )


def _unnamed(job: Job) -> str:
    """Axes that change nothing that is sent, which is why requests repeat."""
    texts = [job.template or "", *job.references]
    named = {name for text in texts for name in parse(text).names}
    unnamed = [name for name in job.matrix.axes if name not in named and name not in SETTINGS]
    if not unnamed:
        return ""
    axes = ", ".join(f"`{name}`" for name in unnamed)
    return f": {axes} changes nothing that is sent; name it in `template`"


class _Paths:
    """Whether every image gets a path of its own that a file system takes."""

    def __init__(self, job: Job) -> None:
        self._naming = Naming.of(job.path)
        self._met: set[bytes] = set()
        self._lines: dict[int, int] = {}
        self.are_certain = self._naming.is_certain
        self.clash: str | None = None

    def is_new(self, ask: Ask) -> bool:
        """Whether it is the first to ask for that: a repeat is not made, and gets no file."""
        n_met = len(self._met)
        self._met.add(ask.digest(ask.samples.start))
        return len(self._met) > n_met

    def add(self, task: Task, line: int) -> None:
        """Look at one task's path; raises :class:`BadTemplate` where it cannot be filled."""
        self._naming.check(task)
        if self._naming.tells_apart:
            return
        path = self._naming.path_for(task, 0, _ANY_EXTENSION)
        first = self._lines.get(key := hash(path))
        if first is None:
            self._lines[key] = line
        elif self.clash is None:
            who = f"two tasks of line {line}" if first == line else f"lines {first} and {line}"
            self.clash = (
                f"{who} get the same file `{path}`: add `{{{{id}}}}`, or `{{{{index}}}}` and "
                "`{{sample}}`"
            )


def _ids_named(job: Job) -> set[str]:
    """The ids the matrix names, all of which some row has; unknown where not all rows are read."""
    if getattr(job.prompts, "limit", None):
        return set()
    return {plain(e["id"]) for e in (*job.matrix.exclude, *job.matrix.include) if "id" in e}
