"""Reads a manifest that may be damaged: what each line is worth, the ledger of the good ones."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pipeline.store import stretch
from pipeline.store.findings import Finding, Kind
from pipeline.store.manifest import MANIFEST, lines_at
from pipeline.store.salvage import gap_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger


class Opened:
    """A manifest that is only read."""

    def __init__(self, fd: int) -> None:
        """``fd`` is open for reading."""
        self.fd = fd
        self._n_bytes = os.fstat(fd).st_size

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""
        return lines_at(self.fd, offsets)

    def has_grown(self) -> bool:
        """Whether somebody has written to it since it was opened."""
        return os.fstat(self.fd).st_size != self._n_bytes


@contextmanager
def opened(disk: Disk) -> Iterator[Opened]:
    """The manifest of a folder; one that is missing reads like an empty one. Raises OSError."""
    try:
        fd = disk.open(MANIFEST, os.O_RDONLY)
    except FileNotFoundError:
        fd = os.open(os.devnull, os.O_RDONLY)
    try:
        yield Opened(fd)
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    r"""A line as it lies in the file.

    ``number`` counts from 1, ``text`` is without its newline. ``kind`` says what is wrong with it,
    None where nothing is; ``detail`` says more.
    """

    number: int
    text: bytes
    is_terminated: bool
    kind: Kind | None = None
    detail: str = ""


def lines_in(fd: int, ledger: Ledger) -> Iterator[Line]:
    """Every line of a manifest; ``ledger`` takes in those that can be trusted.

    Memory grows by the ledger and by a number for each line, to know a line that comes again.
    """
    seen: set[int] = set()
    offset = 0
    for number, (text, is_terminated) in enumerate(_texts(fd), start=1):
        kind, detail = _judged(text, seen)
        if kind is None:
            kind, detail = _noted(ledger, offset, text)
            seen.add(hash(text))
        yield Line(number=number, text=text, is_terminated=is_terminated, kind=kind, detail=detail)
        offset += len(text) + is_terminated


def findings_in(lines: Iterable[Line]) -> Iterator[Finding]:
    """What is wrong with the lines of a manifest; of the last one, that it is torn."""
    last: Line | None = None
    for line in lines:
        if last and last.kind:
            yield _finding(last.kind, f"line {last.number}: {last.detail}")
        last = line
    if last and (last.kind is Kind.DAMAGED_LINE or not last.is_terminated):
        detail = last.detail or "its newline is missing"
        yield _finding(Kind.TORN, f"line {last.number}, the last: {detail}")
    elif last and last.kind:
        yield _finding(last.kind, f"line {last.number}: {last.detail}")


def _finding(kind: Kind, detail: str) -> Finding:
    return Finding(kind=kind, file=MANIFEST, detail=detail)


def _judged(text: bytes, seen: set[int]) -> tuple[Kind | None, str]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Kind.DAMAGED_LINE, f"{error.msg} (column {error.colno})" if text else "blank"
    if not isinstance(record, dict):
        return Kind.DAMAGED_LINE, "no record"
    if gap := gap_in(record):
        return Kind.DAMAGED_LINE, gap
    if hash(text) in seen:
        return Kind.REPEATED_LINE, "it stands there already"
    return None, ""


def _noted(ledger: Ledger, offset: int, text: bytes) -> tuple[Kind | None, str]:
    try:
        ledger.note(offset, text)
    except ValueError as error:
        return Kind.DAMAGED_LINE, str(error)
    return None, ""


def _texts(fd: int) -> Iterator[tuple[bytes, bool]]:
    r"""Every line and whether its newline is there; ``\n`` alone ends a line."""
    for line in stretch.lines_in(fd, stretch.Stretch(0, os.fstat(fd).st_size)):
        yield line.removesuffix(b"\n"), line.endswith(b"\n")
