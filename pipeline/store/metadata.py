"""metadata.jsonl: a row per made image, ``file_name`` first, in Hugging Face imagefolder form."""

from __future__ import annotations

from array import array
from itertools import islice
from operator import le
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

METADATA = "metadata.jsonl"

_OF_THE_TASK = ("prompt", "id", "index", "sample", "model", "seed", "aspect_ratio", "image_size")
_FIXED = ("file_name", *_OF_THE_TASK, "width", "height")
_NULL = msgspec.Raw(b"null")
_AT_ONCE = 512  # rows
_IN_A_PART = 65_536
_LAST = (1 << 64, b"")  # behind every place
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


class _Row(msgspec.Struct, gc=False, frozen=True):
    """What tells of a row where it stands."""

    file_name: str
    id: str
    index: int
    sample: int


def metadata_of(manifest: Lines, offsets: Iterable[int]) -> Iterator[bytes]:
    """The rows of the lines at ``offsets`` (the newest of each made id), in plan order, in pieces.

    Two passes: the first learns the order, the columns and which line owns a file by now; the
    second writes. Memory grows by some 25 bytes for each id, not by what the lines say. Every row
    has every column, null where its task has none: readers guess a table's columns from its rows.
    """
    survey = _Survey(manifest, offsets)
    return _in_pieces(row for _, row in survey.rows())


def with_more(
    rows: Callable[[], Iterator[bytes]],
    manifest: Lines,
    offsets: Sequence[int],
    ids: AbstractSet[str],
) -> Iterator[bytes]:
    """What :func:`metadata_of` gives for all lines, from ``rows``: what it gave for those before.

    ``offsets``: of the few lines since that are the newest of a made id; ``ids``: of all lines
    since. Raises ValueError, at once or on the way, where they take something from a row that
    stands, or have columns of their own: then all is to be written.
    """
    more = _Survey(manifest, offsets)
    first = next(rows(), b"")
    if offsets and list(msgspec.json.decode(first, type=dict)) != more.column_names:
        raise ValueError("other columns")
    records = map(_glance, manifest.lines(offsets))
    taken = ids | {image.file for record in records for image in record.images}
    return _in_pieces(_merged(rows(), more.rows(), taken))


def _merged(
    rows: Iterator[bytes], more: Iterator[tuple[int, bytes]], taken: AbstractSet[str]
) -> Iterator[bytes]:
    place, new = next(more, _LAST)
    for row in rows:
        said = _standing(row)
        if said.id in taken or said.file_name in taken:
            raise ValueError("a row that stands is another's now")
        while place < _place_of(said.index, said.sample):
            yield new
            place, new = next(more, _LAST)
        yield row
    if new:
        yield new
    yield from (row for _, row in more)


def _place_of(index: int, sample: int) -> int:
    return index << _SAMPLE_BITS | sample


def _in_pieces(rows: Iterator[bytes]) -> Iterator[bytes]:
    while piece := b"".join(islice(rows, _AT_ONCE)):
        yield piece


class _Survey:
    """The first pass. Lines are looked at in the order of the file, so that the newest is last."""

    def __init__(self, manifest: Lines, offsets: Iterable[int]) -> None:
        self._manifest = manifest
        self._offsets = _sorted(offsets)
        self._owners = _Owners(len(self._offsets))
        self._places = array("Q")
        meta: dict[str, msgspec.Raw] = {}
        vars_: dict[str, msgspec.Raw] = {}
        lines = zip(self._offsets, manifest.lines(self._offsets), strict=True)
        for offset, line in lines:
            record = _glance(line)
            self._places.append(_place_of(record.index, record.sample))
            meta.update(record.meta)
            vars_.update(record.vars)
            for image in record.images:
                self._owners.note(image.file, offset)
        self._columns = _columns(meta, vars_)

    @property
    def column_names(self) -> list[str]:
        """What every row has, in its order."""
        return [*_FIXED, *(column for column, _, _ in self._columns)]

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """The second pass: rows, each with its task's place in the plan."""
        for ranks in _ranks_in_order(self._places):
            offsets = [self._offsets[rank] for rank in ranks]
            records = map(_decode, self._manifest.lines(offsets))
            for rank, offset, record in zip(ranks, offsets, records, strict=True):
                for image in record.images:
                    if self._owners.is_owner(image.file, offset):
                        row = self._row(record, image)
                        yield self._places[rank], msgspec.json.encode(row) + b"\n"

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
        self._mask = (1 << max(10, (n_files * 32).bit_length())) - 1
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


def _sorted(offsets: Iterable[int]) -> array[int]:
    found = array("Q", offsets)
    if all(map(le, found, islice(found, 1, None))):
        return found
    return array("Q", (found[rank] for ranks in _ranks_in_order(found) for rank in ranks))


def _ranks_in_order(keys: Sequence[int]) -> Iterator[list[int]]:
    """Where the keys stand, the lowest first, equal ones as they stand; a part of them at a time.

    Sorting all at once would hold a number and a place in a list for each, ten times the keys.
    """
    n_parts = 1 + len(keys) // _IN_A_PART
    lowest = min(keys, default=0)
    width = (max(keys, default=0) - lowest) // n_parts + 1
    parts = [array("I") for _ in range(n_parts)]
    for rank, key in enumerate(keys):
        parts[(key - lowest) // width].append(rank)
    for part in parts:
        yield sorted(part, key=keys.__getitem__)


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
_standing = msgspec.json.Decoder(_Row).decode
