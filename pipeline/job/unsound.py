"""What is wrong with a plan: the first faults with their places, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import BadJob, Fault
from pipeline.job import naming
from pipeline.job.review import TEMPLATE_NAMES, unknown_name
from pipeline.job.rows import SETTINGS
from pipeline.job.spec import DEFAULT_PATH
from pipeline.job.template import BadTemplate, MissingName, hint, parse, plain

if TYPE_CHECKING:
    from array import array

    from pipeline.job.job import Job
    from pipeline.job.plan import BadReference
    from pipeline.job.rows import Row

_OWN_IN_TEXT = frozenset({"index", "sample"})
_OWN_IN_PATHS = frozenset({"index", "sample", "image", "slug", "shard", "ext"})


class Faults:
    """The first faults, and how many there are."""

    def __init__(self, job: Job) -> None:
        """None yet."""
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

    def add_of_paths(self, clash: str | None) -> None:
        """Two tasks with one path."""
        if clash:
            self.add(self._job.fault("output.path", clash))

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
