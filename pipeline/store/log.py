"""An append-only file of lines: appended whole, synced, and cut where its end is torn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.durable import STATE, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.store.durable import Disk

_PIECE_BYTES = 1 << 20
_FAILING = "{path}: the disk failed to take something earlier in this run: check it, then run again"


class Log:
    """A log of a folder we hold the lock of; one thread appends at a time.

    ``size``: bytes of its whole lines. Raises :class:`DiskTrouble`.
    """

    def __init__(self, disk: Disk, name: str) -> None:
        """Open or create it. Its name lasts only once :meth:`anchor` has been called."""
        self._disk = disk
        self._name = name
        with trouble(f"opening {disk.root / name}"):
            self.fd = disk.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.size = os.fstat(self.fd).st_size

    def anchor(self, *, sound: int) -> None:
        """Make it last as it is, name and content; what lies beyond ``sound`` bytes is set aside.

        A copy first, then the cut: whatever a torn line says can still be read.
        """
        with trouble(f"opening {self._disk.root / self._name}"):
            if sound < self.size:
                set_aside(self._disk, self._name, pieces(self.fd, sound))
                self._disk.truncate(self.fd, sound)
                self.size = sound
            self._disk.sync(self.fd)
            self._disk.sync_names_of([self._name])

    def append(self, lines: Iterable[bytes]) -> None:
        r"""Append lines, ``\n`` included, one ``write`` each: all of them or, raising, none.

        After a failed sync nothing is appended any more: what is in a log is a promise.
        """
        path = f"{self._disk.root}/{self._name}"
        if self._disk.is_failing:
            raise DiskTrouble(_FAILING.format(path=path))
        end = self.size
        with trouble(f"appending to {path}"):
            try:
                for line in lines:
                    self._disk.write_all(self.fd, line)
                    end += len(line)
            except OSError:
                self._disk.truncate(self.fd, self.size)
                raise
        self.size = end

    def sync(self) -> None:
        """Make what was appended last."""
        with trouble(f"appending to {self._disk.root}/{self._name}"):
            self._disk.sync_content(self.fd)

    def rename(self, to: str) -> None:
        """Give it another name, which lasts once :meth:`anchor_name` has been called."""
        with trouble(f"writing {self._disk.root / to}"):
            self._disk.rename(self._name, to)
        self._name = to

    def anchor_name(self) -> None:
        """Make its name last."""
        with trouble(f"writing {self._disk.root / self._name}"):
            self._disk.sync_names_of([self._name])

    def discard(self) -> None:
        """Remove it."""
        self.close()
        with trouble(f"removing {self._disk.root / self._name}"):
            self._disk.remove(self._name)

    def close(self) -> None:
        """Close the file."""
        with trouble(f"closing {self._disk.root / self._name}"):
            self._disk.close_file(self.fd)


def pieces(fd: int, offset: int, *, n_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """What a file holds from ``offset`` to its end, at most ``n_bytes`` at a time."""
    while piece := os.pread(fd, n_bytes, offset):
        yield piece
        offset += len(piece)


def set_aside(disk: Disk, name: str, torn: Iterable[bytes]) -> None:
    """Keep a copy of what is torn or damaged in the file called ``name``."""
    last = name.rpartition("/")[2]
    taken = set(disk.names(STATE))
    copies = (f"{last}.{number}.broken" for number in range(1, len(taken) + 2))
    disk.write_whole(f"{STATE}/{next(one for one in copies if one not in taken)}", torn)
