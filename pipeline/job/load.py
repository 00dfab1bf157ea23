"""A job file becomes a job, or faults with their places."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from pipeline.errors import BadJob, BadProfile, BadUsage, Fault, Faulty
from pipeline.job import document as documents
from pipeline.job import naming, notation, resolve, review
from pipeline.job.environment import environment
from pipeline.job.job import Chosen, Home, Job, Overrides, Place
from pipeline.job.mistakes import in_words
from pipeline.job.notation import Faulted
from pipeline.job.paths import absolute, from_home
from pipeline.job.profiles import in_order, load_profile, shipped_profiles
from pipeline.job.spec import JobSpec, ProfileSpec, PromptFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.job.document import Document

__all__ = ["freeze", "load_frozen", "load_job", "load_profile", "shipped_profiles"]

_NOTHING = Overrides()
_MOST_FROZEN_BYTES = 64 * 1024**2  # our own words for a job of 1 MiB may be longer than its


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
    without ``=``.
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
        self._document = _settings_in(source, _MOST_FROZEN_BYTES if home else notation.MOST_BYTES)

    def job(self) -> Job:
        """The job; raises as :func:`load_job` does."""
        for setting in self._overrides.settings:
            _apply(self._document, setting)
        spec, faults = self._spec()
        chosen, of_profile = self._chosen(spec)
        of_profile += [fault for fault in faults if fault.key.startswith("provider.")]
        if of_job := [fault for fault in faults if fault not in of_profile]:
            raise BadJob(in_order(of_job + of_profile))
        if spec is None or chosen is None or of_profile:
            raise BadProfile(in_order(of_profile))
        job = resolve.resolve(spec, chosen, self._around(spec, chosen))
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

    def _chosen(self, spec: JobSpec | None) -> tuple[Chosen | None, list[Fault]]:
        inline = self._document.value.get("provider")
        faults = self._inline_faults(inline, spec) if isinstance(inline, dict) else []
        try:
            return self._choose(spec), faults
        except Faulty as bad:
            return None, faults + bad.faults

    def _choose(self, spec: JobSpec | None) -> Chosen | None:
        """The profile by flag, environment or job; None where the job's word is no such thing."""
        if flag := self._overrides.provider:
            return load_profile(flag, place=Place(f"--provider {flag}"))
        if word := self._environ.get("IMAGEBATCH_PROVIDER"):
            return load_profile(word, place=Place(f"IMAGEBATCH_PROVIDER={word}"))
        named = self._document.value.get("provider", "simulator")
        if isinstance(named, dict) and spec and isinstance(spec.provider, ProfileSpec):
            profile = spec.provider
            return Chosen(name="inline", reference=named, file=self._source, profile=profile)
        if not isinstance(named, str) or not named.strip():
            return None
        place = self._document.place_of(("provider",))
        is_set_by_flag = place.file != self._source
        folder = Path() if is_set_by_flag else self._folder
        return load_profile(named, place=place, folder=str(folder))

    def _inline_faults(self, raw: Mapping[str, Any], spec: JobSpec | None) -> list[Fault]:
        mistakes = [*review.of_profile(raw, is_inline=True)]
        if spec and isinstance(spec.provider, ProfileSpec):
            mistakes += review.of_simulator(spec.provider.simulator)
        return [self._document.fault(("provider", *path), what) for path, what in mistakes]

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
            out=absolute(from_home(self._out(spec, chosen, name))),
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


def _names_models(job: Job) -> bool:
    if "model" in job.matrix.axes:
        return True
    rows = getattr(job.prompts, "rows", ())
    return all("model" in row.settings for row in rows)


def _settings_in(source: str, most_bytes: int) -> Document:
    try:
        return notation.settings_in(source, most_bytes=most_bytes)
    except OSError as error:
        what = f"cannot read the job: {error.strerror}"
        raise BadJob([Fault(source, 0, 0, "", what)]) from None
    except Faulted as bad:
        raise BadJob(bad.faults) from None


def _apply(document: Document, setting: str) -> None:
    """Lay ``key.path=value`` over the document."""
    key, equals, text = setting.partition("=")
    place = Place(f"--set {setting}")
    if not equals or not all(key.split(".")):
        raise BadUsage(f"--set {setting}: write it as key.path=value, such as retry.attempts=3")
    try:
        given = notation.document_in(text.encode(errors="replace") or b"null", place.file)
        document.faults += (Fault(*place, key, fault.what) for fault in given.faults)
        documents.with_setting(document, tuple(key.split(".")), given.value, place)
    except Faulted as bad:
        raise BadJob([Fault(*place, key, fault.what) for fault in bad.faults]) from None
    except ValueError as bad:
        raise BadJob([Fault(*place, key, str(bad))]) from None
