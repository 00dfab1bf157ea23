"""metadata.jsonl: a row per made image, ``file_name`` first, in Hugging Face imagefolder form."""

from __future__ import annotations

from array import array
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

METADATA = "metadata.jsonl"

_OF_THE_TASK = ("prompt", "id", "index", "sample", "model", "seed", "aspect_ratio", "image_size")
_FIXED = ("file_name", *_OF_THE_TASK, "width", "height")
_NULL = msgspec.Raw(b"null")
_AT_ONCE = 512  # rows
_SAMPLE_BITS = 14  # a job has 10,000 samples at most


class _Named(msgspec.Struct, gc=False, frozen=True):
    file: str


class _Glance(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """What the first pass needs of a line."""

    index: int = 0
    sample: int = 0
    vars: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    meta: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    images: list[_Named]


class _Image(msgspec.Struct, gc=False, frozen=True):
    file: str
    width: msgspec.Raw = _NULL
    height: msgspec.Raw = _NULL


class _Record(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A manifest line as far as a row needs it; what is only passed on stays as it is written."""

    id: str
    index: int = 0
    sample: int = 0
    prompt: msgspec.Raw = _NULL
    model: msgspec.Raw = _NULL
    vars: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    meta: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    images: list[_Image]
    aspect_ratio: msgspec.Raw = _NULL
    image_size: msgspec.Raw = _NULL
    seed: msgspec.Raw = _NULL


class Lines(Protocol):
    """A manifest, as far as it is read."""

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines that start at these offsets."""


def metadata_of(manifest: Lines, offsets: Iterable[int]) -> Iterator[bytes]:
    """The rows of the lines at ``offsets`` (the newest of each made id), in plan order, in pieces.

    Two passes: the first learns the order, the columns and which line owns a file by now; the
    second writes. Memory grows by some 65 bytes for each id, not by what the lines say. Every row
    has every column, null where its task has none: readers guess a table's columns from its rows.
    """
    survey = _Survey(manifest, array("Q", sorted(offsets)))
    rows = survey.rows()
    while piece := b"".join(islice(rows, _AT_ONCE)):
        yield piece


class _Survey:
    """The first pass. Lines are looked at in the order of the file, so that the newest is last."""

    def __init__(self, manifest: Lines, offsets: Sequence[int]) -> None:
        self._manifest = manifest
        self._owners = _Owners(len(offsets))
        meta: dict[str, msgspec.Raw] = {}
        vars_: dict[str, msgspec.Raw] = {}
        rank_bits = len(offsets).bit_length()
        order: list[int] = []  # index, sample and rank in one number: the least that can be sorted
        for rank, record in enumerate(map(_glance, manifest.lines(offsets))):
            place = record.index << _SAMPLE_BITS | record.sample
            order.append(place << rank_bits | rank)
            meta.update(record.meta)
            vars_.update(record.vars)
            for image in record.images:
                self._owners.note(image.file, offsets[rank])
        order.sort()
        self._offsets = array("Q", (offsets[one & (1 << rank_bits) - 1] for one in order))
        self._columns = _columns(meta, vars_)

    def rows(self) -> Iterator[bytes]:
        """The second pass."""
        records = map(_decode, self._manifest.lines(self._offsets))
        for offset, record in zip(self._offsets, records, strict=True):
            for image in record.images:
                if self._owners.is_owner(image.file, offset):
                    yield msgspec.json.encode(self._row(record, image)) + b"\n"

    def _row(self, record: _Record, image: _Image) -> dict[str, str | msgspec.Raw]:
        row: dict[str, str | msgspec.Raw] = {"file_name": image.file}
        row.update((name, getattr(record, name)) for name in _OF_THE_TASK)
        row.update(width=image.width, height=image.height)
        for column, origin, name in self._columns:
            row[column] = getattr(record, origin).get(name)
        return row


class _Owners:
    """Which line owns a file: the newest that names it. Nearly all are named once: a bit each.

    A file is told from all others by its hash; the few whose bit is taken already, most of them by
    chance, are kept with the newest line that names them.
    """

    def __init__(self, n_files: int) -> None:
        self._mask = (1 << max(10, (n_files * 64).bit_length())) - 1
        self._seen = bytearray((self._mask >> 3) + 1)
        self._newest: dict[int, int] = {}

    def note(self, file: str, offset: int) -> None:
        """A line names it; lines come in the order of the manifest."""
        number = hash(file)
        place, bit = (number & self._mask) >> 3, 1 << (number & 7)
        if self._seen[place] & bit:
            self._newest[number] = offset
        self._seen[place] |= bit

    def is_owner(self, file: str, offset: int) -> bool:
        """Whether that line is the newest that names it."""
        return self._newest.get(hash(file), offset) == offset


def _columns(meta: Iterable[str], vars_: Iterable[str]) -> list[tuple[str, str, str]]:
    """(column, ``meta`` or ``vars``, name there): a name that is taken gets its origin in front."""
    taken = set(_FIXED)
    columns = []
    for origin, names in (("meta", meta), ("vars", vars_)):
        for name in names:
            column = name
            while column in taken:
                column = f"{origin}_{column}"
            taken.add(column)
            columns.append((column, origin, name))
    return columns


_glance = msgspec.json.Decoder(_Glance).decode
_decode = msgspec.json.Decoder(_Record).decode
