"""A part file: the bytes of an image that has no name yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from pipeline.store.durable import NEW_FILE, PARTS, trouble

if TYPE_CHECKING:
    from pipeline.store.durable import Disk


class FilePart:
    """A file below ``.state/parts`` that is written, then sealed and given a name, or discarded."""

    __slots__ = ("_disk", "_fd", "_is_handed_over", "name")

    def __init__(self, disk: Disk, name: str) -> None:
        """Create it; ``name`` must be new. Raises :class:`DiskTrouble`."""
        self._disk = disk
        self._is_handed_over = False
        self.name = f"{PARTS}/{name}"
        with trouble(f"creating a part file in {disk.root}/{PARTS}"):
            self._fd = disk.open(self.name, NEW_FILE)

    def write(self, piece: bytes) -> None:
        """Append ``piece``; raises :class:`DiskTrouble`."""
        with trouble("writing an image"):
            self._disk.write_pixels(self._fd, piece)

    def reopened(self) -> BinaryIO:
        """What was written so far, to be read; raises :class:`DiskTrouble`."""
        with trouble("reading an image"):
            return os.fdopen(self._disk.open(self.name, os.O_RDONLY), "rb")

    def discard(self) -> None:
        """Remove it; harmless when it was kept or removed already."""
        if self._is_handed_over:
            return
        self._is_handed_over = True
        with trouble("removing a part file"):
            try:
                self._disk.close_file(self._fd)
            finally:
                self._disk.remove(self.name)

    def hand_over(self) -> None:
        """From here on the store alone decides about it: ``discard`` does nothing any more."""
        self._is_handed_over = True

    def seal(self) -> None:
        """Make its bytes last and close it; raises :class:`DiskTrouble`."""
        with trouble("writing an image"):
            try:
                self._disk.sync(self._fd)
            finally:
                self._disk.close_file(self._fd)
