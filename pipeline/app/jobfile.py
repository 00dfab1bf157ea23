"""A job file as the commands read it: the one frozen in an output folder goes on in that folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BadJob, Fault
from pipeline.job import load
from pipeline.job.job import Home, Overrides
from pipeline.job.paths import absolute
from pipeline.store.opening import JOB, owner_at
from pipeline.store.prompts import source_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from pipeline.job.job import Job

_NOTHING = Overrides()


def load_job(
    path: str | os.PathLike[str],
    *,
    overrides: Overrides = _NOTHING,
    environ: Mapping[str, str] | None = None,
) -> Job:
    """The job in the file at ``path``, with the command line and environment laid over it.

    A frozen job goes on in the folder it lies in, wherever that was moved to, unless the flag, the
    environment or the file names another. ``environ`` is the process's own where it is not given.
    Raises :class:`BadJob` or :class:`BadProfile` with every fault found, :class:`BadUsage` for a
    setting without ``=``, :class:`DiskTrouble` where the folder cannot be read.
    """
    if _is_file(Path(path) / JOB):
        what = f"cannot read the job: it is a folder (did you mean {Path(path) / JOB}?)"
        raise BadJob([Fault(str(path), 0, 0, "", what)])
    return load.load_job(path, overrides=overrides, environ=environ, home=_home_of(Path(path)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name beyond all bounds: reading the job tells
        return False


def _home_of(file: Path) -> Home | None:
    """The output folder whose frozen job ``file`` is, None for a job that a person wrote."""
    folder = file.parent
    owner = owner_at(folder) if file.name == JOB else None
    if owner is None:
        return None
    source = source_of(folder)
    return Home(name=owner, out=absolute(folder), seen_from=source.seen_from if source else None)
