"""The only module that writes what must survive: write, fsync, rename, append, below one root."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pipeline.store.advice import Trouble
from pipeline.store.way import DIRECTORY, Way, enter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_T = TypeVar("_T")

STATE = ".state"
PARTS = ".state/parts"
ORPHANS = ".state/orphans"

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
"""Flags to open a file that must not be there yet."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_SYNC_HERE = {errno.EINVAL, errno.ENOTSUP}  # network filesystems on directories
_FDATASYNC: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has none


class Durability(StrEnum):
    """What a kept image survives: a power cut, or only the end of the process."""

    POWER = "power"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The system calls that decide what survives. A test puts its failures in here."""

    open: Callable[..., int] = os.open
    write: Callable[[int, bytes | memoryview], int] = os.write
    truncate: Callable[[int, int], None] = os.ftruncate
    sync: Callable[[int], None] = os.fsync
    sync_content: Callable[[int], None] = _FDATASYNC
    close: Callable[[int], None] = os.close
    mkdir: Callable[..., None] = os.mkdir
    rename: Callable[..., None] = os.rename
    unlink: Callable[..., None] = os.unlink


def trouble(doing: str) -> Trouble:
    """Turn an OSError into a :class:`DiskTrouble` that says what was done and what to do now."""
    return Trouble(doing)


class Disk:
    """An output folder, opened once; every name in it is found from there, never through a link.

    Names are relative, with ``/`` between their parts. ``root`` itself may be a link: it is the
    user's word. Raises OSError when ``root`` cannot be opened.

    ``when_full`` makes room, says whether it did, and counts ``n_freed``: then what failed for want
    of it is tried once more, in whichever thread. Room is made for pixels first; once it is made
    ``is_for_records``, while ``writing_pixels`` is held, no pixel gets any of it.
    ``has_synced_names`` turns False on a filesystem that cannot make names last, ``is_failing``
    True once a sync failed: from then on nobody knows what is on the disk.
    """

    def __init__(
        self,
        root: Path,
        *,
        durability: Durability = Durability.POWER,
        calls: Calls | None = None,
    ) -> None:
        """Open ``root``, an existing directory."""
        self.root = root
        self.is_synced = durability is Durability.POWER
        self.has_synced_names = True
        self.is_failing = False
        self.n_freed = 0
        self.when_full: Callable[..., bool] = lambda **_: False
        self.is_for_records = False
        self.writing_pixels = threading.Lock()
        self._calls = calls or Calls()
        self._known: set[tuple[str, ...]] = set()
        self._making = threading.Lock()
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder; harmless the second time."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def set_aside(self, name: str) -> str:
        """Move a file to the orphans under a name of its own, which lasts; returns that name."""
        orphan = orphan_of(name)
        self.move(name, orphan)
        return orphan

    def move(self, name: str, to: str) -> None:
        """Rename within the folder and make the new name last."""
        self.rename(name, to)
        self.sync_names_of([to])

    def rename(self, name: str, to: str) -> None:
        """Rename within the folder; lasts once :meth:`sync_names_of` was told the new name."""
        with self._beneath(name) as (source, old), self._beneath(to, make=True) as (target, new):
            rename = partial(self._calls.rename, old, new, src_dir_fd=source, dst_dir_fd=target)
            self._with_room(rename)

    def sync_names_of(self, files: Iterable[str]) -> None:
        """Make the names of files last: one sync for each directory."""
        for directory in dict.fromkeys(file.rpartition("/")[0] for file in files):
            way = f"{directory}/." if directory else "."
            with self._vital(), self._beneath(way) as (fd, _):
                self._sync_directory(fd)

    def write_whole(self, name: str, pieces: Iterable[bytes]) -> None:
        """Replace a file as a whole: a reader sees the old one or the new one, nothing between."""
        temporary = f"{STATE}/{name.rsplit('/', 1)[-1]}.{secrets.token_hex(4)}.tmp"
        with trouble(f"writing {self.root / name}"), ExitStack() as undo:
            fd = self.open(temporary, NEW_FILE)
            undo.callback(self._discard, temporary)  # a full disk needs the room
            try:
                for piece in pieces:
                    self.write_all(fd, piece)
                self.sync(fd)
            finally:
                self.close_file(fd)
            self.rename(temporary, name)
            undo.pop_all()
            self.sync_names_of([name])

    def write_all(self, fd: int, piece: bytes, *, is_pixels: bool = False) -> None:
        """Write all of ``piece``: a short write is continued, one for lack of room tried again."""
        rest = memoryview(piece)
        while rest:
            write = partial(self._calls.write, fd, rest)
            rest = rest[self._with_room(write, is_pixels=is_pixels) :]

    def write_pixels(self, fd: int, piece: bytes) -> None:
        """Write all of a piece of an image, as long as there is room for more than records."""
        with self.writing_pixels:
            if self.is_for_records:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.write_all(fd, piece, is_pixels=True)

    def truncate(self, fd: int, n_bytes: int) -> None:
        """Cut a file; where that fails, nobody knows how it ends."""
        with self._vital():
            self._calls.truncate(fd, n_bytes)

    def sync(self, fd: int) -> None:
        """Make a file's bytes and size last; a failure is never tried again."""
        if self.is_synced:
            self._synced(self._calls.sync, fd)

    def sync_content(self, fd: int) -> None:
        """Make what was appended last; cheaper than :meth:`sync`, as safe for an appended file."""
        if self.is_synced:
            self._synced(self._calls.sync_content, fd)

    def open(self, name: str, flags: int) -> int:
        """Open a file below the root, whose directory must be there.

        A pipe is not waited at. What is written to is a file with no other name elsewhere: behind
        that it may be anybody's.
        """
        with self._beneath(name) as (directory, last):
            flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            way = partial(self._calls.open, last, flags, 0o666, dir_fd=directory)
            fd = self._with_room(way)
        if _is_ours(os.fstat(fd), flags):
            return fd
        os.close(fd)
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    def close_file(self, fd: int) -> None:
        """Close it: for some filesystems the moment to say that a write was not taken."""
        self._calls.close(fd)

    def read(self, name: str) -> bytes | None:
        """A small file's content, None where there is no such file."""
        try:
            fd = self.open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def has(self, name: str) -> bool:
        """Whether something, a dangling link included, has this name."""
        try:
            with self._beneath(name) as (directory, last):
                os.stat(last, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file; harmless when it is gone already."""
        with suppress(FileNotFoundError), self._beneath(name) as (directory, last):
            self._calls.unlink(last, dir_fd=directory)

    def make(self, directory: str) -> None:
        """Create a directory, and those above it, and make their names last."""
        with self._beneath(f"{directory}/.", make=True):
            pass

    def names(self, directory: str = ".") -> list[str]:
        """What lies in a directory, sorted; empty where there is none."""
        return [name for name, _ in self._entries(directory)]

    def files(self, directory: str) -> Iterator[str]:
        """Every file below a directory, by its name from the root; links are files, not ways."""
        for name, is_directory in self._entries(directory):
            path = f"{directory}/{name}"
            if is_directory:
                yield from self.files(path)
            else:
                yield path

    def _entries(self, directory: str) -> list[tuple[str, bool]]:
        try:
            fd = self.open(directory, DIRECTORY)
        except FileNotFoundError:
            return []
        try:
            with os.scandir(fd) as entries:
                return sorted((one.name, one.is_dir(follow_symlinks=False)) for one in entries)
        finally:
            os.close(fd)

    def _beneath(self, name: str, *, make: bool = False) -> Way:
        return Way(self._fd, name, self._make if make else enter)

    def _make(self, at: int, way: tuple[str, ...]) -> int:
        """Enter the last directory of a ``way``, there for good: its name synced once in a run.

        Under a lock: another thread must not publish below a directory whose name is not yet safe.
        """
        if way in self._known:
            return enter(at, way)
        with self._making:
            with suppress(FileExistsError):
                self._with_room(partial(self._calls.mkdir, way[-1], dir_fd=at))
            self._sync_directory(at)
            fd = enter(at, way)
            if len(self._known) > 10_000:
                self._known.clear()
            self._known.add(way)
            return fd

    def _sync_directory(self, fd: int) -> None:
        if self.has_synced_names:
            self.sync(fd)

    def _synced(self, sync: Callable[[int], None], fd: int) -> None:
        with self._vital():
            try:
                sync(fd)
            except OSError as error:
                if error.errno not in _NO_SYNC_HERE or not stat.S_ISDIR(os.fstat(fd).st_mode):
                    raise
                self.has_synced_names = False

    def _with_room(self, do: Callable[[], _T], *, is_pixels: bool = False) -> _T:
        """Do it; where the disk is full and room can be made, or just was, do it once more."""
        while True:
            n_freed = self.n_freed
            try:
                return do()
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                if not (self.when_full(is_pixels=is_pixels) or self.n_freed > n_freed):
                    raise

    def _discard(self, name: str) -> None:
        with suppress(OSError):
            self.remove(name)

    @contextmanager
    def _vital(self) -> Iterator[None]:
        """What fails in here leaves nobody sure of what is on the disk."""
        try:
            yield
        except OSError:
            self.is_failing = True
            raise


def orphan_of(name: str) -> str:
    """A name of its own among the orphans for the file called ``name``."""
    return f"{ORPHANS}/{secrets.token_hex(4)}-{name.rsplit('/', 1)[-1][-60:]}"


def _is_ours(there: os.stat_result, flags: int) -> bool:
    is_written = flags & (os.O_WRONLY | os.O_RDWR)
    return not is_written or (stat.S_ISREG(there.st_mode) and there.st_nlink <= 1)
