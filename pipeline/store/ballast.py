"""Room that is kept free, so that what is in flight still lands when the disk turns out full."""

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

LEAST_BYTES = 1 << 20
MOST_BYTES = 64 << 20
_SHARE = 4  # of the free space, one in this many
_RESERVE: Callable[[int, int, int], None] = getattr(os, "posix_fallocate", lambda *_: None)


class Ballast:
    """A file that takes up room until it is needed; on some filesystems only in appearance."""

    def __init__(self, disk: Disk, *, wanted_bytes: int, freed: Callable[[], None]) -> None:
        """Reserve room, as far as there is; :class:`DiskTrouble` where there is next to none.

        From then on the disk makes room of it when it is full; then ``freed`` is called, once, in
        whichever thread met the full disk.
        """
        self._freed = freed
        self._disk = disk
        self._freeing = threading.Lock()
        self._is_there = False
        with trouble(f"reading {disk.root}"):
            there = os.statvfs(disk.root)
        free_bytes = there.f_bavail * there.f_frsize
        if free_bytes < LEAST_BYTES:
            raise DiskTrouble(
                f"{disk.root}: only {free_bytes // 1024} kB are free; free some space, then run the"
                " same command again (nothing was sent)"
            )
        self._reserve(max(LEAST_BYTES, min(wanted_bytes, MOST_BYTES, free_bytes // _SHARE)))
        disk.when_full = self.make_room

    def make_room(self) -> bool:
        """Give the room up; whether what failed for want of it may be tried again."""
        with self._freeing:
            if not self._is_there:
                return False
            self._is_there = False
            self._disk.remove(BALLAST)
            self._disk.n_freed += 1
        self._freed()
        return True

    def close(self) -> None:
        """Give the room back to everybody; what stays behind, the next run removes."""
        with self._freeing, suppress(OSError):
            self._is_there = False
            self._disk.remove(BALLAST)

    def _reserve(self, n_bytes: int) -> None:
        with trouble(f"reserving room in {self._disk.root}"):
            self._disk.remove(BALLAST)
            fd = self._disk.open(BALLAST, NEW_FILE)
            try:
                _RESERVE(fd, 0, n_bytes)
                self._is_there = True
            except OSError:  # no such thing on this filesystem, or a limit of ours: then without
                self._disk.remove(BALLAST)
            finally:
                os.close(fd)
