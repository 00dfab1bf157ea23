"""Reads a whole manifest, checks every line of it, and finds where what can be trusted ends."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.stretch import Beside, Stretch, lines_in, read

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.store.ledger import Ledger

_WORTH_A_PROCESS_BYTES = 32 << 20  # read in some 0.1 s: what it takes to start one
_MOST_PROCESSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a manifest ends: ``sound`` bytes can be trusted; the last line may lack its newline."""

    sound: int
    size: int
    is_unterminated: bool


def replay(
    fd: int, ledger: Ledger, *, path: Path, n_bytes_each: int = _WORTH_A_PROCESS_BYTES
) -> End:
    """Take every line of the manifest at ``path``, open as ``fd``, into an empty ``ledger``.

    Only the end may be torn: a last line that is no record, or that lacks its newline. Anything
    else that is no record is damage, a :class:`DiskTrouble` that names the line. A long manifest
    is read by several processes, a stretch each: parsing is all the work there is.
    """
    size = os.fstat(fd).st_size
    n_stretches = min(_n_cores(), _MOST_PROCESSES, 1 + size // n_bytes_each)
    first, *others = _stretches(fd, n_stretches, head=min(2 * n_bytes_each, size // 2))
    with ExitStack() as stack:
        beside = [(one, stack.enter_context(Beside(fd, one))) for one in others]
        sound = read(fd, first, ledger)
        for stretch, reading in beside:
            if sound == stretch.start:
                sound = reading.into(ledger)
    if sound < size:
        torn = lines_in(fd, Stretch(sound, size)).readline()
        if sound + len(torn) < size:
            raise damage(path, ledger.n_lines + 1, folder=path.parent)
    is_unterminated = sound == size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    return End(sound=sound, size=size, is_unterminated=is_unterminated)


def damage(path: Path, number: int, *, folder: Path) -> DiskTrouble:
    """What to raise where a line of a log is none of ours and its end is not torn there.

    ``number`` counts from 1; ``folder`` is the output folder.
    """
    return DiskTrouble(
        f"{path} is damaged at line {number}, before its end; `imagebatch verify --repair"
        f" {shlex.quote(str(folder))}` sets what is damaged aside and keeps the rest"
    )


def _stretches(fd: int, n: int, *, head: int) -> list[Stretch]:
    """About equal stretches, ``n`` at most, which begin where lines do.

    The first has ``head`` bytes more: the other processes have to start, and to tell.
    """
    size = os.fstat(fd).st_size
    starts = {0, size}
    for number in range(1, n):
        about = head + (size - head) * number // n
        starts.add(about + len(lines_in(fd, Stretch(about, size)).readline()))
    return [Stretch(*ends) for ends in pairwise(sorted(starts))] or [Stretch(0, 0)]


def _n_cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(affinity(0)) if affinity else os.cpu_count() or 1
