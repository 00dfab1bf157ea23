"""The way to a file below the root: found step by step, and let go of wherever it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import DiskTrouble
from pipeline.store.durable import NEW_FILE, Calls, Disk, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    open_now = Path("/proc/self/fd")
    before = sorted(open_now.iterdir())
    yield
    assert sorted(open_now.iterdir()) == before


def made_in(root: Path, disk: Disk, name: str) -> list[str]:
    disk.make(name.rpartition("/")[0])
    disk.close_file(disk.open(name, NEW_FILE))
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def test_a_file_deep_below_the_root_is_made_and_moved(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert made_in(tmp_path, disk, "a/b/c/file") == ["a/b/c/file"]
    disk.move("a/b/c/file", "d/e/file")
    assert disk.has("d/e/file")
    assert not disk.has("a/b/c/file")
    disk.close()


@pytest.mark.parametrize("name", ["a/b/c/file", "a/missing/c/file", "a/link/file", "a/file/file"])
def test_a_way_that_breaks_off_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b")
    (tmp_path / "a/file").touch()
    disk = Disk(tmp_path)
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        disk.open(name, NEW_FILE)
    disk.close()


@pytest.mark.parametrize("name", ["../file", "a/../file", "a/./file", "/file", "a//file", "a/.."])
def test_no_way_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    disk = Disk(tmp_path / "root")
    with pytest.raises(ValueError, match="not a path inside"):
        disk.open(name, NEW_FILE)
    disk.close()


def test_whatever_stops_it_on_the_way_nothing_stays_open(tmp_path: Path) -> None:
    n_left = 1

    def sync(_: int) -> None:
        nonlocal n_left
        if not n_left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        n_left -= 1

    def no_room(**_: object) -> bool:
        raise DiskTrouble("it is somebody else's room")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk = Disk(tmp_path, calls=Calls(sync=sync))
    with pytest.raises(OSError, match="Input/output error"):
        disk.make("a/b/c")
    disk.close()
    disk = Disk(tmp_path, calls=Calls(mkdir=full))
    disk.when_full = no_room
    with pytest.raises(DiskTrouble, match="somebody"):
        disk.make("a/b/c")
    disk.close()


def test_an_error_of_the_system_is_told_with_what_was_done_and_what_to_do() -> None:
    no_room = r"it: No space.*; free some"
    with pytest.raises(DiskTrouble, match=no_room) as caught, trouble("it"):
        raise OSError(errno.ENOSPC, "raw")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(KeyError), trouble("reading it"):
        raise KeyError
