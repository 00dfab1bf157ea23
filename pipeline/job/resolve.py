"""Job file, profile and command line become one job; and a job becomes a file again."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Keep
from pipeline.job.job import Filed, Job, Listed
from pipeline.job.limits import tighter
from pipeline.job.matrix import Matrix
from pipeline.job.rows import Row, row_of
from pipeline.job.spec import PromptFile, RowSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.job.job import Chosen, Place
    from pipeline.job.spec import JobSpec, MatrixSpec, Prompts

_FOUND_FROM_ANYWHERE = re.compile(r"/|~/|data:|[A-Za-z][A-Za-z0-9+.-]*://")
_PAINTER = "simulator/painter"  # any name does where nobody names one


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a job file does not say itself: where it lies and what the command line wants.

    ``folder`` is the file's own, absolute, as ``out`` is. ``name`` is used where the file gives
    none; ``prompts_path`` and ``prompts_label`` are where a prompts file is and what it is called;
    ``lines`` those of the listed prompts.
    """

    source: str
    folder: str
    name: str
    out: str
    prompts_path: str
    prompts_label: str
    lines: Sequence[int]
    places: Mapping[str, Place]
    limit: int | None


def resolve(spec: JobSpec, pool: Sequence[Chosen], around: Surroundings) -> Job:
    """The job as it will run. The profile's values hold where the job is silent.

    Of several, each adds what only it says when it is asked, and is as fast as it may be.
    """
    chosen, *others = (_streaming(one, wanted=spec.params.get("stream")) for one in pool)
    profile = chosen.profile
    params = {**({} if others else profile.params), **spec.params}
    params.pop("stream", None)
    return Job(
        name=around.name,
        source=around.source,
        folder=around.folder,
        chosen=chosen,
        others=tuple(others),
        model=spec.model or profile.model or (_PAINTER if chosen.is_simulated else None),
        prompts=_prompts(spec.prompts, around),
        template=spec.template,
        matrix=_matrix(spec.matrix),
        samples=spec.samples,
        references=tuple(spec.references),
        aspect_ratio=spec.aspect_ratio,
        image_size=spec.image_size,
        seed=spec.seed,
        params=params,
        keep=spec.keep,
        out=around.out,
        path=spec.output.path,
        durability=spec.output.durability,
        verify=spec.output.verify,
        limits=spec.limits if others else tighter(spec.limits, profile.limits),
        budget=spec.budget,
        retry=spec.retry,
        timeouts=spec.timeouts,
        stop=spec.stop,
        limit=around.limit,
        places=around.places,
    )


def _streaming(chosen: Chosen, *, wanted: bool | None) -> Chosen:
    """With ``profile.stream`` as it is to be; it is no parameter of the model."""
    params = dict(chosen.profile.params)
    said = params.pop("stream", chosen.profile.stream)
    stream = said if wanted is None else wanted
    profile = chosen.profile.model_copy(update={"stream": stream, "params": params})
    return dataclasses.replace(chosen, profile=profile)


def _prompts(prompts: Prompts, around: Surroundings) -> Listed | Filed:
    if isinstance(prompts, PromptFile):
        is_stdin = prompts.file == "-"
        return Filed(
            label="<stdin>" if is_stdin else around.prompts_label,
            path="-" if is_stdin else around.prompts_path,
            column=prompts.column,
            id=prompts.id,
            limit=prompts.limit,
        )
    specs = (RowSpec(prompt=one) if isinstance(one, str) else one for one in prompts)
    rows = map(row_of, specs, around.lines)
    return Listed(label=around.source, rows=tuple(rows))


def _matrix(spec: MatrixSpec | None) -> Matrix:
    if spec is None:
        return Matrix()
    axes = dict(spec.__pydantic_extra__ or {})
    return Matrix(axes=axes, exclude=spec.exclude, include=spec.include)


def as_mapping(job: Job) -> dict[str, Any]:
    """The mapping a job file holds that resolves to this job again; no secrets, no output folder.

    The paths of files lead there from anywhere, but for templates, which each row fills.
    """
    axes = {**job.matrix.axes, **_entries(job.matrix)}
    every = {
        "name": job.name,
        "provider": _providers(job),
        "model": job.model,
        "prompts": _as_prompts(job),
        "template": job.template,
        "matrix": axes or None,
        "samples": job.samples,
        "references": _from_anywhere(job.references, job.folder) or None,
        "aspect_ratio": job.aspect_ratio,
        "image_size": job.image_size,
        "seed": job.seed,
        "params": dict(job.params) if job.others else {**job.params, "stream": job.profile.stream},
        "keep": job.keep.value,
        "output": {"path": job.path, "durability": job.durability, "verify": job.verify},
        "limits": job.limits.model_dump(exclude_unset=bool(job.others)),
        "budget": None if job.budget.usd is None else job.budget.model_dump(),
        "retry": job.retry.model_dump(),
        "timeouts": job.timeouts.model_dump(),
        "stop": job.stop.model_dump(),
    }
    return {key: value for key, value in every.items() if value is not None}


def _providers(job: Job) -> Any:
    """As a job names them: one, or a list; one of several keys is named once."""
    named: list[Any] = []
    for chosen in job.pool:
        entry = chosen.reference
        if chosen.weight != 1:
            entry = {"profile": entry, "weight": chosen.weight}
        if not named or entry != named[-1]:
            named.append(entry)
    return named[0] if len(named) == 1 else named


def _entries(matrix: Matrix) -> dict[str, Any]:
    both = {"exclude": list(matrix.exclude), "include": list(matrix.include)}
    return {key: entries for key, entries in both.items() if entries}


def _from_anywhere(references: Iterable[str], folder: str) -> list[str]:
    return [_path_from_anywhere(one, folder) for one in references]


def _path_from_anywhere(reference: str, folder: str) -> str:
    """A plain relative path from the root; addresses and templates stay as they are."""
    path = posixpath.normpath(posixpath.join(folder, reference))
    return reference if _FOUND_FROM_ANYWHERE.match(reference) or "{{" in path else path


def _as_prompts(job: Job) -> Any:
    prompts = job.prompts
    if isinstance(prompts, Listed):
        return [_as_row(row, job.folder) for row in prompts.rows]
    every = {"file": prompts.path, "column": prompts.column}
    return {**every, "id": prompts.id, "limit": prompts.limit}


def _as_row(row: Row, folder: str) -> Any:
    settings = {k: _as_written(v) for k, v in row.settings.items()}
    if "references" in settings:
        settings["references"] = _from_anywhere(settings["references"], folder)
    whole = {"prompt": row.prompt, **settings, **row.meta}
    return whole if len(whole) > 1 else row.prompt


def _as_written(setting: Any) -> Any:
    if isinstance(setting, Keep):
        return setting.value
    return list(setting) if isinstance(setting, tuple) else setting
