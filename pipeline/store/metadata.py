"""metadata.jsonl: a row per made image, ``file_name`` first, in Hugging Face imagefolder form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from pipeline.store.record import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

METADATA = "metadata.jsonl"

_OF_THE_TASK = ("prompt", "id", "index", "sample", "model", "seed", "aspect_ratio", "image_size")
_FIXED = ("file_name", *_OF_THE_TASK, "width", "height")


class Lines(Protocol):
    """A manifest, as far as it is read."""

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""


def metadata_of(manifest: Lines, offsets: Iterable[int]) -> Iterator[bytes]:
    """The rows of the lines at ``offsets`` (the newest of each made id), in plan order.

    Two passes: the first learns the order, the columns and which line owns a file by now; the
    second writes. Memory grows by a few numbers for each id, not by what the lines say. Every row
    has every column, null where its task has none: readers guess a table's columns from its rows.
    """
    survey = _Survey()
    at = list(offsets)
    for offset, line in zip(at, manifest.lines(at), strict=True):
        survey.note(offset, orjson.loads(line))
    columns = _columns(survey)
    at = [packed & _OFFSET for packed in sorted(survey.order)]
    for offset, line in zip(at, manifest.lines(at), strict=True):
        record = orjson.loads(line)
        for image in record["images"]:
            if survey.owners[hash(image["file"])] == offset:
                yield line_of(_row(record, image, columns))


_OFFSET = (1 << 64) - 1


@dataclass(slots=True)
class _Survey:
    """What the first pass learns; ``order`` packs (index, sample, offset) into one number."""

    order: list[int] = field(default_factory=list)
    owners: dict[int, int] = field(default_factory=dict)
    meta: dict[str, None] = field(default_factory=dict)
    vars: dict[str, None] = field(default_factory=dict)

    def note(self, offset: int, record: Mapping[str, Any]) -> None:
        self.order.append(record["index"] << 96 | record["sample"] << 64 | offset)
        self.meta.update(dict.fromkeys(record["meta"]))
        self.vars.update(dict.fromkeys(record["vars"]))
        for image in record["images"]:
            owned = hash(image["file"])
            self.owners[owned] = max(offset, self.owners.get(owned, 0))


def _columns(survey: _Survey) -> list[tuple[str, str, str]]:
    """(column, ``meta`` or ``vars``, name there): a name that is taken gets its origin in front."""
    taken = set(_FIXED)
    columns = []
    for origin, names in (("meta", survey.meta), ("vars", survey.vars)):
        for name in names:
            column = name
            while column in taken:
                column = f"{origin}_{column}"
            taken.add(column)
            columns.append((column, origin, name))
    return columns


def _row(
    record: Mapping[str, Any], image: Mapping[str, Any], columns: Iterable[tuple[str, str, str]]
) -> dict[str, Any]:
    row = {"file_name": image["file"]}
    row.update({name: record.get(name) for name in _OF_THE_TASK})
    row.update(width=image["width"], height=image["height"])
    row.update({column: record[origin].get(name) for column, origin, name in columns})
    return row
