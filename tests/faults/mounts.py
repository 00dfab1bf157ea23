"""A folder with a filesystem of its own that no other process sees: small, full or read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSHARE = ("unshare", "--map-root-user", "--mount")
_SMALL = 'mount -t tmpfs -o "$2" tmpfs "$1"'
_READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
_HOLD = " && echo mounted && exec cat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount as a process that holds it sees it. ``pid`` is that process."""

    folder: Path
    pid: int

    @property
    def seen(self) -> Path:
        """The folder, as we can look into it from outside."""
        return Path(f"/proc/{self.pid}/root{self.folder}")

    def within(self, here: Path, *words: str) -> list[str]:
        """The command ``words`` run from the folder ``here``, where the mount can be seen."""
        enter = ("nsenter", f"--target={self.pid}", "--user", "--mount", "--preserve-credentials")
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(here), *words]

    def resize(self, size: str) -> None:
        """Give a small one another size."""
        words = ("mount", "-o", f"remount,size={size}", str(self.folder))
        subprocess.run(self.within(Path("/"), *words), check=True, timeout=10)

    def fill(self) -> Path:
        """Leave no room at all; returns the file that takes it."""
        filler = self.seen / "filler"
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={filler}", "bs=4k", "status=none"],
            check=False,  # it ends with the room
            stderr=subprocess.DEVNULL,
            timeout=10,
        )
        return filler


@contextmanager
def small(folder: Path, options: str) -> Iterator[Mount]:
    """An empty filesystem at ``folder``; ``options`` such as ``size=20m`` bound it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder, _SMALL, options) as mount:
        yield mount


@contextmanager
def read_only(folder: Path) -> Iterator[Mount]:
    """What lies in ``folder``, unwritable even for root."""
    with _held(folder, _READ_ONLY) as mount:
        yield mount


@contextmanager
def _held(folder: Path, how: str, *more: str) -> Iterator[Mount]:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("NOT TESTED: a filesystem of one's own needs unshare and nsenter (util-linux)")
    with subprocess.Popen(
        [*_UNSHARE, "sh", "-c", how + _HOLD, "sh", str(folder), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LC_ALL": "C"},
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"NOT TESTED: mounts are not allowed here: {holder.stderr.read().strip()}")
        try:
            yield Mount(folder=folder, pid=holder.pid)
        finally:
            holder.stdin.close()
