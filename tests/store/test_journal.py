"""The write-ahead record, and what the next run makes of it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeping import (
    failed,
    files_in,
    image,
    keep_made,
    made,
    part,
    path_for,
    rows_in,
    task,
    terms,
)

from pipeline.core.model import Why
from pipeline.errors import BadOutput, DiskTrouble
from pipeline.store import journal as journals
from pipeline.store.attempts import Attempt, Attempts, Result, back_line, heard_line, send_line
from pipeline.store.ballast import BALLAST, FOR_RECORDS, LEAST_BYTES, Ballast
from pipeline.store.durable import Calls, Disk
from pipeline.store.folder import Folder
from pipeline.store.journal import JOURNAL, Journal
from pipeline.store.log import Log
from pipeline.store.part import FilePart
from pipeline.store.status import read_status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pipeline.core.model import Task

AT = "2026-11-22T14:00:00.123Z"


def attempt(number: int = 1, **changes: Any) -> Attempt:
    said: dict[str, Any] = {"id": "a", "attempt": number, "run": "r1", "at": AT}
    return Attempt(**(said | changes))


def folded(*lines: bytes) -> Attempts:
    attempts = Attempts()
    for line in lines:
        attempts.note(line.rstrip(b"\n"))
    return attempts


def copied(folder: Path, to: Path) -> Path:
    """The folder as a kill at this moment leaves it."""
    shutil.copytree(folder, to)
    return to


def test_an_attempt_nobody_heard_of_again_may_have_been_billed() -> None:
    heard = attempt(request_id="gen-1", model="m", prompt="a fox")
    (one,) = folded(send_line(heard), heard_line(heard)).maybe_billed()
    assert one.told() == {
        "id": "a",
        "attempt": 1,
        "run": "r1",
        "at": AT,
        "model": "m",
        "prompt": "a fox",
        "request_id": "gen-1",
    }


def test_what_came_back_counts_as_it_was_told() -> None:
    lost = attempt(1, is_back=True, is_maybe_billed=True)
    paid = attempt(2, is_back=True, is_maybe_billed=False, cost_usd=0.25)
    free = attempt(3, is_back=True, is_maybe_billed=False)
    lines = [line(one) for one in (lost, paid, free) for line in (send_line, back_line)]
    attempts = folded(*lines)
    assert [one.attempt for one in attempts] == [1, 2]
    assert [one.attempt for one in attempts.maybe_billed()] == [1]
    assert attempts.cost_usd == 0.25
    attempts.settle("a", "r2")
    assert [one.attempt for one in attempts] == [1, 2]
    attempts.settle("a", "r1")
    assert not list(attempts)


def test_what_is_on_its_way_in_a_run_that_goes_on_is_no_loss() -> None:
    lost = attempt(1, is_back=True)
    attempts = folded(send_line(lost), back_line(lost), send_line(attempt(2)))
    assert [one.attempt for one in attempts.maybe_billed(but="r1")] == [1]
    assert [one.attempt for one in attempts.in_flight("r1")] == [2]
    assert [one.attempt for one in attempts.maybe_billed(but="another")] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"\x00\x00",
        b'{"send":"a"}',
        b'{"back":"never sent","attempt":1}',
        b'{"heard":"a","attempt":1,"request_id":"x"}',
        b'{"result":{"id":"a"},"parts":[]}',
    ],
)
def test_what_is_no_line_of_a_journal_is_told_apart(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kinds differ
        Attempts().note(line)


_ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.integers(1, 3),
        id=st.sampled_from("abc"),
        run=st.sampled_from(["r1", "r2"]),
        request_id=st.none() | st.text(max_size=4),
        is_back=st.booleans(),
        is_maybe_billed=st.booleans(),
        cost_usd=st.none() | st.floats(0, 1),
    ),
    max_size=8,
)


def _lines(attempts: list[Attempt]) -> Iterator[bytes]:
    for one in attempts:
        yield send_line(one)
        if one.request_id is not None:
            yield heard_line(one)
        if one.is_back:
            yield back_line(one)


@given(_ATTEMPTS)
def test_the_shortest_journal_says_the_same(attempts: list[Attempt]) -> None:
    whole = folded(*_lines(attempts))
    short = folded(*whole.lines())
    assert [one.told() for one in short] == [one.told() for one in whole]
    assert [one.told() for one in short.maybe_billed()] == [
        one.told() for one in whole.maybe_billed()
    ]
    assert short.cost_usd == pytest.approx(whole.cost_usd)
    assert list(short.lines()) == list(whole.lines())


async def test_after_a_clean_end_the_journal_tells_only_what_no_line_tells(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        await keep_made(folder, 1)
        folder.begin(task(2), 1, at=AT).heard("gen-2")
        lost = folder.begin(task(3), 1, at=AT)
        lost.back(cost_usd=None, is_maybe_billed=True)
        refused = folder.begin(task(4), 1, at=AT)
        refused.back(cost_usd=None, is_maybe_billed=False)
        settled = folder.begin(task(5), 1, at=AT)
        settled.back(cost_usd=0.1, is_maybe_billed=True)
        await folder.keep(failed(task(5), Why.LOST, n_maybe_billed=1))
    names = [next(iter(line)) for line in rows_in(tmp_path / JOURNAL)]
    assert names == ["send", "heard", "send", "back"]
    standing = read_status(tmp_path)
    assert [one.id for one in standing.unanswered] == [task(2).id, task(3).id]
    assert standing.maybe_billed == 3
    with Folder(tmp_path, terms(run="r2")) as folder:
        assert folder.remarks == []
        assert folder.n_maybe_billed == 3
        await keep_made(folder, 2)
    assert read_status(tmp_path).maybe_billed == 3


async def test_a_killed_runs_finished_images_are_taken_over_and_the_rest_is_listed(
    tmp_path: Path,
) -> None:
    with Folder(tmp_path / "out", terms()) as folder:
        await keep_made(folder, 0)
        folder.begin(task(9), 1, at=AT).heard("gen-9")
        (cut,) = await _kept_with_cuts(folder, "manifest.append", keep_made(folder, 1))
    assert (cut / "images/000/000001.png").exists()
    assert [one.id for one in read_status(cut).unanswered] == [task(9).id]
    with Folder(cut, terms(run="r2")) as folder:
        (remark,) = folder.remarks
        assert remark == (
            "the run before was cut off: 1 finished but unrecorded, now taken over; 1 request in"
            " all may have been billed for nothing (`imagebatch status` lists it)"
        )
        assert not folder.ledger.owes(task(1).id)
    assert [(line["id"], line["run"]) for line in rows_in(cut / "manifest.jsonl")] == [
        (task(0).id, "r1"),
        (task(1).id, "r1"),
    ]
    (listed,) = read_status(cut).unanswered
    assert (listed.id, listed.request_id) == (task(9).id, "gen-9")


async def _kept_with_cuts(folder: Folder, before: str, keeping: Awaitable[object]) -> list[Path]:
    """Do it; a copy of the folder as it was before each call of a method."""
    cuts: list[Path] = []
    of, name = before.split(".")
    changed = getattr(folder, f"_{of}")
    does = getattr(changed, name)

    def cut(*words: Any) -> None:
        cuts.append(copied(folder.root, folder.root.with_name(f"cut-{len(cuts)}")))
        does(*words)

    setattr(changed, name, cut)
    try:
        await keeping
    finally:
        setattr(changed, name, does)
    return cuts


async def test_an_image_that_never_got_its_name_gets_it_from_the_next_run(tmp_path: Path) -> None:
    with Folder(tmp_path / "out", terms()) as folder:
        await keep_made(folder, 0, b"old")
        folder.note_plan(wanted=1, unwanted=[task(0).id])
        edited = folder.keep(made(task(0, id="edited"), image(part(folder), b"new")))
        cuts = await _kept_with_cuts(folder, "disk.rename", edited)
    assert len(cuts) == 2
    for number, cut in enumerate(cuts):
        with Folder(cut, terms(run="r2")):
            pass
        line = rows_in(cut / "manifest.jsonl")[-1]
        assert (cut / "images/000/000000.png").read_bytes() == b"new", number
        assert (cut / line["orphaned"][0]["moved_to"]).read_bytes() == b"old"
        assert len(files_in(cut / ".state/orphans")) == 1
        assert not list((cut / ".state/parts").iterdir())


async def test_a_result_whose_image_is_gone_is_owed_and_listed(tmp_path: Path) -> None:
    with Folder(tmp_path / "out", terms()) as folder:
        await keep_made(folder, 0)
        (cut,) = await _kept_with_cuts(folder, "manifest.append", keep_made(folder, 1))
    (cut / "images/000/000001.png").write_bytes(b"other")
    with Folder(cut, terms(run="r2")) as folder:
        assert folder.ledger.owes(task(1).id)
        assert folder.n_maybe_billed == 1


def test_the_journal_is_written_anew_as_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_LONGEST_BYTES", 2_000)
    (tmp_path / ".state").mkdir()
    with closing(Disk(tmp_path)) as disk:
        journal = Journal(disk, Attempts())
        for number in range(500):
            journal.send(attempt(1, id=f"task-{number}"))
            if number % 50:
                journal.settle([(f"task-{number}", "r1")])
            assert (tmp_path / JOURNAL).stat().st_size < 4_000
        assert len(list(journal.attempts)) == 10
        journal.close()
        attempts, torn = journals.read(disk)
    assert (len(attempts.by_task), torn) == (10, b"")


@pytest.mark.parametrize("torn", [b'{"send":"b","att', b"\x00" * 300, b'{"n":1}\n'])
def test_a_torn_end_of_the_journal_is_kept_aside(tmp_path: Path, torn: bytes) -> None:
    with Folder(tmp_path, terms()) as folder:
        folder.begin(task(1), 1, at=AT)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(torn)
    with Folder(tmp_path, terms(run="r2")) as folder:
        assert folder.n_maybe_billed == 1
    assert (tmp_path / ".state/journal.jsonl.1.broken").read_bytes() == torn.rstrip(b"\n")
    assert len(rows_in(tmp_path / JOURNAL)) == 1


def test_a_journal_damaged_in_its_middle_stops_the_run_and_names_the_repair(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        folder.begin(task(1), 1, at=AT)
    damaged = b"garbage\n" + (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(damaged)
    with pytest.raises(DiskTrouble, match=r"journal.*damaged at line 1,.*verify --repair"):
        Folder(tmp_path, terms(run="r2"))
    assert (tmp_path / JOURNAL).read_bytes() == damaged


async def test_outcomes_that_come_while_a_sync_runs_share_the_next_one(tmp_path: Path) -> None:
    synced: list[str] = []

    def sync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        os.fdatasync(fd)

    with Folder(tmp_path, terms(), calls=Calls(sync_content=sync)) as folder:
        await asyncio.gather(*(keep_made(folder, number) for number in range(64)))
    assert len(rows_in(tmp_path / "manifest.jsonl")) == 64
    assert synced.count("manifest.jsonl") < 64


def test_the_ballast_goes_when_the_disk_is_full_and_what_failed_is_done_again(
    tmp_path: Path,
) -> None:
    (tmp_path / ".state").mkdir()
    told: list[str] = []

    def write(fd: int, piece: bytes | memoryview) -> int:
        if (tmp_path / BALLAST).exists():
            raise OSError(errno.ENOSPC, "injected")
        return os.write(fd, piece)

    with closing(Disk(tmp_path, calls=Calls(write=write))) as disk:
        ballast = Ballast(disk, wanted_bytes=3 << 20, freed=lambda: told.append("full"))
        files = tmp_path / BALLAST, tmp_path / FOR_RECORDS
        assert sum(file.stat().st_size for file in files) == 3 << 20
        disk.write_whole("kept", [b"what was in flight"])
        assert (tmp_path / "kept").read_bytes() == b"what was in flight"
        assert told == ["full"]
        ballast.close()
    assert files_in(tmp_path) == {"kept"}


def test_the_last_of_the_room_is_for_records_and_no_pixel_gets_any_of_it(tmp_path: Path) -> None:
    (tmp_path / ".state/parts").mkdir(parents=True)
    told: list[str] = []

    def write(fd: int, piece: bytes | memoryview) -> int:
        if (tmp_path / FOR_RECORDS).exists() and bytes(piece) != b"first piece":
            raise OSError(errno.ENOSPC, "injected")
        return os.write(fd, piece)

    with closing(Disk(tmp_path, calls=Calls(write=write))) as disk:
        Ballast(disk, wanted_bytes=3 << 20, freed=lambda: told.append("full"))
        part, log = FilePart(disk, "part"), Log(disk, "log")
        part.write(b"first piece")
        with pytest.raises(DiskTrouble):
            part.write(b"second piece")
        assert {BALLAST, FOR_RECORDS} & files_in(tmp_path) == {FOR_RECORDS}
        log.append([b"line\n"])
        with pytest.raises(DiskTrouble):
            part.write(b"first piece")
        assert told == ["full"]
        part.discard()
        log.close()
    assert files_in(tmp_path) == {"log"}
    assert (tmp_path / "log").read_bytes() == b"line\n"


def test_where_next_to_nothing_is_free_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = os.statvfs(tmp_path)
    figures = [*free]
    figures[4] = (LEAST_BYTES - 1) // free.f_frsize  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(figures))
    with Folder(tmp_path, terms()) as folder, pytest.raises(DiskTrouble, match="kB are free"):
        folder.brace(n_workers=64, when_full=lambda: None)
    assert json.loads((tmp_path / ".state/folder.json").read_bytes())["job"] == "sunsets"


def test_results_name_what_makes_way_and_what_gets_a_name() -> None:
    record = {
        "id": "a",
        "run": "r1",
        "images": [{"file": "x.png"}],
        "orphaned": [{"file": "x.png", "moved_to": "o/x.png", "id": None}],
    }
    result = Result(record=record, parts=("p",))
    assert (result.asides, result.names) == ([("x.png", "o/x.png")], [("p", "x.png")])


async def test_an_image_that_no_name_is_found_for_costs_nobody_else_theirs(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Folder(tmp_path / "out", terms()) as folder:
        (folder.root / "images").mkdir()
        (folder.root / "images/000").symlink_to(elsewhere)
        await asyncio.gather(keep_made(folder, 1), keep_made(folder, 1000))
    assert not list(elsewhere.iterdir())
    files = {
        line["index"]: line["images"][0]["file"]
        for line in rows_in(tmp_path / "out/manifest.jsonl")
    }
    assert files == {1: f"images/{task(1).id}.png", 1000: "images/001/001000.png"}
    for file in files.values():
        assert (tmp_path / "out" / file).read_bytes() == b"bytes"


async def test_where_no_name_can_be_looked_for_the_image_goes_to_the_orphans(
    tmp_path: Path,
) -> None:
    def broken(of: Task, number: int, extension: str) -> str:
        if of.index == 1:
            raise OSError(errno.EIO, "injected")
        return path_for(of, number, extension)

    with Folder(tmp_path, terms(path_for=broken)) as folder:
        told = await asyncio.gather(
            keep_made(folder, 1, b"one"), keep_made(folder, 2), return_exceptions=True
        )
        assert isinstance(told[0], DiskTrouble)
        assert told[1] is None
    (orphan,) = (tmp_path / ".state/orphans").iterdir()
    assert orphan.read_bytes() == b"one"
    assert [line["index"] for line in rows_in(tmp_path / "manifest.jsonl")] == [2]


async def test_images_whose_results_find_no_room_go_to_the_orphans_and_stay(tmp_path: Path) -> None:
    def write(fd: int, piece: bytes | memoryview) -> int:
        if b'{"result":' in bytes(piece):
            raise OSError(errno.ENOSPC, "injected")
        return os.write(fd, piece)

    with Folder(tmp_path, terms(), calls=Calls(write=write)) as folder:
        with pytest.raises(DiskTrouble, match="No space left"):
            await keep_made(folder, 1, b"paid")
        assert not list((tmp_path / ".state/parts").iterdir())
    with Folder(tmp_path, terms(run="r2")) as folder:
        assert folder.ledger.owes(task(1).id)
        assert folder.n_maybe_billed == 1
    (orphan,) = (tmp_path / ".state/orphans").iterdir()
    assert orphan.read_bytes() == b"paid"


def test_what_is_added_while_the_journal_is_written_anew_is_in_the_new_one(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()
    waiting: list[Callable[[], None]] = []

    def sync(fd: int) -> None:
        while waiting:
            waiting.pop(0)()
        os.fdatasync(fd)

    with closing(Disk(tmp_path, calls=Calls(sync_content=sync))) as disk:
        journal = Journal(disk, Attempts())
        early, late = attempt(1, id="early"), attempt(1, id="late")
        journal.send(early)
        waiting += [
            lambda: journal.back(early, cost_usd=None, is_maybe_billed=False),
            lambda: journal.send(late),
            lambda: journal.heard(late, "gen-late"),
        ]
        journal._renew()
        attempts, torn = journals.read(disk)
        journal.close()
    assert torn == b""
    assert [one.told()["request_id"] for one in attempts] == ["gen-late"]


def test_where_the_new_journals_name_may_not_last_nothing_is_promised_any_more(
    tmp_path: Path,
) -> None:
    (tmp_path / ".state").mkdir()
    is_failing = False

    def sync(fd: int) -> None:
        if is_failing:
            raise OSError(errno.EIO, "injected")
        os.fsync(fd)

    with closing(Disk(tmp_path, calls=Calls(sync=sync))) as disk:
        journal = Journal(disk, Attempts())
        is_failing = True
        with pytest.raises(DiskTrouble):
            journal._renew()
        assert os.fstat(journal._log.fd).st_nlink == 1
        with pytest.raises(DiskTrouble, match="failed to take something earlier"):
            journal.send(attempt())
        journal.close()


async def test_a_start_that_is_refused_does_not_forget_that_the_run_before_was_killed(
    tmp_path: Path,
) -> None:
    with Folder(tmp_path / "out", terms()) as folder:
        await keep_made(folder, 1)
        cut = copied(folder.root, tmp_path / "cut")
    with pytest.raises(BadOutput, match="belongs to the job"):
        Folder(cut, terms(job="another"))
    assert read_status(cut).is_stale
    with Folder(cut, terms(run="r3")) as folder:
        assert "the run before was cut off" in folder.remarks[0]
        folder.write_metadata()
    assert len(rows_in(cut / "metadata.jsonl")) == 1
    assert not read_status(cut).is_stale


def test_a_sync_that_failed_meanwhile_is_not_forgotten_by_a_cut(tmp_path: Path) -> None:
    def cut(fd: int, n_bytes: int) -> None:
        disk.is_failing = True  # in another thread
        os.ftruncate(fd, n_bytes)

    with closing(Disk(tmp_path, calls=Calls(truncate=cut))) as disk:
        fd = disk.open("file", os.O_RDWR | os.O_CREAT)
        disk.truncate(fd, 0)
        os.close(fd)
        assert disk.is_failing


def test_everyone_who_met_the_full_disk_profits_from_the_room_that_was_made(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()
    both = threading.Barrier(2)

    def write(fd: int, piece: bytes | memoryview) -> int:
        if not disk.n_freed:
            both.wait(timeout=10)
            raise OSError(errno.ENOSPC, "injected")
        return os.write(fd, piece)

    with closing(Disk(tmp_path, calls=Calls(write=write))) as disk:
        Ballast(disk, wanted_bytes=3 << 20, freed=lambda: None)
        with ThreadPoolExecutor(2) as threads:
            names = ["one", "two"]
            for written in [threads.submit(disk.write_whole, name, [b"x"]) for name in names]:
                written.result()
    assert {(tmp_path / name).read_bytes() for name in names} == {b"x"}


def test_what_could_not_be_written_whole_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()

    def write(fd: int, piece: bytes | memoryview) -> int:
        raise OSError(errno.ENOSPC, "injected")

    with closing(Disk(tmp_path, calls=Calls(write=write))) as disk, pytest.raises(DiskTrouble):
        disk.write_whole("metadata.jsonl", [b"row\n"])
    assert files_in(tmp_path) == set()


def test_a_part_whose_close_fails_is_the_disks_trouble_and_gone(tmp_path: Path) -> None:
    def close(fd: int) -> None:
        os.close(fd)
        raise OSError(errno.EIO, "injected")

    (tmp_path / ".state/parts").mkdir(parents=True)
    with closing(Disk(tmp_path, calls=Calls(close=close))) as disk:
        begun = FilePart(disk, "part")
        with pytest.raises(DiskTrouble, match="Input/output error"):
            begun.discard()
    assert files_in(tmp_path) == set()
