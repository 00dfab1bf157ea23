"""A manifest is read by several processes as one would read it alone, and checked line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import failed, made, record, task

from pipeline.core.model import Why
from pipeline.errors import DiskTrouble
from pipeline.store import replay as replays
from pipeline.store import stretch as stretches
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import lines_at
from pipeline.store.record import line_of
from pipeline.store.replay import End, replay
from pipeline.store.salvage import gap_in
from pipeline.store.stretch import Beside, Stretch, lines_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Plain:
    """The plainest way to say what a manifest says."""

    def __init__(self, content: bytes) -> None:
        self.newest: dict[str, tuple[int, str]] = {}
        self.runs: list[tuple[str, list[dict[str, Any]]]] = []
        self.records: list[dict[str, Any]] = []
        self.damaged_line: int | None = None
        self.sound = 0
        *lines, rest = content.split(b"\n")
        whole = [line + b"\n" for line in lines] + ([rest] if rest else [])
        for number, line in enumerate(whole, start=1):
            try:
                self._note(orjson.loads(line))
            except (ValueError, KeyError, TypeError):
                self.damaged_line = number if number < len(whole) else None
                break
            self.sound += len(line)

    def _note(self, record: dict[str, Any]) -> None:
        if gap_in(record):
            raise ValueError
        word = "made" if record["status"] == "made" else record["why"]
        for one in record.get("orphaned", ()):
            self.newest.pop(one["id"], None)
        self.newest[record["id"]] = self.sound, word
        self.records.append(record)
        if not self.runs or self.runs[-1][0] != record["run"]:
            self.runs.append((record["run"], []))
        self.runs[-1][1].append(record)


def _said(number: int, why: Why | None, run: str, displaced: int | None) -> dict[str, Any]:
    outcome = made(task(number)) if why is None else failed(task(number), why)
    said = record(outcome, run=run, n_images=1 + number % 3)
    said["started_at"] = f"2026-11-22T14:00:{59 - number:02}.000Z"
    said["cost_usd"] = number / 4 if number % 3 else None
    said["maybe_billed"] = number % 2
    said["text"] = "ünïcode" if number % 2 else None
    if displaced is not None:
        said["orphaned"] = [{"file": "x", "moved_to": "y", "id": task(displaced).id}]
    return said


_RECORDS = st.builds(
    _said,
    st.integers(0, 9),
    st.none() | st.sampled_from([Why.REFUSED, Why.LOST]),
    st.sampled_from("abc"),
    st.none() | st.integers(0, 9),
)
_BAD = [
    b"\n",
    b"\x00\x00\n",
    b"{\n",
    b"[]\n",
    b'{"id":"a"}\n',
    line_of(record(failed(task(0)), why=None)),
    line_of(record(made(task(0)), text="?")).replace(b"?", b"\xff"),
    line_of(record(made(task(0)), text="?")).replace(b"?", b"\x00"),
    line_of(record(made(task(0)))).replace(b'"usage":{', b'"usage":{"\xff":0'),
    line_of(record(made(task(0)))).replace(b"\n", b" ") + line_of(record(made(task(1)))),
    line_of(record(made(task(0)))).replace(
        b'"usage":{', b'"usage":{"a":' + b"[" * 5000 + b"]" * 5000
    ),
]
_LINES = _RECORDS.map(line_of)
_CONTENTS = st.builds(
    lambda lines, bad, at, cut: b"".join([*lines[:at], *bad, *lines[at:]])[: -cut or None],
    st.lists(_LINES, max_size=30),
    st.lists(st.sampled_from(_BAD), max_size=1),
    st.integers(0, 30),
    st.just(0) | st.integers(0, 2000),
)


class _Here(Beside):
    """Reads as the process beside us does, and tells as it does, but in this one."""

    def __init__(self, fd: int, stretch: Stretch) -> None:
        self._fd, self._stretch = fd, stretch
        self._process = None

    def into(self, ledger: Ledger) -> int:
        own = Ledger()
        sound = stretches.read(self._fd, self._stretch, own)
        ledger.go_on_with(own.told())
        return sound


@pytest.fixture
def by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "Beside", _Here)
    monkeypatch.setattr(replays, "_n_cores", lambda: 4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay") / "manifest.jsonl"


def _read(path: Path, n_bytes_each: int) -> tuple[Ledger, End]:
    ledger = Ledger()
    fd = os.open(path, os.O_RDONLY)
    try:
        return ledger, replay(fd, ledger, path=path, n_bytes_each=n_bytes_each)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("by_parts")
@settings(max_examples=150, deadline=None)
@given(_CONTENTS, st.sampled_from([200, 1500, 1 << 30]))
def test_in_parts_or_whole_it_says_what_a_plain_reading_says(
    path: Path, content: bytes, n_bytes_each: int
) -> None:
    path.write_bytes(content)
    plain = Plain(content)
    if plain.damaged_line:
        with pytest.raises(DiskTrouble, match=f"at line {plain.damaged_line}, .* verify --repair"):
            _read(path, n_bytes_each)
        return
    ledger, end = _read(path, n_bytes_each)
    is_whole = plain.sound == len(content)
    assert (end.sound, end.size) == (plain.sound, len(content))
    assert end.is_unterminated == (is_whole and not content.endswith(b"\n") and bool(content))
    assert [(one, ledger.offset_of(one), ledger.word_of(one)) for one in ledger.ids()] == [
        (one, offset, word) for one, (offset, word) in plain.newest.items()
    ]
    assert ledger.n_lines == len(ledger.latencies_s) == len(plain.records)
    assert ledger.n_images == sum(len(one["images"]) for one in plain.records)
    assert ledger.maybe_billed == sum(one["maybe_billed"] for one in plain.records)
    costs = [one["cost_usd"] for one in plain.records if one["cost_usd"] is not None]
    assert (ledger.n_cost_known, ledger.cost_usd) == (len(costs), sum(costs))
    _assert_last(ledger, plain)


def _assert_last(ledger: Ledger, plain: Plain) -> None:
    if not plain.runs:
        assert ledger.last is None
        return
    run, records = plain.runs[-1]
    assert ledger.last
    assert (ledger.last.run, ledger.last.n_images) == (run, sum(len(r["images"]) for r in records))
    assert ledger.last.started_at == min(one["started_at"] for one in records)
    assert ledger.last.finished_at == max(one["finished_at"] for one in records)


@pytest.mark.usefixtures("by_parts")
@given(st.lists(st.sampled_from(["sleepy", "odd", "lost", "refused"]), max_size=12))
def test_reasons_of_a_later_version_keep_their_names_across_parts(
    path: Path, whys: list[str]
) -> None:
    records = [record(failed(task(n)), why=why) for n, why in enumerate(whys)]
    path.write_bytes(b"".join(map(line_of, records)))
    ledger, _ = _read(path, 300)
    assert [ledger.word_of(one["id"]) for one in records] == whys
    assert ledger.counts().failed_by_why == {why: whys.count(why) for why in whys}


@pytest.fixture
def thousand(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"".join(line_of(_said(n % 60, None, "r", None)) for n in range(1000)))
    return path


def _same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_n_cores", lambda: 2)
    alone, _ = _read(path, 1 << 30)
    both, _ = _read(path, 1000)
    assert both.told() == alone.told()


def test_another_process_reads_its_half(thousand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stretches, "read", lambda *_: pytest.fail("the second half was read here"), raising=True
    )
    fd = os.open(thousand, os.O_RDONLY)
    ledger = Ledger()
    with Beside(fd, Stretch(0, thousand.stat().st_size)) as beside:
        assert beside.into(ledger) == thousand.stat().st_size
    os.close(fd)
    monkeypatch.undo()
    assert ledger.n_lines == 1000
    _same(thousand, monkeypatch)


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", "/bin/echo"])
def test_where_no_process_can_be_had_it_is_read_here(
    thousand: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    _same(thousand, monkeypatch)


def test_a_process_that_is_not_waited_for_is_gone_with_the_context(
    thousand: Path,
) -> None:
    fd = os.open(thousand, os.O_RDONLY)
    with Beside(fd, Stretch(0, 10)) as beside:
        process = beside._process
    os.close(fd)
    assert isinstance(process, subprocess.Popen)
    assert process.returncode is not None


@given(st.lists(st.binary(max_size=40).map(lambda one: one.replace(b"\n", b"")), min_size=1))
def test_a_window_shows_its_lines_and_nothing_else(path: Path, lines: list[bytes]) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(b"before\n" + whole + b"after\n")
    fd = os.open(path, os.O_RDONLY)
    stretch = Stretch(7, 7 + len(whole))
    assert [line[:-1] for line in lines_in(fd, stretch)] == lines
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    os.close(fd)


def _sizes() -> Iterator[int]:
    for size in (10, 5_000, 100_000, 300_000, 20):
        yield from (size, size, size)


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_lines_are_found_in_any_order(path: Path, random: Any) -> None:
    lines = [b"%d " % number + b"x" * size for number, size in enumerate(_sizes())]
    path.write_bytes(b"\n".join([*lines, b""]))
    offsets = [sum(len(one) + 1 for one in lines[:number]) for number in range(len(lines))]
    order = random.choices(range(len(lines)), k=30)
    fd = os.open(path, os.O_RDONLY)
    assert list(lines_at(fd, [offsets[n] for n in order])) == [lines[n] for n in order]
    os.close(fd)
