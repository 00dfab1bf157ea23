"""What gets on after a rerun: the same once more, or a run of the whole job."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.model import FINAL_WHYS
from pipeline.errors import DiskTrouble
from pipeline.store.opening import JOB
from pipeline.store.status import read_origin

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.errors import Stop
    from pipeline.store.folder import Folder
    from pipeline.store.status import Origin
    from pipeline.view.report import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which failed tasks a rerun asks for; none given takes all."""

    whys: Collection[str] = ()
    ids: Collection[str] = ()


def with_next(ending: Ending, stop: Stop | None, folder: Folder, selection: Selection) -> Ending:
    """The ending of a rerun of ``selection``, with the commands that go on from there.

    ``again`` stays the same rerun as long as that has something to do: after a stop whatever it
    chose and has not made, else what it chose and may still succeed. Otherwise it is a run of the
    whole job, which leaves alone what failed for good. ``rerun`` never asks for more than was
    chosen, while that still fails.
    """
    if isinstance(stop, DiskTrouble):  # nothing more can be read there
        return ending
    failed = {why for why, number in ending.failed_by_why.items() if number}
    hopeful = failed - FINAL_WHYS
    is_choosy = bool(selection.whys or selection.ids)
    return replace(
        ending,
        again=ending.again
        if _is_left(failed if stop else hopeful, folder, selection)
        else _whole(ending, folder, hopeful),
        rerun=ending.again if is_choosy and _is_left(failed, folder, selection) else None,
    )


def run_command(folder: Path) -> str:
    """The run that goes on with a folder: as it was said last, or of the job frozen in it."""
    said = _run_of(read_origin(folder), str(folder.absolute()))
    return said or f"imagebatch run {shlex.quote(str(folder / JOB))}"


def _is_left(whys: set[str], folder: Folder, selection: Selection) -> bool:
    """Whether a chosen task still fails for one of ``whys``."""
    meant = whys.intersection(selection.whys) if selection.whys else whys
    return bool(meant) and len(folder.chosen(whys=meant, ids=selection.ids)) > 0


def _whole(ending: Ending, folder: Folder, hopeful: set[str]) -> str:
    """A run of the whole job: as it was said, or of the job that is frozen in the folder."""
    if run := _run_of(read_origin(folder.root), str(folder.root)):
        return run
    where = shlex.quote(ending.output)
    if hopeful and not ending.owed:
        return f"imagebatch rerun {where} --why {','.join(sorted(hopeful))}"
    return f"imagebatch run {shlex.quote(str(Path(ending.output, JOB)))}"


def _run_of(origin: Origin | None, out: str) -> str | None:
    """The command that made the folder, fit for this shell; None where it is no longer there.

    The job frozen in the folder is found where the folder is now, not where it was then.
    """
    if origin is None or not origin.words:
        return None
    job = Path(origin.here, origin.words[0])
    if not job.is_file() or os.path.normpath(job) == str(Path(origin.out, JOB)):
        return None
    has_moved = origin.out != out
    words = [*origin.words, *(("--out", out) if has_moved else ())]
    command = shlex.join(["imagebatch", "run", *words])
    if origin.here != str(Path().absolute()):
        command = f"cd {shlex.quote(origin.here)} && {command}"
    return command if command.isprintable() else None
