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
from pipeline.store.prompts import copy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.job.job import Job
    from pipeline.store.folder import Folder


@contextmanager
def found(job: Job, note: Callable[[str], None]) -> Iterator[Path | None]:
    """The file that holds the job's prompts, None for a job that lists them itself.

    Standard input is spooled for as long as the context lasts. Where the prompts have gone, or
    standard input brings nothing, it is the copy of an earlier run, and ``note`` is told so;
    without one it is the file that is not there. Raises :class:`DiskTrouble`.
    """
    if not isinstance(job.prompts, Filed):
        yield None
    elif job.prompts.path == "-":
        with tempfile.TemporaryDirectory(prefix="imagebatch-") as folder:
            yield _spooled(job.prompts, Path(folder) / "stdin.jsonl", Path(job.out), note)
    else:
        yield _there(job.prompts, Path(job.out), note)


def keep_prompts(job: Job, folder: Folder, read: Path | None) -> None:
    """Keep what a later run needs to go on from ``folder`` alone.

    ``read``: what :func:`found` gave. Raises :class:`DiskTrouble`.
    """
    file = job.prompts.path if isinstance(job.prompts, Filed) else None
    folder.keep_prompts(seen_from=job.folder, file=file, read=read)


def _spooled(prompts: Filed, to: Path, out: Path, note: Callable[[str], None]) -> Path:
    """Standard input in a file; where it brings nothing, what an earlier run was given there."""
    kept = copy_of(out, prompts.path)
    is_silent = sys.stdin is None or (kept is not None and sys.stdin.isatty())
    if is_silent:
        to.touch()
    else:
        spool(sys.stdin.buffer, to)
    if kept is None or to.stat().st_size:
        return to
    note(f"{prompts.label} brings nothing: {_going_on_from(kept)}")
    return kept


def _there(prompts: Filed, out: Path, note: Callable[[str], None]) -> Path:
    file = Path(prompts.path)
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        if copy := copy_of(out, prompts.path):
            note(f"{prompts.label} is gone: {_going_on_from(copy)}")
            return copy
    except OSError:  # it is there: why it cannot be read, reading it tells
        return file
    return file


def _going_on_from(copy: Path) -> str:
    return f"going on from the copy in {os.path.relpath(copy)}"
