"""The copy of the prompts: whole, of the file that is noted, and made when it is news."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import DiskTrouble
from pipeline.store import prompts
from pipeline.store.durable import Calls, Disk, Durability
from pipeline.store.prompts import copy_of, source_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out/.state").mkdir(parents=True)
    return tmp_path / "out"


def keep(out: Path, **said: Any) -> None:
    with closing(Disk(out)) as disk:
        prompts.keep(disk, **said)


def kept(out: Path, file: Path, text: str) -> Path | None:
    """Keep a file with this text; returns its copy."""
    file.write_text(text)
    keep(out, seen_from="/jobs", file=str(file), read=file)
    return copy_of(out, str(file))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".jsonl", ".TSV"])
def test_a_copy_has_the_extension_of_its_file(out: Path, tmp_path: Path, suffix: str) -> None:
    copy = kept(out, tmp_path / f"mine{suffix}", "one\n")
    assert copy == out / f".state/prompts{suffix.lower()}"
    assert copy.read_text() == "one\n"


def test_a_file_of_another_name_has_no_copy(out: Path, tmp_path: Path) -> None:
    kept(out, tmp_path / "a.txt", "one\n")
    assert copy_of(out, str(tmp_path / "b.txt")) is None
    assert copy_of(out, "-") is None
    assert copy_of(tmp_path / "nowhere", str(tmp_path / "a.txt")) is None


def test_a_change_of_size_or_time_is_news(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    assert kept(out, file, "one\n")
    for text, time_ns in (("one, two\n", 10**18), ("two, one\n", 2 * 10**18)):
        file.write_text(text)
        os.utime(file, ns=(time_ns, time_ns))
        keep(out, seen_from="/jobs", file=str(file), read=file)
        assert (out / ".state/prompts.txt").read_text() == text


def test_what_is_no_news_is_written_no_second_time(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    kept(out, file, "one\n")
    before = {one: one.stat().st_ino for one in (out / ".state").iterdir()}
    keep(out, seen_from="/jobs", file=str(file), read=file)
    keep(out, seen_from="/jobs", file=str(file), read=copy_of(out, str(file)))
    assert {one: one.stat().st_ino for one in (out / ".state").iterdir()} == before


def test_a_copy_that_was_lost_is_made_again(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    kept(out, file, "one\n")
    (out / ".state/prompts.txt").unlink()
    assert copy_of(out, str(file)) is None
    keep(out, seen_from="/jobs", file=str(file), read=file)
    assert copy_of(out, str(file))


def test_a_copy_that_cannot_be_made_is_no_copy_of_the_one_before(out: Path, tmp_path: Path) -> None:
    assert kept(out, tmp_path / "a.txt", "one\n")
    (out / ".state/prompts.csv").mkdir()
    with pytest.raises(DiskTrouble):
        kept(out, tmp_path / "b.csv", "prompt\ntwo\n")
    assert copy_of(out, str(tmp_path / "a.txt")) is None
    assert copy_of(out, str(tmp_path / "b.csv")) is None


def test_going_on_from_the_copy_notes_where_the_job_is_now(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    copy = kept(out, file, "one\n")
    file.unlink()
    keep(out, seen_from="/moved", file=str(file), read=copy)
    source = source_of(out)
    assert source
    assert (source.seen_from, source.file) == ("/moved", str(file))
    assert copy_of(out, str(file)) == copy


def test_a_job_that_lists_its_prompts_keeps_no_copy(out: Path, tmp_path: Path) -> None:
    kept(out, tmp_path / "a.txt", "one\n")
    keep(out, seen_from="/jobs")
    assert [one.name for one in (out / ".state").iterdir()] == ["source.json"]


@pytest.mark.parametrize("note", ["", "[]", '{"seen_from": "/", "file": "a"}', '{"stamp": [1]}'])
def test_a_note_that_is_none_tells_nothing(out: Path, tmp_path: Path, note: str) -> None:
    kept(out, tmp_path / "a.txt", "one\n")
    (out / ".state/source.json").write_text(note)
    assert source_of(out) is None
    assert copy_of(out, str(tmp_path / "a.txt")) is None


def test_a_moved_folder_takes_its_copy_along(out: Path, tmp_path: Path) -> None:
    kept(out, tmp_path / "a.txt", "one\n")
    moved = out.rename(tmp_path / "moved")
    assert copy_of(moved, str(tmp_path / "a.txt")) == moved / ".state/prompts.txt"


def test_where_nothing_has_to_outlive_a_power_cut_nothing_is_synced(
    out: Path, tmp_path: Path
) -> None:
    """The folder's own terms hold, for its disk is the one that is written to."""
    file = tmp_path / "a.txt"
    file.write_text("one\n")
    synced: list[int] = []
    for durability in Durability:
        calls = Calls(sync=synced.append)
        with closing(Disk(out, durability=durability, calls=calls)) as disk:
            prompts.keep(disk, seen_from=f"/{durability}", file=str(file), read=file)
        assert bool(synced) is (durability is Durability.POWER)
        synced.clear()
