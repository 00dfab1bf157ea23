"""What lies beside lines and images: the journal, parts, notes of ours, metadata.jsonl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from pipeline.store import journal as journals
from pipeline.store.attempts import Attempts
from pipeline.store.durable import ORPHANS, PARTS, STATE
from pipeline.store.findings import Finding, Kind
from pipeline.store.likeness import agrees
from pipeline.store.metadata import METADATA
from pipeline.store.opening import OWNER
from pipeline.store.status import PLAN, read_wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.store.attempts import Result
    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger


def journal_of(disk: Disk) -> tuple[Attempts, list[tuple[int, bytes]]]:
    """What a journal says that may be damaged, and its damaged lines with their numbers."""
    attempts, damaged = Attempts(), []
    lines = (disk.read(journals.JOURNAL) or b"").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line:
            break
        if not _is_noted(attempts, line):
            damaged.append((number, line))
    return attempts, damaged


def findings_in_journal(
    disk: Disk, attempts: Attempts, damaged: Iterable[tuple[int, bytes]]
) -> Iterator[Finding]:
    """``attempts`` is what no line of the manifest accounts for."""
    for number, _ in damaged:
        detail = f"line {number} is none of ours"
        yield Finding(kind=Kind.DAMAGED_JOURNAL, file=journals.JOURNAL, detail=detail)
    for result in attempts.results.values():
        yield _unfinished(disk, result)
    claimed = {part for result in attempts.results.values() for part in result.parts}
    for name in disk.names(PARTS):
        if f"{PARTS}/{name}" not in claimed:
            detail = "of a run that was cut off"
            yield Finding(kind=Kind.LEFTOVER, file=f"{PARTS}/{name}", detail=detail)


def is_whole(disk: Disk, result: Result) -> bool:
    """Whether every image of a result is there, named or as a part."""
    images = zip(result.parts, result.record["images"], strict=True)
    return all(agrees(disk, part, one) or agrees(disk, one["file"], one) for part, one in images)


def findings_in_state(disk: Disk) -> Iterator[Finding]:
    """What is left half-written, or can no longer be read, of what we note for ourselves."""
    for name in disk.names(STATE):
        if name.endswith(".tmp"):
            yield Finding(kind=Kind.LEFTOVER, file=f"{STATE}/{name}", detail="half-written")
    for name in unreadable_in(disk):
        yield Finding(kind=Kind.DAMAGED_STATE, file=name, detail="the next run writes it anew")


def unreadable_in(disk: Disk) -> Iterator[str]:
    """Notes of ours that can no longer be read."""
    if disk.has(PLAN) and read_wanted(disk) is None:
        yield PLAN
    if disk.has(OWNER) and not _is_object(disk.read(OWNER) or b""):
        yield OWNER


def remarks_on(disk: Disk) -> Iterator[str]:
    """What is not wrong, but good to know."""
    n_orphans = sum(1 for _ in disk.files(ORPHANS))
    if n_orphans:
        yield f"what no task names lies in {ORPHANS}/ ({n_orphans}): look at it, then delete it"
    n_broken = sum(name.endswith(".broken") for name in disk.names(STATE))
    if n_broken:
        yield f"copies of what was damaged lie in {STATE}/, as *.broken ({n_broken})"


def flaw_of_metadata(disk: Disk, rows: Iterable[bytes]) -> Finding | None:
    """What is wrong with ``metadata.jsonl``, which should hold exactly ``rows`` where it is."""
    try:
        fd = disk.open(METADATA, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        if all(file.read(len(row)) == row for row in rows) and not file.read(1):
            return None
    return Finding(kind=Kind.METADATA, file=METADATA, detail="not what the manifest says")


def lacks_metadata(disk: Disk, ledger: Ledger) -> bool:
    """Whether images are made and ``metadata.jsonl`` is not there: a run that stops leaves none."""
    return ledger.counts().made > 0 and not disk.has(METADATA)


def _is_noted(attempts: Attempts, line: bytes) -> bool:
    """Whether ``attempts`` could take the line in, as one that makes sense."""
    try:
        attempts.note(line)
    except ValueError:
        return False
    return True


def _unfinished(disk: Disk, result: Result) -> Finding:
    detail = (
        "its images are whole and wait to be taken over"
        if is_whole(disk, result)
        else "not all of its images are there"
    )
    task_id, _ = result.key
    return Finding(kind=Kind.UNFINISHED, file=journals.JOURNAL, id=task_id, detail=detail)


def _is_object(said: bytes) -> bool:
    try:
        return isinstance(orjson.loads(said), dict)
    except ValueError:
        return False
