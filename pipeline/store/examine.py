"""One image against what its line says: there, a file, its size, its SHA-256, its pixels."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.store.decoding import problem_of
from pipeline.store.durable import STATE
from pipeline.store.findings import Flaw, Kind
from pipeline.store.likeness import NO_WAITING, unlikeness
from pipeline.store.manifest import MANIFEST
from pipeline.store.metadata import METADATA
from pipeline.store.opening import JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline.store.durable import Disk

_T = TypeVar("_T")
_R = TypeVar("_R")

_N_THREADS = max(2, min(8, os.cpu_count() or 2))
_AHEAD = 4  # of work for each thread
_OURS = frozenset({MANIFEST, METADATA, JOB})


def flaw_of(disk: Disk, image: Mapping[str, Any], *, is_deep: bool = True) -> Flaw | None:
    """What is wrong with the file of an image, None if it is as its line says.

    ``is_deep`` False leaves its bytes alone: there, a file, the right size. No link is followed.
    """
    if not is_inside(image["file"]):
        return Flaw(kind=Kind.OUTSIDE, detail="no place for an image")
    try:
        flaw = unlikeness(disk, image["file"], image, is_deep=is_deep)
        return flaw or (_problem_of(disk, image) if is_deep else None)
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else str(error)
        return Flaw(kind=Kind.UNREADABLE, detail=told)


def is_inside(name: str) -> bool:
    """Whether a name is one that an image can have: inside the folder, and not one of our own."""
    parts = name.split("/")
    has_way = all(part not in {"", ".", ".."} and "\0" not in part for part in parts)
    return has_way and parts[0] != STATE and name not in _OURS


def in_threads(do: Callable[[_T], _R], jobs: Iterable[_T]) -> Iterator[tuple[_T, _R]]:
    """Each of ``jobs`` with what doing it gave, in their order; a few are done ahead."""
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="verify") as threads:
        doing: deque[tuple[_T, Future[_R]]] = deque()
        for job in jobs:
            doing.append((job, threads.submit(do, job)))
            if len(doing) >= _N_THREADS * _AHEAD:
                done, future = doing.popleft()
                yield done, future.result()
        for done, future in doing:
            yield done, future.result()


def _problem_of(disk: Disk, image: Mapping[str, Any]) -> Flaw | None:
    """What is wrong with its pixels."""
    with os.fdopen(disk.open(image["file"], NO_WAITING), "rb") as file:
        problem = problem_of(file, image["media_type"])
    return Flaw(kind=Kind.UNDECODABLE, detail=problem) if problem else None
