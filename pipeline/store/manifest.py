"""The append-only file that is the truth on disk: append a line, replay the lines, heal the end."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.durable import trouble
from pipeline.store.log import Log, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.store.durable import Disk

MANIFEST = "manifest.jsonl"

_LIKELY_BYTES = 4096  # hold a line, mostly
_FAR_BYTES = 1 << 18  # from there on, what lies between two lines is not worth reading
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
        self._note = note
        self._log = Log(disk, MANIFEST)
        with trouble(f"reading {disk.root / MANIFEST}"):
            end = replay(self._log.fd, note, root=disk.root)
        self._log.anchor(sound=end.sound)
        if end.is_unterminated:
            self._log.append([b"\n"])
            self._log.sync()

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def append(self, lines: Sequence[bytes]) -> None:
        r"""Make lines, ``\n`` included, last, all or none; returning is the acknowledgement."""
        offset = self._log.size
        self._log.append(lines)
        self._log.sync()
        for line in lines:
            self._note(offset, line[:-1])
            offset += len(line)

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""
        return lines_at(self._log.fd, offsets)


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
    """The lines that start at these offsets, without their newline; cheap where they lie close."""
    start, block = -_FAR_BYTES, b""
    for offset in offsets:
        at = offset - start
        end = block.find(b"\n", at)
        if not 0 <= at <= end:
            is_far = abs(at) >= _FAR_BYTES
            start = offset if is_far else max(0, offset - _FAR_BYTES // 4)
            block = os.pread(fd, _LIKELY_BYTES if is_far else _FAR_BYTES, start)
            at = offset - start
            end = block.find(b"\n", at)
        yield block[at:end] if end >= 0 else _long_line_at(fd, offset)


def _long_line_at(fd: int, offset: int) -> bytes:
    line = b""
    for piece in pieces(fd, offset):
        head, newline, _ = piece.partition(b"\n")
        line += head
        if newline:
            break
    return line


def _lines(fd: int) -> Iterator[tuple[bytes, bool]]:
    r"""Every line and whether its newline is there; ``\n`` alone ends a line."""
    rest = b""
    for piece in pieces(fd, 0):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line, True
    if rest:
        yield rest, False
