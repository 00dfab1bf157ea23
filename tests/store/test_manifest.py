"""The manifest: a torn end heals, damage elsewhere stops, a failed line is taken back."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest
from keeping import made, record, task

from pipeline.errors import DiskTrouble
from pipeline.store.durable import STATE, Calls, Disk
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import MANIFEST, Manifest
from pipeline.store.record import line_of

if TYPE_CHECKING:
    from pathlib import Path


def _line(number: int, **more: Any) -> bytes:
    return line_of(record(made(task(number)), **more))[:-1]


_LINES = [_line(1), _line(22, text="U+2028 \u2028 is no newline"), _line(333), _line(4)]


def _heard(ledger: Ledger) -> list[int]:
    return sorted(ledger.offsets_of_made())


def _replayed(root: Path, calls: Calls | None = None) -> list[bytes]:
    ledger = Ledger()
    with closing(Disk(root, calls=calls)) as disk:
        disk.make(STATE)
        with closing(Manifest(disk, ledger)) as manifest:
            return list(manifest.lines(_heard(ledger)))


def _places(size: int) -> list[int]:
    """Some in a line of that many bytes, all at its ends."""
    return sorted({*range(9), *range(9, size, 37), *range(size - 9, size + 1)})


def test_torn_anywhere_in_the_last_three_lines_it_heals(tmp_path: Path) -> None:
    whole = b"".join(line + b"\n" for line in _LINES)
    starts = list(accumulate((len(line) + 1 for line in _LINES), initial=0))
    places = [
        at + place for at, one in zip(starts, _LINES, strict=False) for place in _places(len(one))
    ]
    for size in (*places[len(_places(len(_LINES[0]))) :], len(whole)):
        root = tmp_path / str(size)
        root.mkdir()
        (root / MANIFEST).write_bytes(whole[:size])
        ends = [line for line in whole[:size].split(b"\n") if line in _LINES]
        assert _replayed(root) == ends, size
        assert (root / MANIFEST).read_bytes() == b"".join(line + b"\n" for line in ends)
        torn = whole[len(b"".join(line + b"\n" for line in ends)) : size]
        broken = [one.read_bytes() for one in (root / STATE).glob("*.broken")]
        assert broken == ([torn] if torn else [])
        assert _replayed(root) == ends, "healing twice changes nothing"


def test_each_torn_end_is_kept_under_its_own_number(tmp_path: Path) -> None:
    for _ in range(3):
        with (tmp_path / MANIFEST).open("ab") as file:
            file.write(b'{"torn')
        _replayed(tmp_path)
    names = sorted(one.name for one in (tmp_path / STATE).iterdir())
    assert names == [f"{MANIFEST}.{n}.broken" for n in (1, 2, 3)]


@pytest.mark.parametrize("damage", [b"", b"\x00\x00\x00", b'{"n":', b"garbage"])
def test_damage_in_the_middle_stops_and_names_the_line_and_the_repair(
    tmp_path: Path, damage: bytes
) -> None:
    content = b"\n".join([_LINES[0], damage, _LINES[2], b""])
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DiskTrouble, match=r"damaged at line 2.*imagebatch verify --repair"):
        _replayed(tmp_path)
    assert (tmp_path / MANIFEST).read_bytes() == content


def test_a_hole_of_zeros_at_the_end_is_a_torn_end(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(_LINES[0] + b"\n" + b"\x00" * 4096)
    assert _replayed(tmp_path) == _LINES[:1]


def test_lines_longer_than_what_is_read_at_once_are_whole(tmp_path: Path) -> None:
    long = [_line(n, text="x" * n) for n in (5, 1 << 20, 3_000_000, 1 << 18, 7)]
    (tmp_path / MANIFEST).write_bytes(b"".join(line + b"\n" for line in long))
    assert _replayed(tmp_path) == long


class _Failing:
    """A write or sync that fails, or is cut short, from the n-th call on, until told to stop."""

    def __init__(self, number: int, code: int, *, n_bytes: int = 0) -> None:
        self.left = number
        self.code = code
        self.n_bytes = n_bytes
        self.is_on = False

    def write(self, fd: int, piece: bytes | memoryview) -> int:
        if self.is_on:
            if self.n_bytes:
                n_bytes, self.n_bytes = self.n_bytes, 0
                return os.write(fd, piece[:n_bytes])
            raise OSError(self.code, "injected")
        return os.write(fd, piece)

    def sync(self, fd: int) -> None:
        if self.is_on:
            raise OSError(self.code, "injected")
        os.fsync(fd)


@pytest.mark.parametrize("n_bytes", _places(len(_LINES[2])))
def test_a_line_that_finds_no_room_is_taken_back_and_the_next_may_follow(
    tmp_path: Path, n_bytes: int
) -> None:
    ledger = Ledger()
    failing = _Failing(0, errno.ENOSPC, n_bytes=n_bytes)
    with (
        closing(Disk(tmp_path, calls=Calls(write=failing.write))) as disk,
        closing(Manifest(disk, ledger)) as manifest,
    ):
        manifest.append([_LINES[0] + b"\n"])
        failing.is_on = True
        with pytest.raises(DiskTrouble, match=r"No space left.*free some space"):
            manifest.append([_LINES[2] + b"\n"])
        failing.is_on = False
        manifest.append([_LINES[3] + b"\n"])
    assert (tmp_path / MANIFEST).read_bytes() == _LINES[0] + b"\n" + _LINES[3] + b"\n"
    assert _heard(ledger) == [0, len(_LINES[0]) + 1]


def test_after_a_failed_sync_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    ledger = Ledger()
    failing = _Failing(0, errno.EIO)
    with (
        closing(Disk(tmp_path, calls=Calls(sync_content=failing.sync))) as disk,
        closing(Manifest(disk, ledger)) as manifest,
    ):
        failing.is_on = True
        with pytest.raises(DiskTrouble, match="Input/output error"):
            manifest.append([_LINES[0] + b"\n"])
        failing.is_on = False
        with pytest.raises(DiskTrouble, match="the disk failed to take something earlier"):
            manifest.append([_LINES[1] + b"\n"])
    assert _heard(ledger) == []


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    def three_bytes(fd: int, piece: bytes | memoryview) -> int:
        return os.write(fd, piece[:3])

    with (
        closing(Disk(tmp_path, calls=Calls(write=three_bytes))) as disk,
        closing(Manifest(disk, Ledger())) as manifest,
    ):
        manifest.append([_LINES[1] + b"\n"])
    assert (tmp_path / MANIFEST).read_bytes() == _LINES[1] + b"\n"


def test_a_manifest_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / MANIFEST).symlink_to("elsewhere")
    with pytest.raises(DiskTrouble, match="a link stands in the way"):
        _replayed(tmp_path)
