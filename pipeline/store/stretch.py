"""A stretch of a manifest, read into a ledger: here, or by a process beside this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from pipeline.store.ledger import Ledger, Told

if TYPE_CHECKING:
    from types import TracebackType

_PIECE_BYTES = 1 << 18
_PACKAGE_ROOT = Path(__file__).parents[2]


class Stretch(NamedTuple):
    """Whole lines: from the byte ``start`` up to the byte ``stop``."""

    start: int
    stop: int


def lines_in(fd: int, stretch: Stretch) -> io.BufferedReader:
    r"""The lines of a stretch, newlines included; ``\n`` alone ends a line."""
    return io.BufferedReader(_Window(fd, stretch), _PIECE_BYTES)


def read(fd: int, stretch: Stretch, ledger: Ledger) -> int:
    """Take in a stretch; returns its end, or where its first line starts that is no record."""
    return ledger.note_all(stretch.start, lines_in(fd, stretch))


class Beside:
    """A stretch that another process reads meanwhile; it ends with the context at the latest.

    Where that does not work out, for whatever reason, the stretch is read here after all.
    """

    def __init__(self, fd: int, stretch: Stretch) -> None:
        """Begin; ``fd`` stays open until :meth:`into` is through."""
        self._fd = fd
        self._stretch = stretch
        self._process = _started(fd, stretch)

    def __enter__(self) -> Self:
        """The stretch, being read already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let it go, read or not."""
        if self._process:
            self._process.kill()
            self._process.__exit__(kind, error, trace)

    def into(self, ledger: Ledger) -> int:
        """Take it in as :func:`read` does; ``ledger`` has all lines before it."""
        answer = self._process.stdout if self._process else None
        content = answer.read() if answer else b""
        try:
            sound, told = _decode(content)
        except msgspec.MsgspecError:
            return read(self._fd, self._stretch, ledger)
        ledger.go_on_with(told)
        return sound


class _Window(io.RawIOBase):
    """A stretch of a file, read without moving the place that all who have it open share."""

    def __init__(self, fd: int, stretch: Stretch) -> None:
        self._fd = fd
        self._at, self._stop = stretch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        piece = os.pread(self._fd, min(len(room), self._stop - self._at), self._at)
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _started(fd: int, stretch: Stretch) -> subprocess.Popen[bytes] | None:
    """The process, which sees the file as its standard input, None where there can be none.

    A session of its own keeps a terminal's Ctrl-C away from it. The working folder is the package's
    so that no file of the user's folder is imported.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our own module, two numbers
            [sys.executable, "-m", __name__, *map(str, stretch)],
            stdin=fd,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_PACKAGE_ROOT,
            start_new_session=True,
        )
    except OSError:
        return None


def _tell(stretch: Stretch) -> None:
    """Read a stretch of standard input and write what its ledger tells to standard output."""
    ledger = Ledger()
    sound = read(0, stretch, ledger)
    with os.fdopen(1, "wb") as answer:
        answer.write(msgspec.msgpack.encode((sound, ledger.told())))


_decode = msgspec.msgpack.Decoder(tuple[int, Told]).decode

if __name__ == "__main__":
    _tell(Stretch(*map(int, sys.argv[1:])))
