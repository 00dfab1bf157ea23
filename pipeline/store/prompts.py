"""The folder's own copy of its job's prompts: where their file has gone, the folder is enough."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import orjson

from pipeline.store.durable import STATE, Disk, trouble

if TYPE_CHECKING:
    from typing import BinaryIO

SURVEY = f"{STATE}/survey"
_NOTE = f"{STATE}/source.json"
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a folder's tasks come from.

    ``seen_from``: the folder that paths in the job and in its prompts are seen from, absolute.
    ``file``: the prompt file as the job names it, absolute, ``-`` for standard input, None where
    the job lists its prompts. ``stamp``: size and time (ns) of the file when it was copied.
    """

    seen_from: str
    file: str | None = None
    stamp: tuple[int, int] | None = None

    @property
    def copy(self) -> str | None:
        """The name of the copy below the output folder, None where there is nothing to copy."""
        if self.file is None:
            return None
        suffix = ".jsonl" if self.file == "-" else PurePath(self.file).suffix.lower()
        return f"{STATE}/prompts{suffix}"


def source_of(root: Path) -> Source | None:
    """Where the tasks of the folder at ``root`` come from, None where it does not tell.

    Raises :class:`DiskTrouble`.
    """
    with trouble(f"reading {root}"):
        if not root.is_dir():
            return None
        with closing(Disk(root)) as disk:
            return _noted(disk)


def copy_of(root: Path, file: str) -> Path | None:
    """The copy that the folder at ``root`` has of the prompts in ``file``, None where it has none.

    Raises :class:`DiskTrouble`.
    """
    source = source_of(root)
    if source is None or source.file != file or source.copy is None:
        return None
    copy = root / source.copy
    return copy if copy.is_file() else None


def read_survey(root: Path) -> bytes:
    """What a run saw of the rows and left in the folder at ``root``; nothing where none is read."""
    with suppress(OSError), closing(Disk(root)) as disk:
        return disk.read(SURVEY) or b""
    return b""


def keep(disk: Disk, *, seen_from: str, file: str | None = None, read: Path | None = None) -> None:
    """Note where the tasks come from, and copy the prompts where they are news; we hold the lock.

    ``file`` is what the job calls them, ``read`` where they are: the file itself, what standard
    input was spooled to, or the copy. Raises :class:`DiskTrouble`.
    """
    with trouble(f"keeping a copy of the prompts in {disk.root}"):
        before = _noted(disk)
        now = Source(seen_from=seen_from)
        if before and before.copy and read == disk.root / before.copy:
            now = Source(seen_from=seen_from, file=before.file, stamp=before.stamp)
        elif file is not None and read is not None:
            with read.open("rb") as prompts:
                now = Source(seen_from=seen_from, file=file, stamp=_stamp(prompts))
                if not _is_there(disk, before, now):
                    _copy(disk, prompts, str(now.copy))
        if before and before.copy and before.copy != now.copy:
            disk.remove(before.copy)
        if _noted(disk) != now:
            disk.write_whole(_NOTE, [orjson.dumps(asdict(now))])


def _copy(disk: Disk, prompts: BinaryIO, name: str) -> None:
    """Copy them in pieces; until they are noted, nothing is: a note is true at any instant."""
    disk.remove(_NOTE)
    disk.write_whole(name, iter(lambda: prompts.read(_PIECE_BYTES), b""))


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _is_there(disk: Disk, before: Source | None, now: Source) -> bool:
    is_same = before is not None and (before.file, before.stamp) == (now.file, now.stamp)
    return is_same and disk.has(str(now.copy))


def _noted(disk: Disk) -> Source | None:
    try:
        said = orjson.loads(disk.read(_NOTE) or b"")
        file, stamp = said["file"], said["stamp"]
        return Source(
            seen_from=str(said["seen_from"]),
            file=None if file is None else str(file),
            stamp=None if stamp is None else (int(stamp[0]), int(stamp[1])),
        )
    except (ValueError, TypeError, KeyError, IndexError):
        return None
