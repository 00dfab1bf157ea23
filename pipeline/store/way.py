"""The way to the directory in which a name lies, step by step from the root, never by a link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to open a directory, and nothing that points at one."""


class Way:
    """A context that gives the directory, open as long as it lasts, and the last part of the name.

    Written out, and not as a generator: every image goes some five of them. Raises OSError where it
    breaks off, ValueError for a name that would lead out of the root.
    """

    __slots__ = ("_enter", "_name", "_opened", "_root")

    def __init__(self, root: int, name: str, enter: Callable[[int, tuple[str, ...]], int]) -> None:
        """``root``: an open directory; ``enter`` opens the last of the parts it is given."""
        self._root = root
        self._name = name
        self._enter = enter

    def __enter__(self) -> tuple[int, str]:
        """Go there."""
        *above, last = self._name.split("/")
        if last == ".." or any(part in {"", ".", ".."} for part in above):
            raise ValueError(f"not a path inside the output folder: {self._name}")
        self._opened: list[int] = []
        at, is_there = self._root, False
        try:
            for depth in range(1, len(above) + 1):
                at = self._enter(at, tuple(above[:depth]))
                self._opened.append(at)
            is_there = True
        finally:
            if not is_there:
                self._close()
        return at, last

    def __exit__(self, *_: object) -> None:
        """Let go of every directory on the way."""
        self._close()

    def _close(self) -> None:
        for fd in reversed(self._opened):
            os.close(fd)


def enter(at: int, way: tuple[str, ...]) -> int:
    """Open the last directory of a way, which lies in ``at``."""
    return os.open(way[-1], DIRECTORY, dir_fd=at)
