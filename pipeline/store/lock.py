"""One writer per output folder: a lock that dies with its process and names its holder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from pipeline.errors import Locked

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.store.durable import Disk

LOCK = ".state/lock"
_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who wrote itself into the lock file. ``since`` is UTC, ISO 8601."""

    pid: int
    host: str
    since: str
    run: str

    def __str__(self) -> str:
        """``pid 123 on host, since 2026-11-22 14:03 UTC``."""
        return f"pid {self.pid} on {self.host}, since {self.since[:16].replace('T', ' ')} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The folder is ours. ``left_behind``: the holder before us ended without letting go."""

    fd: int
    left_behind: Holder | None

    def release(self, *, is_clean: bool) -> None:
        """Let go. ``is_clean`` False leaves our name in the file: the next run will look closer."""
        if is_clean:
            with suppress(OSError):  # then the next run looks closer
                os.ftruncate(self.fd, 0)
        os.close(self.fd)


def take(
    disk: Disk, *, run: str, wait_s: float = 0.0, waits: Callable[[str], None] | None = None
) -> Lock:
    """Take the lock, waiting up to ``wait_s`` seconds; raises :class:`Locked` naming the holder.

    ``waits`` is told once for whom and how long, where there is somebody to wait for.
    """
    with ExitStack() as undo:
        fd = disk.open(LOCK, os.O_RDWR | os.O_CREAT)
        undo.callback(os.close, fd)
        _flock(fd, wait_s, disk, waits)
        left_behind = _holder_in(fd)
        me = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            run=run,
        )
        os.ftruncate(fd, 0)
        os.pwrite(fd, orjson.dumps(asdict(me)), 0)
        disk.sync(fd)
        undo.pop_all()
    return Lock(fd=fd, left_behind=left_behind)


def holder_of(disk: Disk) -> tuple[Holder | None, bool]:
    """Who is named in the lock file, and whether that run is going on.

    Looks without getting in the way: the lock itself is tried only where the named process exists,
    so that it is most probably held and the try fails.
    """
    with suppress(FileNotFoundError):
        fd = disk.open(LOCK, os.O_RDONLY)
        try:
            holder = _holder_in(fd)
            return holder, holder is not None and _may_live(holder) and _is_held(fd)
        finally:
            os.close(fd)
    return None, False


def _flock(fd: int, wait_s: float, disk: Disk, waits: Callable[[str], None] | None) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise Locked(_locked(_holder_in(fd), disk)) from None
            if waits:
                waits(
                    f"waiting up to {wait_s:g} s for {_who(_holder_in(fd))}: it is writing to"
                    f" {disk.root}"
                )
                waits = None
            # flock has no timed form, and its blocking form ignores Ctrl-C in a thread: look again.
            time.sleep(min(_LOOK_AGAIN_S, left_s))
        else:
            return


def _locked(holder: Holder | None, disk: Disk) -> str:
    return (
        f"{_who(holder)} is writing to {disk.root}; wait for it with --wait 60, stop it, or leave"
        " it alone and give this one a folder of its own"
    )


def _who(holder: Holder | None) -> str:
    return f"another run ({holder})" if holder else "another run"


def _holder_in(fd: int) -> Holder | None:
    try:
        return Holder(**orjson.loads(os.pread(fd, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _may_live(holder: Holder) -> bool:
    if holder.host != socket.gethostname():
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
