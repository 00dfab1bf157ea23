"""Every system call of a run that changes its folder, written down in its order.

What is written down are nodes, not names: a file keeps its number when it is renamed. Node 0 is
the folder itself.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.store.durable import Calls
from pipeline.store.lock import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from story import Mark

ROOT = 0
Place = tuple[int, str]  # a directory's node and a name in it


@dataclass(frozen=True, slots=True)
class Created:
    """A new file, or a new directory, has a name."""

    place: Place
    node: int
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class Wrote:
    """Bytes were added at a file's end."""

    node: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file was cut to so many bytes."""

    node: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file's bytes, or a directory's names, last."""

    node: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A name became another one."""

    source: Place
    target: Place
    node: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A name is gone."""

    place: Place


@dataclass(frozen=True, slots=True)
class Said:
    """Not a call: what the program had been told, or had told, by then."""

    mark: Mark


Op = Created | Wrote | Cut | Synced | Moved | Removed | Said


class Recorder:
    """Makes the calls and writes them down; ``calls`` go into a folder.

    ``swallows`` is asked, with the path of what is synced, whether to leave that sync out.
    """

    def __init__(self, root: Path, *, swallows: Callable[[str], bool] = lambda _: False) -> None:
        self.ops: list[Op] = []
        self.start: list[tuple[Place, int, bytes | None]] = []  # None: a directory
        self._swallows = swallows
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._numbers = {_identity(root.stat()): ROOT}
        self._n_nodes = 1
        self._lock = threading.RLock()
        self._lock_file = root / LOCK
        self._in_lock = self._lock_file.read_bytes() if self._lock_file.is_file() else b""
        self._take_stock(root, ROOT)
        self.calls = Calls(
            open=self._open,
            write=self._write,
            truncate=self._truncate,
            sync=self._sync,
            sync_content=self._sync,
            mkdir=self._mkdir,
            rename=self._rename,
            unlink=self._unlink,
        )

    def say(self, mark: Mark) -> None:
        """Write down what is known from here on."""
        with self._lock:
            self._note(Said(mark))

    def path_of(self, node: int) -> str:
        """Where a node lies now; empty for the folder itself."""
        for above, names in self._names.items():
            for name, one in names.items():
                if one == node:
                    return f"{self.path_of(above)}/{name}".lstrip("/")
        return ""

    def _open(self, name: str, flags: int, mode: int, *, dir_fd: int) -> int:
        with self._lock:
            place = (self._node(dir_fd), name)
            is_there = name in self._names[place[0]]
            fd = os.open(name, flags, mode, dir_fd=dir_fd)
            if flags & os.O_CREAT and not is_there:
                self._note(Created(place, self._new(place, os.fstat(fd))))
            elif flags & os.O_TRUNC:
                self._note(Cut(self._node(fd), 0))
            return fd

    def _write(self, fd: int, content: bytes | memoryview) -> int:
        with self._lock:
            n_written = os.write(fd, content)
            self._note(Wrote(self._node(fd), bytes(content[:n_written])))
            return n_written

    def _truncate(self, fd: int, n_bytes: int) -> None:
        with self._lock:
            os.ftruncate(fd, n_bytes)
            self._note(Cut(self._node(fd), n_bytes))

    def _sync(self, fd: int) -> None:
        with self._lock:
            node = self._node(fd)
            if not self._swallows(self.path_of(node)):
                self._note(Synced(node))

    def _mkdir(self, name: str, *, dir_fd: int) -> None:
        with self._lock:
            os.mkdir(name, dir_fd=dir_fd)
            place = (self._node(dir_fd), name)
            node = self._new(place, os.stat(name, dir_fd=dir_fd))
            self._names[node] = {}
            self._note(Created(place, node, is_directory=True))

    def _rename(self, name: str, to: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        with self._lock:
            source, target = (self._node(src_dir_fd), name), (self._node(dst_dir_fd), to)
            os.rename(name, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            node = self._names[source[0]][name]
            if self._names[target[0]].get(to) != node:  # else nothing happens: POSIX says so
                del self._names[source[0]][name]
                self._names[target[0]][to] = node
                self._note(Moved(source, target, node))

    def _unlink(self, name: str, *, dir_fd: int) -> None:
        with self._lock:
            os.unlink(name, dir_fd=dir_fd)
            place = (self._node(dir_fd), name)
            del self._names[place[0]][name]
            self._note(Removed(place))

    def _note(self, op: Op) -> None:
        """Write it down; after the lock, whose bytes are written past the calls."""
        if self._lock_file.is_file():
            content = self._lock_file.read_bytes()
            if content != self._in_lock:
                node = self._numbers[_identity(self._lock_file.stat())]
                self.ops += [Cut(node, 0), Wrote(node, content)]
                self._in_lock = content
        self.ops.append(op)

    def _node(self, fd: int) -> int:
        return self._numbers[_identity(os.fstat(fd))]

    def _new(self, place: Place, found: os.stat_result) -> int:
        node = self._n_nodes
        self._n_nodes += 1
        self._numbers[_identity(found)] = node  # the system gives an old number anew
        self._names[place[0]][place[1]] = node
        return node

    def _take_stock(self, directory: Path, node: int) -> None:
        for one in sorted(directory.iterdir()):
            place = (node, one.name)
            known = self._numbers.get(_identity(one.stat()))
            below = self._new(place, one.stat()) if known is None else known
            self._names[node][one.name] = below
            self.start.append((place, below, None if one.is_dir() else one.read_bytes()))
            if one.is_dir():
                self._names[below] = {}
                self._take_stock(one, below)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
