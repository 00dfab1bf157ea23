"""What a manifest line must say, and what can still be read of one that is damaged."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.store.gist import Gist, gap_of
from pipeline.store.record import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START = b'{"id":'
_MARK = "\udc80"  # as ``surrogateescape`` marks bytes that are no UTF-8
_LOST = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x1f]")  # JSON has them escaped: as such they are damage
_MENDED = "this line was damaged, and what could not be read in it stands as U+FFFD"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """A record found inside a damaged line, and the line to keep it as.

    ``is_whole``: nothing of it is lost. Else marks stand where it could not be read, and only
    what it says of its files can prove it.
    """

    record: Mapping[str, Any]
    line: bytes
    is_whole: bool


def gap_in(record: Mapping[str, Any]) -> str | None:
    """What a record does not say, or says wrongly, None where it says everything."""
    try:
        return gap_of(msgspec.convert(record, Gist))
    except msgspec.ValidationError as error:
        return str(error)


def salvaged_from(line: bytes) -> Iterator[Salvaged]:
    """The records that a damaged line still holds, in their order.

    A line that lost its newline to the next one holds two, one between NULs is whole. A record
    that was cut holds none: nobody knows what it said.
    """
    at = line.find(_START)
    while at >= 0:
        salvaged, n_bytes = _record_at(line[at:])
        if salvaged:
            yield salvaged
        at = line.find(_START, at + (n_bytes if salvaged else 1))


def _record_at(said: bytes) -> tuple[Salvaged | None, int]:
    """The record that ``said`` begins with, and after how many bytes to look on."""
    text = said.decode(errors="surrogateescape")
    marked = _CONTROL.sub(_MARK, text)
    try:
        record, end = _DECODER.raw_decode(marked)
    except (ValueError, RecursionError):
        return None, 1
    n_bytes = len(text[:end].encode(errors="surrogateescape"))
    if _LOST.search(marked, 0, end):
        record = json.loads(_LOST.sub("\ufffd", marked[:end]))
        return _salvaged(record, None), n_bytes
    return _salvaged(record, said[:n_bytes] + b"\n"), n_bytes


def _salvaged(record: Any, line: bytes | None) -> Salvaged | None:
    """``line``: as it was, None where something of it is lost."""
    if gap_in(record) or "\ufffd" in record["id"]:
        return None
    if line:
        return Salvaged(record=record, line=line, is_whole=True)
    record["warnings"] = [*(record.get("warnings") or ()), _MENDED]
    return Salvaged(record=record, line=line_of(record), is_whole=False)
