"""Room that is kept free, so that what is in flight still lands when the disk turns out full.

Two files take it up. The first one gives way to whatever finds the disk full. The second, smaller
one gives way to records alone: from then on no image gets a byte more, so that each one that is
whole by then finds room for its result and its line.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.durable import NEW_FILE, STATE, trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.store.durable import Disk

BALLAST = f"{STATE}/ballast"
FOR_RECORDS = f"{STATE}/ballast.records"

LEAST_BYTES = 1 << 20
MOST_BYTES = 64 << 20
_SHARE = 4  # of the free space, one in this many
_SHARE_FOR_RECORDS = 8  # of that, one in this many
_RESERVE: Callable[[int, int, int], None] = getattr(os, "posix_fallocate", lambda *_: None)


class Ballast:
    """Files that take up room until it is needed; on some filesystems only in appearance."""

    def __init__(self, disk: Disk, *, wanted_bytes: int, freed: Callable[[], None]) -> None:
        """Reserve room, as far as there is; :class:`DiskTrouble` where there is next to none.

        From then on the disk makes room of it when it is full; the first time ``freed`` is called,
        in whichever thread met the full disk.
        """
        self._freed = freed
        self._disk = disk
        self._freeing = threading.Lock()
        self._is_told = False
        self._there: set[str] = set()
        with trouble(f"reading {disk.root}"):
            there = os.statvfs(disk.root)
        free_bytes = there.f_bavail * there.f_frsize
        if free_bytes < LEAST_BYTES:
            raise DiskTrouble(
                f"{disk.root}: only {free_bytes // 1024} kB are free; free some space, then run the"
                " same command again (nothing was sent)"
            )
        n_bytes = max(LEAST_BYTES, min(wanted_bytes, MOST_BYTES, free_bytes // _SHARE))
        self._reserve(FOR_RECORDS, n_bytes // _SHARE_FOR_RECORDS)
        self._reserve(BALLAST, n_bytes - n_bytes // _SHARE_FOR_RECORDS)
        disk.when_full = self.make_room

    def make_room(self, *, is_pixels: bool) -> bool:
        """Give room up; whether what failed for want of it may be tried again."""
        if self._give_up(BALLAST):
            return True
        if is_pixels:
            return False
        with self._disk.writing_pixels:
            self._disk.is_for_records = True
            return self._give_up(FOR_RECORDS)

    def close(self) -> None:
        """Give the room back to everybody; what stays behind, the next run removes."""
        with self._freeing, suppress(OSError):
            self._there.clear()
            clear(self._disk)

    def _give_up(self, name: str) -> bool:
        with self._freeing:
            if name not in self._there:
                return False
            self._there.remove(name)
            self._disk.remove(name)
            self._disk.n_freed += 1
            is_told, self._is_told = self._is_told, True
        if not is_told:
            self._freed()
        return True

    def _reserve(self, name: str, n_bytes: int) -> None:
        with trouble(f"reserving room in {self._disk.root}"):
            self._disk.remove(name)
            fd = self._disk.open(name, NEW_FILE)
            try:
                _RESERVE(fd, 0, n_bytes)
                self._there.add(name)
            except OSError:  # no such thing on this filesystem, or a limit of ours: then without
                self._disk.remove(name)
            finally:
                os.close(fd)


def clear(disk: Disk) -> None:
    """Remove what a run left of its ballast; raises OSError."""
    disk.remove(BALLAST)
    disk.remove(FOR_RECORDS)
