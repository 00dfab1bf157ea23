"""Makes images and lines agree again: put back what is found, set aside the rest, owe it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Why
from pipeline.store.durable import ORPHANS, Disk
from pipeline.store.findings import Kind
from pipeline.store.likeness import agrees
from pipeline.store.record import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.store.findings import Flaw
    from pipeline.store.manifest import Manifest
    from pipeline.store.pictures import Pictures

_IN_THE_WAY = frozenset({Kind.WRONG_SIZE, Kind.WRONG_CONTENT, Kind.UNDECODABLE, Kind.NOT_A_FILE})
_ELSEWHERE = frozenset({Kind.MISSING, Kind.WRONG_SIZE, Kind.WRONG_CONTENT, Kind.NOT_A_FILE})
"""Flaws whose image may lie whole under another name."""

_OUT_OF_REACH = frozenset({Kind.UNREADABLE, Kind.BLOCKED})
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who mends: the run's name for the lines it writes, and when, UTC, ISO 8601."""

    run: str
    at: str


class Restorer:
    """Mends what :class:`Pictures` found. Nothing is deleted: it goes to the orphans.

    A task is made as a whole: where one of its images is lost, the others go there too, and a line
    says that it is owed again. Raises OSError and :class:`DiskTrouble`.
    """

    def __init__(
        self, disk: Disk, manifest: Manifest, pictures: Pictures, signature: Signature
    ) -> None:
        """We hold the folder's lock; ``pictures`` has been looked at."""
        self._disk = disk
        self._manifest = manifest
        self._pictures = pictures
        self._signature = signature
        self._moved: dict[str, str] = {}

    def restore(self) -> int:
        """Mend all of it; returns how many tasks are owed again."""
        wrong = {
            offset: flaws
            for offset, flaws in self._pictures.wrong.items()
            if _OUT_OF_REACH.isdisjoint(flaw.kind for flaw in flaws.values())
        }
        for flaws in wrong.values():
            self._set_aside(file for file, flaw in flaws.items() if flaw.kind in _IN_THE_WAY)
        self._set_aside(list(self._pictures.unnamed()))
        lost = _Orphans(self._disk) if wrong else None
        owed = [at for at, flaws in wrong.items() if not (lost and self._put_back(at, flaws, lost))]
        for first in range(0, len(owed), _AT_ONCE):
            some = owed[first : first + _AT_ONCE]
            self._manifest.append([self._owed_again(at, wrong[at]) for at in some])
        return len(owed)

    def _set_aside(self, files: Iterable[str]) -> None:
        for file in files:
            if self._disk.has(file) and not self._holds_others(file):
                self._moved[file] = self._disk.set_aside(file)

    def _holds_others(self, name: str) -> bool:
        """Whether it is a directory in which named images lie."""
        try:
            return any(map(self._pictures.is_named, self._disk.files(name)))
        except OSError:  # no directory
            return False

    def _put_back(self, offset: int, flaws: Mapping[str, Flaw], orphans: _Orphans) -> bool:
        """Whether all that the task lacks was found among the orphans, and has its name again."""
        moves = []
        for image in self._pictures.record_at(offset)["images"]:
            flaw = flaws.get(image["file"])
            if flaw is None:
                continue
            found = orphans.take(image) if flaw.kind in _ELSEWHERE else None
            if found is None or self._disk.has(image["file"]):
                return False
            moves.append((found, image["file"]))
        for orphan, file in moves:
            self._disk.move(orphan, file)
        return True

    def _owed_again(self, offset: int, flaws: Mapping[str, Flaw]) -> bytes:
        record = self._pictures.record_at(offset)
        names = [image["file"] for image in record["images"]]
        self._set_aside(name for name in names if name not in flaws)
        reasons = (f"{name} is {flaw.kind.replace('_', ' ')}" for name, flaw in flaws.items())
        orphaned = [
            {"file": name, "moved_to": self._moved[name], "id": record["id"]}
            for name in names
            if name in self._moved
        ]
        return line_of(record | self._failure(f"verify: {', '.join(reasons)}", orphaned))

    def _failure(self, detail: str, orphaned: list[dict[str, str]]) -> dict[str, Any]:
        """What the line of a task says that is owed again; all that was asked stays as it was."""
        return {
            "status": "failed",
            "why": str(Why.BAD_IMAGE),
            "served_model": None,
            "images": [],
            "text": None,
            "detail": detail,
            "attempts": 0,
            "request_id": None,
            "usage": {},
            "cost_usd": None,
            "started_at": self._signature.at,
            "finished_at": self._signature.at,
            "latency_s": 0.0,
            "run": self._signature.run,
            "maybe_billed": 0,
            "unpriced": 0,
            "answers": 0,  # so that a provider who knows the request gives its image again
            "orphaned": orphaned,
            "warnings": [],
        }


class _Orphans:
    """What lies among the orphans, by size: bytes that are paid for are not bought again."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._by_size: dict[int, list[str]] = {}
        for name in disk.files(ORPHANS):
            if n_bytes := _size_of(disk, name):
                self._by_size.setdefault(n_bytes, []).append(name)

    def take(self, image: Mapping[str, Any]) -> str | None:
        """The orphan that is this image, given out once; None where there is none."""
        for name in self._by_size.get(image["bytes"], ()):
            if agrees(self._disk, name, image):
                self._by_size[image["bytes"]].remove(name)
                return name
        return None


def _size_of(disk: Disk, name: str) -> int:
    """0 for a link, a pipe, whatever cannot be opened."""
    try:
        fd = disk.open(name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)
