"""The append-only file that is the truth on disk: append a line, replay the lines, heal the end."""

from __future__ import annotations

import os
import shlex
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.durable import STATE, trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pipeline.store.durable import Disk

MANIFEST = "manifest.jsonl"
_PIECE = 1 << 20

_BROKEN = "{path} could not be synced earlier in this run: check the disk, then run again"
_DAMAGED = (
    "{path} is damaged at line {number}, before its end; `imagebatch verify --repair {folder}`"
    " sets what is damaged aside and keeps the rest"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a manifest ends: ``sound`` bytes can be trusted; the last line may lack its newline."""

    sound: int
    size: int
    is_unterminated: bool


class Manifest:
    """The manifest of a folder we hold the lock of; ``note`` hears every line, old and new.

    ``note(offset, line)`` gets a line without its newline and the byte it starts at, and raises
    ValueError for what is no record.
    """

    def __init__(self, disk: Disk, note: Callable[[int, bytes], None]) -> None:
        """Open or create it, replay it, heal its end. Raises :class:`DiskTrouble`."""
        self._disk = disk
        self._note = note
        self._appending = threading.Lock()
        self._is_broken = False
        with trouble(f"opening {disk.root / MANIFEST}"):
            self._fd = disk.open(MANIFEST, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            self._heal(replay(self._fd, note, root=disk.root))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def append(self, line: bytes) -> None:
        r"""Make a line, ``\n`` included, last; returning is the acknowledgement.

        A line that could not be written whole is taken back, so that the next one may follow. After
        a failed sync nobody knows what is on the disk: nothing is acknowledged any more.
        """
        with self._appending, trouble(f"appending to {self._disk.root / MANIFEST}"):
            if self._is_broken:
                raise DiskTrouble(_BROKEN.format(path=self._disk.root / MANIFEST))
            self._is_broken = True
            self._write(line)
            self._disk.sync_content(self._fd)
            self._is_broken = False
            self._note(self._size, line[:-1])
            self._size += len(line)

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""
        return lines_at(self._fd, offsets)

    def _write(self, line: bytes) -> None:
        try:
            self._disk.write_all(self._fd, line)
        except OSError:
            os.ftruncate(self._fd, self._size)
            self._is_broken = False
            raise

    def _heal(self, end: End) -> None:
        self._size = end.sound
        if end.is_unterminated:
            self._write(b"\n")
            self._size += 1
        elif end.sound < end.size:
            self._set_tail_aside(end)
        self._disk.sync(self._fd)
        self._disk.sync_names()

    def _set_tail_aside(self, end: End) -> None:
        """A copy first, then the cut: whatever the torn line says can still be read."""
        taken = set(self._disk.names(STATE))
        number = next(n for n in range(1, len(taken) + 2) if _broken(n) not in taken)
        self._disk.write_whole(f"{STATE}/{_broken(number)}", pieces(self._fd, end.sound))
        os.ftruncate(self._fd, end.sound)


def replay(fd: int, note: Callable[[int, bytes], None], *, root: Path) -> End:
    """Tell ``note`` every line and find where what can be trusted ends.

    Only the end may be torn: a last line that is no record, or that lacks its newline. Anything
    else that is no record is damage, a :class:`DiskTrouble` that names the line.
    """
    sound, size, is_torn, is_terminated = 0, 0, False, True
    for number, (line, is_terminated) in enumerate(_lines(fd)):
        if is_torn:
            raise DiskTrouble(
                _DAMAGED.format(path=root / MANIFEST, number=number, folder=shlex.quote(str(root)))
            )
        try:
            note(size, line)
        except ValueError:
            is_torn = True
        size += len(line) + is_terminated
        sound = sound if is_torn else size
    return End(sound=sound, size=size, is_unterminated=not (is_torn or is_terminated))


def lines_at(fd: int, offsets: Iterable[int]) -> Iterator[bytes]:
    """The lines that start at these offsets, without their newline."""
    for offset in offsets:
        line = b""
        for piece in pieces(fd, offset, n_bytes=4096):
            head, newline, _ = piece.partition(b"\n")
            line += head
            if newline:
                break
        yield line


def pieces(fd: int, offset: int, *, n_bytes: int = _PIECE) -> Iterator[bytes]:
    """What a file holds from ``offset`` to its end, at most ``n_bytes`` at a time."""
    while piece := os.pread(fd, n_bytes, offset):
        yield piece
        offset += len(piece)


def _lines(fd: int) -> Iterator[tuple[bytes, bool]]:
    r"""Every line and whether its newline is there; ``\n`` alone ends a line."""
    rest = b""
    for piece in pieces(fd, 0):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line, True
    if rest:
        yield rest, False


def _broken(number: int) -> str:
    return f"{MANIFEST}.{number}.broken"
