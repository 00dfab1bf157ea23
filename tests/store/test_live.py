"""What a run says of its lanes while it goes on: read whole or not at all, gone with the run."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from math import inf
from typing import TYPE_CHECKING

import pytest
from keeping import task, terms

from pipeline.core.ports import HeldBy, Hold, LaneState
from pipeline.store.durable import Calls, Disk
from pipeline.store.folder import Folder
from pipeline.store.live import LIVE, Live, read_live, write_live
from pipeline.store.status import read_status
from pipeline.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LANES = (
    LaneState(
        lane="knox",
        in_flight=3,
        hold=Hold(by=HeldBy.PACE, per_minute=588.5, window=64, is_measured=True),
    ),
    LaneState(lane="local", in_flight=0, hold=Hold(by=HeldBy.SICK, until_s=4.5)),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / ".state").mkdir()
    with closing(Disk(tmp_path)) as disk:
        yield disk


def test_what_is_said_is_read(disk: Disk) -> None:
    said = Live(run="r1", lanes=LANES)
    write_live(disk, said)
    assert read_live(disk, "r1") == said
    assert [one.name for one in (disk.root / ".state").iterdir()] == ["live.json"]


def test_another_run_has_said_nothing(disk: Disk) -> None:
    assert read_live(disk, "r1") is None
    write_live(disk, Live(run="r0", lanes=LANES))
    assert read_live(disk, "r1") is None


def test_a_wait_without_an_end_is_of_unknown_length(disk: Disk) -> None:
    hold = Hold(by=HeldBy.GATE, until_s=inf)
    write_live(disk, Live(run="r1", lanes=(LaneState(lane="a", in_flight=0, hold=hold),)))
    live = read_live(disk, "r1")
    assert live
    assert live.lanes[0].hold == Hold(by=HeldBy.GATE)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"run":"r1"}',
        b'{"run":"r1","lanes":[{}]}',
        (
            b'{"run":"r1","lanes":[{"lane":"a","in_flight":1,"hold":{"by":"the moon",'
            b'"until_s":null,"per_minute":null,"window":null,"is_measured":false}}]}'
        ),
    ],
)
def test_what_makes_no_sense_is_nothing(disk: Disk, said: bytes) -> None:
    (disk.root / LIVE).write_bytes(said)
    assert read_live(disk, "r1") is None


@pytest.mark.parametrize("spoil", [lambda live: live.mkdir(), lambda live: live.parent.rmdir()])
def test_where_it_cannot_be_written_nobody_is_told(
    disk: Disk, spoil: Callable[[Path], None]
) -> None:
    spoil(disk.root / LIVE)
    write_live(disk, Live(run="r1", lanes=LANES))
    assert read_live(disk, "r1") is None


@pytest.mark.parametrize("name", ["live.json", "live.json.next"])
@pytest.mark.parametrize("plant", [os.link, os.symlink, lambda _, name: os.mkfifo(name)])
def test_what_was_planted_under_its_names_makes_way_untouched(
    disk: Disk, name: str, plant: Callable[[Path, Path], None]
) -> None:
    victim = disk.root / "victim"
    victim.write_text("precious")
    plant(victim, disk.root / ".state" / name)
    assert read_live(disk, "r1") is None
    write_live(disk, Live(run="r1", lanes=LANES))
    assert read_live(disk, "r1") == Live(run="r1", lanes=LANES)
    assert victim.read_text() == "precious"


def test_a_reader_sees_one_whole_file_or_the_other(disk: Disk) -> None:
    both = [Live(run="r1", lanes=LANES), Live(run="r1", lanes=LANES[:1] * 200)]
    write_live(disk, both[0])
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            for said in both:
                write_live(disk, said)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(read_live(disk, "r1") in both for _ in range(300))
    finally:
        is_over.set()
        writer.join()


def test_status_tells_of_the_lanes_and_of_each_request_while_the_run_goes_on(
    tmp_path: Path,
) -> None:
    with Folder(tmp_path, terms()) as folder:
        asked = task(7, prompt="a fox " * 100, model="painter")
        folder.begin(asked, 1, at="2026-11-22T14:00:00.123Z")
        folder.tell(LANES)
        folder._telling.result()
        standing = read_status(tmp_path)
        assert tuple(standing.lanes) == LANES
        (one,) = standing.flying
        assert (one.id, one.model, one.prompt) == (asked.id, "painter", ("a fox " * 100)[:60])
        assert standing.in_flight == 1
    after = read_status(tmp_path)
    assert (tuple(after.lanes), tuple(after.flying), after.in_flight) == ((), (), None)
    assert not (tmp_path / LIVE).exists()


def test_what_a_killed_run_said_is_not_shown_and_is_nothing_wrong(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        folder.tell(LANES)
        folder._telling.result()
        said = (tmp_path / LIVE).read_bytes()
    for name in ("live.json", "live.json.next"):
        (tmp_path / ".state" / name).write_bytes(said)
    assert read_status(tmp_path).lanes == ()
    assert verify(tmp_path, job_check=lambda _: None).is_sound
    with Folder(tmp_path, terms(run="another")):
        assert read_status(tmp_path).lanes == ()
    assert not list((tmp_path / ".state").glob("live*"))


def test_telling_takes_no_sync_and_no_part_in_what_decides_what_survives(tmp_path: Path) -> None:
    called: list[str] = []

    def fails(*_: object, **__: object) -> None:
        called.append("called")
        raise OSError

    calls = Calls(sync=fails, rename=fails, unlink=fails, truncate=fails)
    (tmp_path / ".state").mkdir()
    with closing(Disk(tmp_path, calls=calls)) as disk:
        write_live(disk, Live(run="r1", lanes=LANES))
        assert read_live(disk, "r1")
    assert called == []
