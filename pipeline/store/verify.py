"""Looks an output folder over, line by line and file by file; changes nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

from pipeline.store import journal as journals
from pipeline.store.beside import (
    findings_in_journal,
    findings_in_state,
    flaw_of_metadata,
    is_whole,
    journal_of,
    lacks_metadata,
    remarks_on,
)
from pipeline.store.durable import Disk, trouble
from pipeline.store.findings import Finding, Kind, Verdict
from pipeline.store.ledger import Ledger
from pipeline.store.lines import findings_in, lines_in, opened
from pipeline.store.lock import holder_of
from pipeline.store.manifest import MANIFEST
from pipeline.store.metadata import METADATA, metadata_of
from pipeline.store.opening import JOB, find
from pipeline.store.pictures import Pictures
from pipeline.store.record import run_of
from pipeline.store.status import read_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pipeline.store.attempts import Result
    from pipeline.store.lines import Opened

    JobCheck: TypeAlias = Callable[[Path], str | None]
    """What is wrong with the frozen job of a folder, None if it can be read."""

_OF_A_CUT = frozenset({Kind.LEFTOVER, Kind.UNFINISHED, Kind.METADATA})
_CUT_OFF = "the last run was cut off: the next one finishes and clears what it had begun"
_NO_METADATA = f"{METADATA} is missing: the next run writes it"
_RUNNING = "a run is going on: what it has not finished yet is left out"


def verify(root: Path, *, job_check: JobCheck) -> Verdict:
    """Everything that is wrong with a folder; nothing is written, a run may be going on.

    Raises :class:`BadUsage` where there is no output folder, :class:`DiskTrouble`.
    """
    with trouble(f"reading {find(root)}"), closing(Disk(root)) as disk, opened(disk) as manifest:
        look = Look(disk, manifest)
        findings = [*look.at_records(), *look.at_files(), *look.at_job(job_check)]
        return look.verdict(findings)


class Look:
    """A look over a folder: first its records, then its files, then the verdict.

    ``ledger`` is the fold of the lines that can be trusted.
    """

    def __init__(self, disk: Disk, manifest: Opened, *, is_ours: bool = False) -> None:
        """Both are only read; ``is_ours``: we hold the folder's lock, so no run can be going on."""
        self.ledger = Ledger()
        self.pictures = Pictures(disk, manifest, self.ledger)
        self._disk = disk
        self._manifest = manifest
        self._n_maybe_billed = 0
        self._awaited: set[str] = set()  # files whose line was about to be written
        self._changing: set[str] = set()  # files that were about to be another task's
        self._is_ours = is_ours
        self._run = self._run_going_on()
        self._was_cut_off = not (is_ours or self._run) and holder_of(disk)[0] is not None

    def at_records(self) -> Iterator[Finding]:
        """The lines of the manifest, the journal, and what lies beside them."""
        # The journal first: what it tells of may be in the manifest by the time that is read.
        attempts, damaged = journal_of(self._disk)
        if not self._run and not self._disk.has(MANIFEST):
            yield Finding(kind=Kind.NO_MANIFEST, file=MANIFEST)
        for finding in findings_in(lines_in(self._manifest.fd, self.ledger)):
            if finding.kind is not Kind.TORN or not self._run:
                yield finding
        journals.settle(attempts, self.ledger, lambda at: run_of(*self._manifest.lines([at])))
        unanswered = attempts.maybe_billed(but=self._run)
        self._n_maybe_billed = self.ledger.maybe_billed + len(unanswered)
        if not self._run:
            yield from self._not_expected(findings_in_journal(self._disk, attempts, damaged))
            self._expect(attempts.results.values())
            yield from self._not_expected(findings_in_state(self._disk))

    def at_files(self, *, is_deep: bool = True) -> Iterator[Finding]:
        """Every image of every made task, then what nobody names, then metadata.jsonl."""
        self.pictures.look(is_deep=is_deep)
        self.pictures.excuse(self._changing)
        unnamed = [name for name in self.pictures.unnamed() if name not in self._awaited]
        if self._manifest.has_grown() or self._run_going_on():
            self._run = self._run or "one that has begun since"
        if self._run:
            self.pictures.forget(self._outdated())
        yield from self.pictures.findings()
        if not self._run:
            yield from (Finding(kind=Kind.UNNAMED, file=name) for name in unnamed)
            rows = metadata_of(self._manifest, self.ledger.offsets_of_made())
            if finding := flaw_of_metadata(self._disk, rows):
                yield from self._not_expected([finding])

    def at_job(self, job_check: JobCheck) -> Iterator[Finding]:
        """The frozen job, which only others can read."""
        if self.ledger.n_lines and (problem := job_check(self._disk.root)):
            yield Finding(kind=Kind.JOB, file=JOB, detail=problem)

    def verdict(self, findings: list[Finding]) -> Verdict:
        """What was found, all in all."""
        return Verdict(
            root=str(self._disk.root),
            findings=tuple(findings),
            remarks=(*self._remarks(), *remarks_on(self._disk)),
            n_made=self.ledger.counts().made,
            n_owed=self._n_owed(),
            n_checked=self.pictures.n_checked,
            n_sound=self.pictures.n_sound,
            n_bytes=self.pictures.n_bytes,
            n_maybe_billed=self._n_maybe_billed,
            is_running=self._run is not None,
        )

    def _n_owed(self) -> int:
        wanted = read_wanted(self._disk)
        counts = self.ledger.counts(without=wanted.unwanted if wanted else ())
        return max(0, wanted.n_tasks - counts.made - counts.failed) if wanted else 0

    def _expect(self, results: Iterable[Result]) -> None:
        """What results without a line leave behind, named or not yet: they are told as a whole."""
        for result in results:
            files = {file for _, file in result.names}
            self._awaited |= files
            if is_whole(self._disk, result):
                self._changing |= files.union(file for file, _ in result.asides)

    def _not_expected(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Less what a run that was cut off leaves behind: the next one sees to it unasked."""
        return (one for one in findings if not (self._was_cut_off and one.kind in _OF_A_CUT))

    def _remarks(self) -> Iterator[str]:
        if self._run:
            yield _RUNNING
        if self._was_cut_off:
            yield _CUT_OFF
        if not self._run and lacks_metadata(self._disk, self.ledger):
            yield _NO_METADATA

    def _run_going_on(self) -> str | None:
        holder, is_running = holder_of(self._disk)
        return holder.run if holder and is_running and not self._is_ours else None

    def _outdated(self) -> set[int]:
        """The lines with flaws that hold no more: a run has written others since."""
        now = Ledger()
        for _ in lines_in(self._manifest.fd, now):
            pass
        return set(self.pictures.wrong).difference(now.offsets_of_made())
