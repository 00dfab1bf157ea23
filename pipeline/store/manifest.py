"""The append-only file that is the truth on disk: append a line, replay the lines, heal the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.store.durable import trouble
from pipeline.store.log import Log, pieces
from pipeline.store.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger

MANIFEST = "manifest.jsonl"

_LIKELY_BYTES = 4096  # hold a line, mostly
_FAR_BYTES = 1 << 18  # from there on, what lies between two lines is not worth reading


class Manifest:
    """The manifest of a folder we hold the lock of; its ledger follows every line, old and new.

    ``n_torn_bytes`` were at its end, no whole line, and have been set aside.
    """

    def __init__(self, disk: Disk, ledger: Ledger) -> None:
        """Open or create it, read it into the empty ``ledger``, heal its end.

        Raises :class:`DiskTrouble`.
        """
        self._ledger = ledger
        self._log = Log(disk, MANIFEST)
        with trouble(f"reading {disk.root / MANIFEST}"):
            end = replay(self._log.fd, ledger, path=disk.root / MANIFEST)
        self.n_torn_bytes = end.size - end.sound
        self._log.anchor(sound=end.sound)
        if end.is_unterminated:
            self._log.append([b"\n"])
            self._log.sync()

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    @property
    def fd(self) -> int:
        """The open file."""
        return self._log.fd

    @property
    def size(self) -> int:
        """Bytes of its lines."""
        return self._log.size

    def append(self, lines: Sequence[bytes]) -> None:
        r"""Make lines, ``\n`` included, last, all or none; returning is the acknowledgement."""
        offset = self._log.size
        self._log.append(lines)
        self._log.sync()
        for line in lines:
            self._ledger.note(offset, line)
            offset += len(line)

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""
        return lines_at(self._log.fd, offsets)


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
