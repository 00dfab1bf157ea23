"""Where a job's prompts are read from: their file, standard input, or the folder's own copy."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.job.job import Filed
from pipeline.job.sources import spool
from pipeline.store.prompts import copy_of, keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.job.job import Job


@contextmanager
def found(job: Job, note: Callable[[str], None]) -> Iterator[Path | None]:
    """The file that holds the job's prompts, None for a job that lists them itself.

    Standard input is spooled for as long as the context lasts. Where the prompts have gone, it is
    the copy of an earlier run, and ``note`` is told so; without one it is the file that is not
    there. Raises :class:`DiskTrouble`.
    """
    if not isinstance(job.prompts, Filed):
        yield None
    elif job.prompts.path == "-":
        with tempfile.TemporaryDirectory(prefix="imagebatch-") as folder:
            yield _spooled(Path(folder) / "stdin.jsonl", copy_of(Path(job.out), "-"))
    else:
        yield _there(job.prompts, Path(job.out), note)


def keep_prompts(job: Job, root: Path, read: Path | None) -> None:
    """Keep what a later run needs to go on from the folder at ``root`` alone; we hold its lock.

    ``read``: what :func:`found` gave. Raises :class:`DiskTrouble`.
    """
    file = job.prompts.path if isinstance(job.prompts, Filed) else None
    keep(root, seen_from=job.folder, file=file, read=read)


def _spooled(to: Path, kept: Path | None) -> Path:
    """Standard input in a file; where it brings nothing, what an earlier run was given there."""
    if kept and (sys.stdin is None or sys.stdin.isatty()):
        return kept
    if sys.stdin is None:
        to.touch()
        return to
    spool(sys.stdin.buffer, to)
    return kept if kept and not to.stat().st_size else to


def _there(prompts: Filed, out: Path, note: Callable[[str], None]) -> Path:
    file = Path(prompts.path)
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        if copy := copy_of(out, prompts.path):
            where = os.path.relpath(copy)
            note(f"{prompts.label} is gone: going on from the copy in {where}")
            return copy
    except OSError:  # it is there: why it cannot be read, reading it tells
        return file
    return file
