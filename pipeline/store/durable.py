"""The only module that writes what must survive: part, fsync, rename, append, below one root."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from pipeline.errors import DiskTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

STATE = ".state"
PARTS = ".state/parts"
ORPHANS = ".state/orphans"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NO_SYNC_HERE = {errno.EINVAL, errno.ENOTSUP}  # network filesystems on directories
_FDATASYNC: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has none
_ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EFBIG: "the file may not grow any further: raise `ulimit -f`, then run again",
    errno.EMFILE: "raise `ulimit -n` or lower limits.concurrency, then run again",
    errno.EIO: "check the disk (its log says more), then run the same command again",
    errno.ELOOP: "a link stands in the way: the folder's own files must be real ones",
    errno.ENOTDIR: "a link or a file stands where the output folder needs a directory of its own",
}


class Durability(StrEnum):
    """What a kept image survives: a power cut, or only the end of the process."""

    POWER = "power"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The system calls that decide what survives. A test puts its failures in here."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    sync: Callable[[int], None] = os.fsync
    sync_content: Callable[[int], None] = _FDATASYNC
    rename: Callable[..., None] = os.rename


@contextmanager
def trouble(doing: str) -> Iterator[None]:
    """Turn an OSError into a :class:`DiskTrouble` that says what was done and what to do now."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(
            error.errno or 0, "what is made stays made; run again once it is mended"
        )
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskTrouble(f"{doing}: {reason}; {advice}") from error


class Disk:
    """An output folder, opened once; every name in it is found from there, never through a link.

    Names are relative, with ``/`` between their parts. ``root`` itself may be a link: it is the
    user's word. Raises OSError when ``root`` cannot be opened.
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
        self._calls = calls or Calls()
        self._is_synced = durability is Durability.POWER
        self._known: set[tuple[str, ...]] = set()
        self._making = threading.Lock()
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder; harmless the second time."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def part(self, name: str) -> FilePart:
        """A new part file; raises :class:`DiskTrouble` when it cannot be created."""
        with trouble(f"creating a part file in {self.root / PARTS}"):
            return FilePart(self, f"{PARTS}/{name}", self.open(f"{PARTS}/{name}", _NEW_FILE))

    def publish(self, part: FilePart, name: str) -> str | None:
        """Give a part its name, so that it survives; returns where an older file went.

        The order is the promise: the part's bytes, then its name, then the directory. A file that
        has the name already is moved to the orphans first: nothing is ever overwritten.
        """
        with trouble(f"publishing {self.root / name}"):
            part.seal()
            orphan = self.set_aside(name) if self.has(name) else None
            self.move(part.name, name)
            return orphan

    def set_aside(self, name: str) -> str:
        """Move a file to the orphans under a name of its own, and return that name."""
        orphan = f"{ORPHANS}/{secrets.token_hex(4)}-{name.rsplit('/', 1)[-1][-60:]}"
        self.move(name, orphan)
        return orphan

    def move(self, name: str, to: str) -> None:
        """Rename within the folder and make the new name last."""
        with self._beneath(name) as (source, old), self._beneath(to, make=True) as (target, new):
            self._calls.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
            self._sync_directory(target)

    def write_whole(self, name: str, pieces: Iterable[bytes]) -> None:
        """Replace a file as a whole: a reader sees the old one or the new one, nothing between."""
        temporary = f"{STATE}/{name.rsplit('/', 1)[-1]}.{secrets.token_hex(4)}.tmp"
        with trouble(f"writing {self.root / name}"):
            fd = self.open(temporary, _NEW_FILE)
            try:
                for piece in pieces:
                    self.write_all(fd, piece)
                self.sync(fd)
            finally:
                os.close(fd)
            self.move(temporary, name)

    def write_all(self, fd: int, piece: bytes) -> None:
        """Write all of ``piece``: a short write is continued."""
        n_written = self._calls.write(fd, piece)
        while n_written < len(piece):
            n_written += self._calls.write(fd, memoryview(piece)[n_written:])

    def sync(self, fd: int) -> None:
        """Make a file's bytes and size last; a failure is never tried again."""
        if self._is_synced:
            self._calls.sync(fd)

    def sync_content(self, fd: int) -> None:
        """Make what was appended last; cheaper than :meth:`sync`, as safe for an appended file."""
        if self._is_synced:
            self._calls.sync_content(fd)

    def sync_names(self) -> None:
        """Make the names that lie directly in the root last."""
        self._sync_directory(self._fd)

    def open(self, name: str, flags: int, *, make: bool = False) -> int:
        """Open a file below the root; ``make``: create its directories where they are missing."""
        with self._beneath(name, make=make) as (directory, last):
            return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=directory)

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
            os.unlink(last, dir_fd=directory)

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
            fd = self.open(directory, _DIRECTORY)
        except FileNotFoundError:
            return []
        try:
            with os.scandir(fd) as entries:
                return sorted((one.name, one.is_dir(follow_symlinks=False)) for one in entries)
        finally:
            os.close(fd)

    @contextmanager
    def _beneath(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        *above, last = name.split("/")
        if last == ".." or any(part in {"", ".", ".."} for part in above):
            raise ValueError(f"not a path inside the output folder: {name}")
        opened: list[int] = []
        at = self._fd
        try:
            for depth, part in enumerate(above, start=1):
                at = self._make(at, tuple(above[:depth])) if make else _enter(at, part)
                opened.append(at)
            yield at, last
        finally:
            for fd in reversed(opened):
                os.close(fd)

    def _make(self, at: int, way: tuple[str, ...]) -> int:
        """Enter a directory that is there for good: its own name synced once in every run.

        Under a lock: another thread must not publish below a directory whose name is not yet safe.
        """
        if way in self._known:
            return _enter(at, way[-1])
        with self._making:
            with suppress(FileExistsError):
                os.mkdir(way[-1], dir_fd=at)
            fd = _enter(at, way[-1])
            self._sync_directory(at)
            if len(self._known) > 10_000:
                self._known.clear()
            self._known.add(way)
            return fd

    def _sync_directory(self, fd: int) -> None:
        try:
            self.sync(fd)
        except OSError as error:
            if error.errno not in _NO_SYNC_HERE:
                raise


class FilePart:
    """A part file: bytes that have no name yet."""

    __slots__ = ("_disk", "_fd", "_is_handed_over", "name")

    def __init__(self, disk: Disk, name: str, fd: int) -> None:
        """``fd`` is open for writing and belongs to the part from now on."""
        self._disk = disk
        self._fd = fd
        self._is_handed_over = False
        self.name = name

    def write(self, piece: bytes) -> None:
        """Append ``piece``; raises :class:`DiskTrouble`."""
        with trouble("writing an image"):
            self._disk.write_all(self._fd, piece)

    def reopened(self) -> BinaryIO:
        """What was written so far, to be read; raises :class:`DiskTrouble`."""
        with trouble("reading an image"):
            return os.fdopen(self._disk.open(self.name, os.O_RDONLY), "rb")

    def discard(self) -> None:
        """Remove it; harmless when it was kept or removed already."""
        if self._is_handed_over:
            return
        self._is_handed_over = True
        os.close(self._fd)
        with trouble("removing a part file"):
            self._disk.remove(self.name)

    def hand_over(self) -> None:
        """From here on the store alone decides about it: ``discard`` does nothing any more."""
        self._is_handed_over = True

    def seal(self) -> None:
        """Make its bytes last and close it; raises OSError."""
        try:
            self._disk.sync(self._fd)
        finally:
            os.close(self._fd)


def _enter(at: int, name: str) -> int:
    return os.open(name, _DIRECTORY, dir_fd=at)
