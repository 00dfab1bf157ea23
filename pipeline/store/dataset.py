"""Keeps ``metadata.jsonl`` true: a few new rows go among those that stand, else all are written."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson

from pipeline.store.durable import STATE, trouble
from pipeline.store.metadata import METADATA, metadata_of, with_more
from pipeline.store.stretch import Stretch, lines_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger
    from pipeline.store.manifest import Manifest

_NOTE = f"{STATE}/dataset.json"
_LONG_BYTES = 1 << 20  # a shorter file is written anew in no time
_FEW_LINES = 50_000  # their rows' places are held in memory


@dataclass(frozen=True, slots=True)
class _Told:
    """Which lines the file tells of: the first ``n_bytes`` of that manifest. Both by their inode.

    Who writes to either in another way than we do changes an inode, a size or a time (ns).
    """

    manifest: int
    n_bytes: int
    metadata: int
    size: int
    modified_ns: int

    @classmethod
    def now(cls, disk: Disk, manifest: Manifest) -> Self:
        """As it is when all is written."""
        fd = disk.open(METADATA, os.O_RDONLY)
        try:
            rows = os.fstat(fd)
        finally:
            os.close(fd)
        inode = os.fstat(manifest.fd).st_ino
        return cls(inode, manifest.size, rows.st_ino, rows.st_size, rows.st_mtime_ns)


def write(disk: Disk, manifest: Manifest, ledger: Ledger, *, is_long: int = _LONG_BYTES) -> None:
    """Write a row for each image of what ``ledger`` calls made, as a whole.

    Of a file of ``is_long`` bytes or more it is noted which lines it tells of. Raises
    :class:`DiskTrouble`.
    """
    with trouble(f"reading {disk.root / METADATA}"):
        since = _since(disk, manifest, ledger)
    if since is None or not _is_merged(disk, manifest, since):
        disk.write_whole(METADATA, metadata_of(manifest, ledger.offsets_of_made()))
    with trouble(f"reading {disk.root / METADATA}"):
        told = _Told.now(disk, manifest)
    if told.size >= is_long:
        disk.write_whole(_NOTE, [orjson.dumps(astuple(told))])


class _Since(NamedTuple):
    """The lines since: where those of made tasks start, and the ids of all."""

    offsets: list[int]
    ids: set[str]


class _Line(msgspec.Struct, frozen=True):
    id: str
    orphaned: tuple[object, ...] = ()


def _since(disk: Disk, manifest: Manifest, ledger: Ledger) -> _Since | None:
    """The lines that the file does not tell of yet.

    None where that is unknown, where they are many, or where one moved files of others.
    """
    at = _told_up_to(disk, manifest)
    if at is None:
        return None
    since = _Since([], set())
    lines = lines_in(manifest.fd, Stretch(at, manifest.size))
    for line in islice(lines, _FEW_LINES):
        said = _decode(line)
        if said.orphaned:
            return None
        since.ids.add(said.id)
        if ledger.offset_of_made(said.id) == at:
            since.offsets.append(at)
        at += len(line)
    return since if at == manifest.size else None


def _told_up_to(disk: Disk, manifest: Manifest) -> int | None:
    """How much of the manifest the file tells of, None where nobody knows."""
    with suppress(ValueError, TypeError, FileNotFoundError):
        said = _Told(*orjson.loads(disk.read(_NOTE) or b""))
        now = _Told.now(disk, manifest)
        if 0 < said.n_bytes <= now.n_bytes and astuple(said)[2:] == astuple(now)[2:]:
            return said.n_bytes if said.manifest == now.manifest else None
    return None


def _is_merged(disk: Disk, manifest: Manifest, since: _Since) -> bool:
    """Whether the rows of these lines could be put among the others."""

    def old() -> Iterator[bytes]:
        fd = disk.open(METADATA, os.O_RDONLY)
        with os.fdopen(fd, "rb") as file:
            yield from file

    try:
        disk.write_whole(METADATA, with_more(old, manifest, *since))
    except ValueError:
        return False
    return True


_decode = msgspec.json.Decoder(_Line).decode
