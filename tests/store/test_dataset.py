"""metadata.jsonl after more lines: byte for byte what writing all of it anew would give."""

from __future__ import annotations

import itertools
from contextlib import closing, suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keeping import failed, made, task

from pipeline.core.model import Why
from pipeline.store import dataset
from pipeline.store.durable import Calls, Disk, Durability
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import Manifest
from pipeline.store.metadata import METADATA, metadata_of
from pipeline.store.record import line_of, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_PICTURE = {"sha256": "00", "bytes": 1, "media_type": "image/png", "width": 3, "height": 4}


class Book:
    """A folder's manifest, and its metadata.jsonl as it is kept."""

    def __init__(self, root: Path, calls: Calls | None = None) -> None:
        (root / ".state").mkdir(parents=True, exist_ok=True)
        self.metadata = root / METADATA
        self.disk = Disk(root, durability=Durability.PROCESS, calls=calls or Calls())
        self.ledger = Ledger()
        self.manifest = Manifest(self.disk, self.ledger)

    def close(self) -> None:
        self.manifest.close()
        self.disk.close()

    def add(self, number: int, *, file: str | None = None, **more: Any) -> None:
        record = record_of(made(task(number, **more)), files=[], run="r")
        record["images"] = [{"file": file or f"images/{number}.png", **_PICTURE}]
        self.manifest.append([line_of(record)])

    def write(self) -> None:
        dataset.write(self.disk, self.manifest, self.ledger, is_long=0)
        rows = metadata_of(self.manifest, self.ledger.offsets_of_made())
        assert self.metadata.read_bytes() == b"".join(rows)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with closing(Book(tmp_path)) as book:
        yield book


def _is_merged(book: Book, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the next writing only puts new rows among the others."""
    whole: list[bytes] = []

    def noting(manifest: Manifest, offsets: Iterable[int]) -> Iterator[bytes]:
        for piece in metadata_of(manifest, offsets):
            whole.append(piece)
            yield piece

    monkeypatch.setattr(dataset, "metadata_of", noting)
    book.write()
    return not whole


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=4))
def test_new_rows_find_their_places(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[int]]
) -> None:
    with closing(Book(tmp_path_factory.mktemp("book"))) as book:
        for numbers in runs:
            for number in numbers:
                book.add(number)
            book.write()


def test_only_what_is_new_is_looked_up(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (3, 1, 9):
        book.add(number, meta={"note": "x"})
    assert not _is_merged(book, monkeypatch)
    for number in (0, 5, 12):
        book.add(number, meta={"note": "y"})
    book.manifest.append([line_of(record_of(failed(task(7), Why.LOST), files=[], run="r"))])
    assert _is_merged(book, monkeypatch)
    assert _is_merged(book, monkeypatch)


@pytest.mark.parametrize(
    "more",
    [
        {"number": 2, "meta": {"note": "x", "other": 1}},
        {"number": 1, "meta": {"note": "again"}, "file": "images/1b.png"},
        {"number": 2, "meta": {"note": "x"}, "file": "images/1.png"},
    ],
)
def test_what_changes_a_row_that_stands_has_all_written_anew(
    book: Book, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    for number in (0, 1, 4):
        book.add(number, meta={"note": "x"})
    book.write()
    book.add(**more)
    assert not _is_merged(book, monkeypatch)


def test_a_file_that_somebody_else_wrote_is_written_anew(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.add(1)
    book.write()
    book.metadata.write_bytes(book.metadata.read_bytes().replace(b"prompt 1", b"edited"))
    book.add(2)
    assert not _is_merged(book, monkeypatch)
    book.metadata.unlink()
    assert not _is_merged(book, monkeypatch)


def test_a_manifest_that_was_replaced_has_all_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Book(tmp_path)) as book:
        book.add(1)
        book.add(2)
        book.write()
    (tmp_path / "copy").write_bytes((tmp_path / "manifest.jsonl").read_bytes())
    (tmp_path / "copy").rename(tmp_path / "manifest.jsonl")
    with closing(Book(tmp_path)) as book:
        assert not _is_merged(book, monkeypatch)
    with closing(Book(tmp_path)) as book:
        assert _is_merged(book, monkeypatch)


class _Killed(BaseException):
    """From here on nothing reaches the disk."""


def _dying(n_left: int) -> Calls:
    """The system calls of a process that is killed at one of them."""
    left = iter(range(n_left))

    def doomed(call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise _Killed
            return call(*arguments, **named)

        return dying

    real = Calls()
    return Calls(**{one.name: doomed(getattr(real, one.name)) for one in fields(Calls)})


def test_killed_anywhere_it_leaves_the_old_rows_or_the_new_ones_and_the_next_is_right(
    tmp_path: Path,
) -> None:
    seen = set[bytes]()
    for n_calls in itertools.count(1):
        root = tmp_path / str(n_calls)
        with closing(Book(root)) as book:
            book.add(1)
            book.write()
            book.add(0)
            old = book.metadata.read_bytes()
            new = b"".join(metadata_of(book.manifest, book.ledger.offsets_of_made()))
        is_over = False
        with suppress(_Killed), closing(Book(root, _dying(n_calls))) as dying:
            dying.write()
            is_over = True
        seen.add((root / METADATA).read_bytes())
        with closing(Book(root)) as book:
            book.add(2)
            book.write()
        if is_over:
            break
    assert seen == {old, new}
