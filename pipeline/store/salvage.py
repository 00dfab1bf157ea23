"""What a manifest line must say, and what can still be read of one that is damaged."""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.store.record import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Every field that all lines ever written have; later ones were added to them.
_OF_A_RECORD: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "status": str,
    "why": (str, type(None)),
    "index": int,
    "sample": int,
    "prompt": str,
    "model": str,
    "served_model": object,
    "params": dict,
    "vars": dict,
    "meta": dict,
    "images": list,
    "text": object,
    "detail": object,
    "attempts": int,
    "request_id": object,
    "usage": object,
    "cost_usd": (int, float, type(None)),
    "provider": str,
    "started_at": str,
    "finished_at": str,
    "latency_s": (int, float, type(None)),
    "run": str,
}
_OF_AN_IMAGE: dict[str, type | tuple[type, ...]] = {
    "file": str,
    "sha256": str,
    "bytes": int,
    "media_type": str,
    "width": int,
    "height": int,
}
_RECORD = operator.itemgetter(*_OF_A_RECORD)
_IMAGE = operator.itemgetter(*_OF_AN_IMAGE)
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
    if not _fits(record, _RECORD, _OF_A_RECORD):
        return _gap(record, _OF_A_RECORD)
    if record["status"] not in {"made", "failed"}:
        return "status is neither made nor failed"
    if record["status"] == "made" and not record["images"]:
        return "made, but it names no image"
    for image in record["images"]:
        if not isinstance(image, dict):
            return "images holds something else"
        if not _fits(image, _IMAGE, _OF_AN_IMAGE):
            return f"images: {_gap(image, _OF_AN_IMAGE)}"
    return None


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


def _fits(
    said: Mapping[str, Any],
    values_of: Callable[[Mapping[str, Any]], tuple[Any, ...]],
    fields: Mapping[str, type | tuple[type, ...]],
) -> bool:
    """Whether every field is there and of its type; a million lines are looked at this way."""
    try:
        return all(map(isinstance, values_of(said), fields.values()))
    except KeyError:
        return False


def _gap(said: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]]) -> str | None:
    """The first field that is missing or of another type."""
    for name, kind in fields.items():
        if name not in said:
            return f"{name} is missing"
        if not isinstance(said[name], kind):
            return f"{name} is of the wrong type"
    return None
