"""A job file becomes a job, or faults with their places."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from pipeline.errors import BadJob, BadOutput, BadProfile, BadUsage, Fault, Faulty
from pipeline.job import document as documents
from pipeline.job import naming, notation, resolve, review
from pipeline.job.environment import environment
from pipeline.job.job import Chosen, Home, Job, Overrides, Place
from pipeline.job.mistakes import in_words
from pipeline.job.notation import Faulted
from pipeline.job.paths import absolute, from_home
from pipeline.job.profile_spec import ProfileSpec
from pipeline.job.profiles import (
    distinct,
    for_each_key,
    in_order,
    load_profile,
    shipped_profiles,
)
from pipeline.job.spec import JobSpec, MemberSpec, PromptFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.job.document import Document

__all__ = ["freeze", "load_frozen", "load_job", "load_profile", "shipped_profiles"]

_NOTHING = Overrides()
_SHOWN = 120  # characters of a setting that is wrong
_LONGER = 64  # our own words for a job of 1 MiB may be longer than its
_LONGEST_PART, _LONGEST_PATH = 255, 3000  # bytes that file systems take, with room for our names


def load_job(
    path: str | os.PathLike[str],
    *,
    overrides: Overrides = _NOTHING,
    environ: Mapping[str, str] | None = None,
    home: Home | None = None,
) -> Job:
    """The job in the file at ``path``, with the command line and environment laid over it.

    ``environ`` is the process's own where it is not given. ``home``: the output folder that the
    file is the frozen job of; where nothing else is said, a job of its name goes on there. Raises
    :class:`BadJob` or :class:`BadProfile` with every fault found, :class:`BadUsage` for a setting
    without ``=``, :class:`BadOutput` for an output folder that no file system has a name for.
    """
    return _Loading(os.fspath(path), overrides, environ, home=home).job()


def load_frozen(
    folder: str | os.PathLike[str],
    *,
    overrides: Overrides = _NOTHING,
    environ: Mapping[str, str] | None = None,
) -> Job:
    """The job an output folder was made from, by its ``job.yaml``; its output is that folder.

    Raises as :func:`load_job` does.
    """
    out = os.fspath(folder)
    here = dataclasses.replace(overrides, out=out)
    file = str(Path(folder) / "job.yaml")
    return _Loading(file, here, environ, home=Home(name="", out=out)).job()


def freeze(job: Job) -> str:
    """The YAML of the job as resolved: loads to an equal job, holds no secret and no folder."""
    return notation.text_of(resolve.as_mapping(job))


class _Loading:
    """One job being loaded: its document, and what is found wrong on the way."""

    def __init__(
        self,
        source: str,
        overrides: Overrides,
        environ: Mapping[str, str] | None,
        *,
        home: Home | None,
    ) -> None:
        self._source = source
        self._overrides = overrides
        self._environ = environment() if environ is None else environ
        self._folder = Path(source).parent
        self._home = home
        self._document = _settings_in(source, larger=_LONGER if home else 1)

    def job(self) -> Job:
        """The job; raises as :func:`load_job` does."""
        for setting in self._overrides.settings:
            _apply(self._document, setting)
        spec, faults = self._spec()
        pool, of_profile = self._chosen(spec)
        of_profile += [fault for fault in faults if fault.key.startswith("provider.")]
        if of_job := [fault for fault in faults if not fault.key.startswith("provider.")]:
            raise BadJob(in_order(of_job + of_profile))
        if spec is None or not pool or of_profile:
            raise BadProfile(in_order(of_profile))
        job = resolve.resolve(spec, pool, self._around(spec, pool[0]))
        if job.model is None and not _names_models(job):
            what = "is missing: neither the job nor its profile names one"
            raise BadJob([job.fault("model", what)])
        return job

    def _spec(self) -> tuple[JobSpec | None, list[Fault]]:
        document = self._document
        mistakes = review.of_job(document.value)
        faults = document.faults + [document.fault(*mistake) for mistake in mistakes]
        try:
            return JobSpec.model_validate_json(orjson.dumps(document.value)), faults
        except ValidationError as bad:
            return None, faults + [document.fault(*mistake) for mistake in in_words(bad, JobSpec)]

    def _chosen(self, spec: JobSpec | None) -> tuple[list[Chosen], list[Fault]]:
        """The pool by flag, environment or job; empty where the job's word is no such thing."""
        if flag := self._overrides.provider:
            return _pool([_Named(flag, Place(f"--provider {flag}"))])
        if word := self._environ.get("IMAGEBATCH_PROVIDER"):
            return _pool([_Named(word, Place(f"IMAGEBATCH_PROVIDER={word}"))])
        said = self._document.value.get("provider", "simulator")
        if not isinstance(said, list):
            return _pool([self._member(("provider",), said, spec and spec.provider)])
        specs = spec.provider if spec and isinstance(spec.provider, tuple) else [None] * len(said)
        paths = ((("provider", n), *pair) for n, pair in enumerate(zip(said, specs, strict=True)))
        pool, faults = _pool([self._member(*one) for one in paths])
        if len({chosen.is_simulated for chosen in pool}) > 1:
            what = "a simulated image never passes for a real one: name simulators, or none"
            faults.append(self._document.fault(("provider",), what))
        return pool, faults

    def _member(self, path: tuple[str | int, ...], said: Any, spec: Any) -> _Named:
        """A provider as the job names it, at ``path``; ``spec``: what it means, if it is sound."""
        weight = 1.0
        if isinstance(spec, MemberSpec):
            path, said, weight = (*path, "profile"), spec.profile, spec.weight
        place = self._document.place_of(path)
        folder = "." if place.file != self._source else str(self._folder)
        if isinstance(said, dict) and "profile" not in said:
            profile = spec if isinstance(spec, ProfileSpec) else None
            mistakes = [*review.of_profile(said, is_inline=True)]
            mistakes += review.of_simulator(profile.simulator) if profile else []
            faults = [self._document.fault((*path, *at), what) for at, what in mistakes]
            chosen = None
            if profile:
                chosen = Chosen(name="inline", reference=said, file=self._source, profile=profile)
            return _Named("", place, chosen=chosen, faults=faults)
        return _Named(said if isinstance(said, str) else "", place, folder=folder, weight=weight)

    def _around(self, spec: JobSpec, chosen: Chosen) -> resolve.Surroundings:
        name = spec.name or naming.safe_part(Path(self._source).stem)
        place_of = self._document.place_of
        label, n_listed = self._source, 0
        if isinstance(spec.prompts, PromptFile):
            label = os.path.normpath(self._folder / from_home(spec.prompts.file))
        else:
            n_listed = len(spec.prompts)
        return resolve.Surroundings(
            source=self._source,
            folder=(self._home and self._home.seen_from) or absolute(self._folder),
            name=name,
            out=_usable(absolute(from_home(self._out(spec, chosen, name)))),
            prompts_path=absolute(Path(label)),
            prompts_label=label,
            lines=[place_of(("prompts", n)).line for n in range(n_listed)],
            places=documents.places_by_key(self._document.places),
            limit=self._overrides.limit,
        )

    def _out(self, spec: JobSpec, chosen: Chosen, name: str) -> str:
        """The output folder as it is said: by flag, environment, job, or where the job lies."""
        said = self._overrides.out or self._environ.get("IMAGEBATCH_OUT") or spec.output.dir
        if said:
            return said
        if self._home and self._home.name == name:
            return self._home.out
        return f"outputs/{name}-simulator" if chosen.is_simulated else f"outputs/{name}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Named:
    """A provider by its name or path, or ``chosen`` already; empty where it is neither."""

    name: str
    place: Place
    folder: str = "."
    weight: float = 1.0
    chosen: Chosen | None = None
    faults: Sequence[Fault] = ()


def _pool(named: Iterable[_Named]) -> tuple[list[Chosen], list[Fault]]:
    """Whom they name, one of several keys once for each key, and what is wrong with them."""
    pool: list[Chosen] = []
    faults: list[Fault] = []
    for one in named:
        faults += one.faults
        chosen = one.chosen
        try:
            if one.name.strip():
                chosen = load_profile(one.name, place=one.place, folder=one.folder)
        except Faulty as bad:
            faults += bad.faults
        if chosen:
            pool += for_each_key(dataclasses.replace(chosen, weight=one.weight))
    return distinct(pool), faults


def _names_models(job: Job) -> bool:
    if "model" in job.matrix.axes:
        return True
    rows = getattr(job.prompts, "rows", ())
    return all("model" in row.settings for row in rows)


def _settings_in(source: str, *, larger: int) -> Document:
    try:
        return notation.settings_in(source, example="prompts: [a red fox]", larger=larger)
    except OSError as error:
        what = f"cannot read the job: {error.strerror}"
        raise BadJob([Fault(source, 0, 0, "", what)]) from None
    except Faulted as bad:
        raise BadJob(bad.faults) from None


def _usable(out: str) -> str:
    """The output folder, unless no file system takes its name; raises :class:`BadOutput`."""
    longest = max(len(os.fsencode(part)) for part in out.split("/"))
    if longest > _LONGEST_PART or len(os.fsencode(out)) > _LONGEST_PATH:
        what = "cannot be used as output folder: its name is too long; choose another with --out"
        raise BadOutput(f"…{out[-80:]} {what}")
    return out


def _apply(document: Document, setting: str) -> None:
    """Lay ``key.path=value`` over the document."""
    key, equals, text = setting.partition("=")
    place = Place(f"--set {setting[:_SHOWN]}{'…' if len(setting) > _SHOWN else ''}")
    if not equals or not all(key.split(".")):
        raise BadUsage(f"{place.file}: write it as key.path=value, such as retry.attempts=3")
    try:
        setting.encode()  # of bytes that are no text nothing can be kept
        given = notation.document_in(text.encode() or b"null", place.file)
        document.faults += (Fault(*place, key, fault.what) for fault in given.faults)
        documents.with_setting(document, tuple(key.split(".")), given.value, place)
    except UnicodeEncodeError:
        raise BadJob([Fault(*place, key, "is not UTF-8, and so no text")]) from None
    except Faulted as bad:
        raise BadJob([Fault(*place, key, fault.what) for fault in bad.faults]) from None
    except ValueError as bad:
        raise BadJob([Fault(*place, key, str(bad))]) from None
