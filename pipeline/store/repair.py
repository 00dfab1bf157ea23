"""Mends an output folder: every paid image stays, what cannot be mended is owed again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.store import journal as journals
from pipeline.store import lock, opening, recovery
from pipeline.store.beside import (
    flaw_of_metadata,
    is_whole,
    journal_of,
    lacks_metadata,
    unreadable_in,
)
from pipeline.store.durable import PARTS, Disk, trouble
from pipeline.store.examine import flaw_of
from pipeline.store.findings import Kind
from pipeline.store.ledger import Ledger
from pipeline.store.lines import lines_in, opened
from pipeline.store.log import set_aside
from pipeline.store.manifest import MANIFEST, Manifest
from pipeline.store.metadata import METADATA, metadata_of
from pipeline.store.record import run_of
from pipeline.store.restore import Restorer
from pipeline.store.salvage import salvaged_from
from pipeline.store.verify import Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.store.durable import Calls
    from pipeline.store.findings import Finding, Verdict
    from pipeline.store.lines import Line
    from pipeline.store.restore import Signature
    from pipeline.store.salvage import Salvaged
    from pipeline.store.verify import JobCheck


def repair(
    root: Path,
    signature: Signature,
    *,
    job_check: JobCheck,
    wait_s: float = 0.0,
    calls: Calls | None = None,
) -> Verdict:
    """Mend a folder and tell what was wrong, and what of it still is.

    ``wait_s``: how long to wait for a run that is going on.

    It can be done twice, and be killed at any point. Raises :class:`BadUsage` where there is no
    output folder, :class:`Locked` while a run is going on, :class:`DiskTrouble`.
    """
    with trouble(f"repairing {opening.find(root)}"), closing(Disk(root, calls=calls)) as disk:
        opening.make_state(disk)
        held = lock.take(disk, run=signature.run, wait_s=wait_s)
        is_done = False
        try:
            verdict = _repaired(disk, signature, job_check)
            is_done = True
        finally:
            held.release(is_clean=is_done)
        return verdict


def _repaired(disk: Disk, signature: Signature, job_check: JobCheck) -> Verdict:
    with opened(disk) as manifest:
        found = list(Look(disk, manifest, is_ours=True).at_records())
    _mend_records(disk)
    with opened(disk) as manifest:
        look = Look(disk, manifest, is_ours=True)
        found += [*look.at_records(), *look.at_files(), *look.at_job(job_check)]
        n_owed = _mend_files(disk, look, signature)
    with opened(disk) as manifest:
        again = Look(disk, manifest, is_ours=True)
        left = [*again.at_records(), *again.at_files(is_deep=False), *again.at_job(job_check)]
        after = again.verdict(left)
    return replace(
        after,
        findings=tuple(_told(found, left, again.ledger)),
        n_checked=look.pictures.n_checked,
        n_sound=look.pictures.n_sound,
        n_bytes=look.pictures.n_bytes,
        n_owed_again=n_owed,
    )


def _told(found: Iterable[Finding], left: Iterable[Finding], ledger: Ledger) -> Iterator[Finding]:
    """What was found, each with whether it is mended, then what only shows now."""
    still = {one.key: one for one in left}
    for one in found:
        is_owed = one.id is not None and ledger.owes(one.id)
        yield replace(one, is_repaired=one.key not in still, is_owed_again=is_owed)
        still.pop(one.key, None)
    yield from still.values()


def _mend_records(disk: Disk) -> None:
    """Mend the journal and the manifest, then finish what a run that was cut off had begun."""
    attempts, damaged = journal_of(disk)
    if damaged:
        set_aside(disk, journals.JOURNAL, [line + b"\n" for _, line in damaged])
        journals.Journal(disk, attempts).close()
    _mend_lines(disk)
    ledger = Ledger()
    with closing(Manifest(disk, ledger)) as manifest:
        _keep_parts(disk, manifest, ledger)
        attempts, _ = recovery.recover(disk, manifest, ledger)
    journals.Journal(disk, attempts).close()
    for name in unreadable_in(disk):
        set_aside(disk, name, [disk.read(name) or b""])
        disk.remove(name)
    if owner := opening.owner_of(disk):
        opening.claim(disk, owner)


def _mend_lines(disk: Disk) -> None:
    """Write the manifest anew without what is damaged in it, of which a copy is kept.

    A torn end alone is left to whoever opens the manifest next, if no record can be read in it.
    """
    with opened(disk) as manifest:
        n_lines, damaged = 0, []
        for line in lines_in(manifest.fd, Ledger()):
            n_lines = line.number
            damaged += [line] if line.kind else []
        if not damaged or (_is_torn_end(damaged, n_lines) and not any(_kept(disk, damaged[0]))):
            return
        set_aside(disk, MANIFEST, (line.text + b"\n" for line in damaged))
        disk.write_whole(MANIFEST, _mended(disk, lines_in(manifest.fd, Ledger())))


def _is_torn_end(damaged: Sequence[Line], n_lines: int) -> bool:
    first = damaged[0]
    return first.number == n_lines and first.kind is Kind.DAMAGED_LINE


def _mended(disk: Disk, lines: Iterable[Line]) -> Iterator[bytes]:
    for line in lines:
        if line.kind:
            yield from _kept(disk, line)
        else:
            yield line.text + b"\n"


def _kept(disk: Disk, line: Line) -> Iterator[bytes]:
    """What of a damaged line goes on: a record that is whole, or whose images are there."""
    if line.kind is Kind.DAMAGED_LINE:
        for one in salvaged_from(line.text):
            if one.is_whole or _is_proven(disk, one):
                yield one.line


def _is_proven(disk: Disk, salvaged: Salvaged) -> bool:
    images = salvaged.record["images"]
    return bool(images) and not any(flaw_of(disk, image) for image in images)


def _keep_parts(disk: Disk, manifest: Manifest, ledger: Ledger) -> None:
    """Move parts that no one will finish to the orphans: they may hold what was paid for."""
    attempts, _ = journals.read(disk)
    journals.settle(attempts, ledger, lambda at: run_of(*manifest.lines([at])))
    whole = (result for result in attempts.results.values() if is_whole(disk, result))
    needed = {part for result in whole for part in result.parts}
    for part in (f"{PARTS}/{name}" for name in disk.names(PARTS)):
        if part not in needed:
            disk.set_aside(part)


def _mend_files(disk: Disk, look: Look, signature: Signature) -> int:
    """Mend what was found among the images, then ``metadata.jsonl``; returns what is owed again."""
    ledger = Ledger()
    with closing(Manifest(disk, ledger)) as manifest:
        n_owed = Restorer(disk, manifest, look.pictures, signature).restore()
        rows = metadata_of(manifest, ledger.offsets_of_made())
        if lacks_metadata(disk, ledger) or flaw_of_metadata(disk, rows):
            rows = metadata_of(manifest, ledger.offsets_of_made())
            disk.write_whole(METADATA, rows)
    return n_owed
