"""Jobs for tests: written to a real file, loaded from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.job.job import Overrides
from pipeline.job.load import load_job
from pipeline.job.sources import rows
from pipeline.job.survey import survey
from pipeline.job.tasks import tasks

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.model import Task
    from pipeline.job.job import Job
    from pipeline.job.tasks import Read, Survey


def load(
    folder: Path, text: str | bytes, *, environ: dict[str, str] | None = None, **over: Any
) -> Job:
    """The job in ``text``, which is written to ``job.yaml`` in ``folder``."""
    path = folder / "job.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_job(path, overrides=Overrides(**over), environ=environ or {})


def reading(job: Job) -> Read:
    """Ways through the rows of the job."""
    return lambda n_passed=0: rows(job.prompts, n_passed=n_passed)


def surveyed(job: Job) -> Survey:
    """The first pass over the job's plan."""
    return survey(job, reading(job))


def planned(job: Job) -> list[Task]:
    """Every task of the job's plan."""
    return list(tasks(job, surveyed(job), reading(job)))
