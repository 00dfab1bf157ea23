"""The first pass over a plan: every row is checked, every request asked for twice is found."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from pipeline.errors import BadJob, Fault
from pipeline.job import naming
from pipeline.job.naming import Naming
from pipeline.job.plan import NO_ADVICE, BadReference, Planner, Survey
from pipeline.job.review import MOST_TASKS, TEMPLATE_NAMES, unknown_name
from pipeline.job.rows import SETTINGS
from pipeline.job.spec import DEFAULT_PATH
from pipeline.job.template import BadTemplate, MissingName, hint, parse, plain

if TYPE_CHECKING:
    from pipeline.core.model import Task
    from pipeline.job.job import Job
    from pipeline.job.plan import Advice, Ask, Read
    from pipeline.job.rows import Row

_ANY_EXTENSION = "png"
_MOST_MODELS = 1_000
_OWN_IN_TEXT = frozenset({"index", "sample"})
_OWN_IN_PATHS = frozenset({"index", "sample", "image", "slug", "shard", "ext"})


def survey(job: Job, read: Read, *, n_first: int = 5, advice: Advice = NO_ADVICE) -> Survey:
    """Go through every row once; raises :class:`BadJob` with the first faults and their number.

    ``read`` starts a way through the rows; it is called again where requests repeat, to say which.
    """
    surveying = _Surveying(job, n_first, advice)
    for row in read():
        surveying.look_at(row)
    return surveying.result(read)


class _Surveying:
    """What is known of the plan so far; memory is a number for each combination."""

    def __init__(self, job: Job, n_first: int, advice: Advice) -> None:
        self._job = job
        self._n_first = n_first
        self._advice = advice
        self._planner = Planner(job, advice)
        self._paths = _Paths(job)
        self._path_settings = [n for n in Naming.of(job.path).names if n in naming.SETTINGS]
        self._faults = _Faults(job)
        self._columns: set[str] = set()
        self._ids_to_meet = _ids_named(job)
        self._seen: set[int] = set()
        self._repeats = array("Q")
        self._example: tuple[int, int] | None = None
        self._first: list[Task] = []
        self._models: dict[str, None] = {}
        self._modelless = array("Q")
        self._n_rows = self._n_combinations = self._n_asks = self._n_tasks = self._n_repeated = 0

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
        key = key_of(ask)
        if key in self._seen:
            self._repeats.append(self._n_asks)
            self._n_repeated += len(ask.samples)
            self._example = self._example or (row.line, key)
        else:
            self._seen.add(key)
            self._n_tasks += len(ask.samples)
            self._look_at_new(ask, row)
        self._n_asks += 1

    def _look_at_new(self, ask: Ask, row: Row) -> None:
        if ask.settings["model"] is None:
            if not self._modelless or self._modelless[-1] != row.line:
                self._modelless.append(row.line)
            return
        if unsaid := self._advice.unsayable(ask.settings):
            self._faults.add(self._fault_of(*unsaid, row))
            return
        if len(self._models) < _MOST_MODELS:
            self._models[ask.settings["model"]] = None
        for sample in ask.samples[: self._n_first - len(self._first)]:
            self._first.append(ask.task(sample))
        if self._paths.are_certain:
            return
        try:
            self._check_path_settings(ask)
            for sample in ask.samples:
                self._paths.add(ask.task(sample), row.line)
        except BadTemplate as bad:
            self._faults.add_unfilled(bad, "output.path", row.line)

    def _check_path_settings(self, ask: Ask) -> None:
        """A path names no setting that is not given; raises :class:`MissingName`."""
        for name in self._path_settings:
            if ask.settings[name] is None:
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
        self._faults.add_of_paths(self._paths)
        self._faults.add_hidden(self._columns)
        self._faults.raise_any(self._n_rows, self._columns)
        return Survey(
            n_rows=self._n_rows,
            n_combinations=self._n_combinations,
            n_tasks=self._n_tasks,
            n_wanted=self._n_tasks if job.limit is None else min(self._n_tasks, job.limit),
            n_repeated=self._n_repeated,
            repeated=self._in_words(read),
            axes={name: len(axis) for name, axis in job.matrix.axes.items()},
            models=tuple(self._models),
            first=tuple(self._first),
            repeats=self._repeats,
        )

    def _in_words(self, read: Read) -> str | None:
        """How many tasks repeat, with the first as an example, whose original is looked up."""
        if self._example is None:
            return None
        line, key = self._example
        planner = Planner(self._job, self._advice)
        rows = (row for row in read() if not isinstance(row, Fault))
        original = next(r.line for r in rows if any(key_of(ask) == key for ask in planner.asks(r)))
        n, are = self._n_repeated, "is" if self._n_repeated == 1 else "are"
        return (
            f"{n} {'task' if n == 1 else 'tasks'} {are} the same request as an earlier one, made "
            f"once (first: line {line} = line {original}){_unnamed(self._job)}"
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


def key_of(ask: Ask) -> int:
    """Eight bytes that stand for a request when requests are told apart."""
    return int.from_bytes(ask.digest(ask.samples.start)[:8], "big")


class _Paths:
    """Whether every image gets a path of its own that a file system takes."""

    def __init__(self, job: Job) -> None:
        self._naming = Naming.of(job.path)
        self._lines: dict[int, int] = {}
        self.are_certain = self._naming.is_certain
        self.clash: str | None = None

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


class _Faults:
    """The first faults, and how many there are."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shown: list[Fault] = []
        self._missing: dict[tuple[str, str], list[int]] = {}
        self._last: Fault | None = None
        self._n = 0

    @property
    def are_none(self) -> bool:
        """Whether nothing was found so far."""
        return not (self._n or self._missing)

    def add(self, fault: Fault) -> None:
        """One more, unless it is the last one again."""
        if self._last == fault:
            return
        self._last = fault
        self._n += 1
        if len(self._shown) < BadJob.shown:
            self._shown.append(fault)

    def add_unfilled(self, bad: BadTemplate, template: str, line: int) -> None:
        """A template that a row cannot fill; names that are missing are told at the end."""
        if not isinstance(bad, MissingName):
            self.add(Fault(self._job.prompts.label, line, 0, template, str(bad)))
            return
        lines = self._missing.setdefault((template, bad.name), [])
        if not lines or lines[-1] != line:
            lines.append(line)

    def add_reference(self, bad: BadReference, row: Row) -> None:
        """An input image that cannot be sent, where it was named."""
        if bad.missing:
            self.add_unfilled(bad.missing, "references", row.line)
        elif bad.is_literal and "references" not in row.settings:
            self.add(self._job.fault(f"references.{bad.number}", str(bad)))
        else:
            self.add(Fault(self._job.prompts.label, row.line, 0, "references", str(bad)))

    def add_of_models(self, lines: array[int], n_rows: int) -> None:
        """Rows without a model: one fault where it is all of them."""
        if 0 < len(lines) == n_rows:
            what = "is missing: neither the job nor its profile names one"
            self.add(self._job.fault("model", what))
            return
        for line in lines:
            what = "is missing here, and neither the job nor its profile names one"
            self.add(Fault(self._job.prompts.label, line, 0, "model", what))

    def add_of_matrix(self, columns: set[str], ids_to_meet: set[str]) -> None:
        """What entries of the matrix name that no row has."""
        job = self._job
        known = {*job.matrix.axes, *columns, *SETTINGS, "id", "prompt"}
        for n, entry in enumerate(job.matrix.exclude):
            for key in entry.keys() - known:
                what = f"is no axis and no column{hint(key, known)}"
                self.add(job.fault(f"matrix.exclude.{n}.{key}", what))
        for which, entries in (("exclude", job.matrix.exclude), ("include", job.matrix.include)):
            for n, entry in enumerate(entries):
                if "id" in entry and plain(entry["id"]) in ids_to_meet:
                    what = f"no row has the id `{plain(entry['id'])}`"
                    self.add(job.fault(f"matrix.{which}.{n}.id", what))

    def add_of_paths(self, paths: _Paths) -> None:
        """Two tasks with one path."""
        if paths.clash:
            self.add(self._job.fault("output.path", paths.clash))

    def add_hidden(self, columns: set[str]) -> None:
        """What the job's own texts name that is a column, but means something else there.

        A column may be called anything; only to name it takes a name of its own. The default path
        is nobody's words, and means what it always does.
        """
        job = self._job
        texts = [("template", job.template or "", _OWN_IN_TEXT)]
        texts += [(f"references.{n}", one, _OWN_IN_TEXT) for n, one in enumerate(job.references)]
        if job.path != DEFAULT_PATH:
            texts.append(("output.path", job.path, _OWN_IN_PATHS))
        for key, text, own in texts:
            for name in parse(text).names:
                if name in own & columns:
                    what = (
                        f"`{{{{{name}}}}}` has a meaning of its own here, which hides the column "
                        f"`{name}`: rename the column"
                    )
                    self.add(job.fault(key, what))

    def raise_any(self, n_rows: int, columns: set[str]) -> None:
        """Raise :class:`BadJob` if there is one."""
        for (template, name), lines in self._missing.items():
            if len(lines) == n_rows:
                what = self._why(template, name, columns)
                self.add(self._job.fault(template, what))
                continue
            for line in lines:
                what = f"is missing here, and the job's `{template}` names it"
                self.add(Fault(self._job.prompts.label, line, 0, name, what))
        if self._n:
            raise BadJob(self._shown, self._n)

    def _why(self, template: str, name: str, columns: set[str]) -> str:
        """Why a name is unknown there: it has no value, or another one is meant."""
        is_path = template == "output.path"
        own = (*naming.NAMES, *naming.SETTINGS) if is_path else TEMPLATE_NAMES
        known = dict.fromkeys((*own, *self._job.matrix.names, *sorted(columns)))
        if name == "row":
            return "unknown name `{{row}}`: no row has an `id`"
        if name in known:
            return f"unknown name `{{{{{name}}}}}`: `{name}` is not set for every image"
        return unknown_name(name, known)


def _ids_named(job: Job) -> set[str]:
    """The ids the matrix names, all of which some row has; unknown where not all rows are read."""
    if getattr(job.prompts, "limit", None):
        return set()
    return {plain(e["id"]) for e in (*job.matrix.exclude, *job.matrix.include) if "id" in e}
