"""Group commit: part, result, name, line; outcomes that come while a sync runs share the next one.

The order is the promise. A part's bytes are synced first, several at a time. Then, one batch after
the other: the results go into the journal, the parts get their names, the directories are synced,
the lines go into the manifest. Only then is an outcome acknowledged.

Where nothing is synced there is no sync to share, and handing an outcome to a thread costs more
than keeping it: it is kept at once, in the caller's thread, unless the disk turns out to be slow or
there is something to look up first.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Keep, Made, Receipt
from pipeline.errors import DiskTrouble
from pipeline.store.attempts import Result
from pipeline.store.claims import Taken
from pipeline.store.durable import orphan_of
from pipeline.store.part import FilePart
from pipeline.store.publication import published
from pipeline.store.record import line_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.core.model import Image, Outcome
    from pipeline.store.claims import Claims
    from pipeline.store.durable import Disk
    from pipeline.store.journal import Journal
    from pipeline.store.manifest import Manifest
    from pipeline.store.pasts import Pasts

MOST_AT_ONCE = 32
_N_SEALERS = 4
SLOW_S = 0.02
"""An outcome that took this long to keep shows a slow disk, a network's perhaps."""
N_AFTER_SLOW = 256
"""So many outcomes are then kept in a thread before the disk gets another chance."""
_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "image/svg+xml": "svg",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a commit writes to, all of one folder; ``run`` is the name that goes into the lines."""

    disk: Disk
    journal: Journal
    manifest: Manifest
    claims: Claims
    pasts: Pasts
    run: str


class Committer:
    """Makes outcomes last, mostly in threads; the order in which they are given is not kept."""

    def __init__(self, books: Books) -> None:
        """``books`` are written by nobody else meanwhile, but for the journal's other lines."""
        self._books = books
        self._waiting: deque[_Entry] = deque()
        self._n_for_threads = 0
        self._committing = threading.Lock()
        self._sealers = ThreadPoolExecutor(_N_SEALERS, thread_name_prefix="seal")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="keep")

    def submit(self, outcome: Outcome) -> Future[Receipt]:
        """Keep an outcome: of several images those its task keeps, the others are discarded.

        The receipt comes once it lasts, where nothing is synced mostly at once; else
        :class:`DiskTrouble` does.
        """
        entry = _Entry(outcome=_only_kept(outcome))
        if self._books.disk.is_synced and entry.parts:
            self._sealers.submit(self._seal, entry)
        elif self._books.disk.is_synced or not self._is_done_here(entry):
            self._enqueue(entry)
        return entry.kept

    def close(self) -> None:
        """Finish what was given."""
        self._sealers.shutdown()
        self._keeper.shutdown()

    def _is_done_here(self, entry: _Entry) -> bool:
        """Commit it in this thread; False: it is one for the other, and nothing is done yet."""
        if self._n_for_threads:
            self._n_for_threads -= 1
            return False
        if self._waiting or not self._committing.acquire(blocking=False):
            return False
        began = monotonic()
        try:
            self._commit([entry], is_hasty=True)
        except Taken:
            return False
        except DiskTrouble as trouble:
            if not entry.kept.done():
                entry.kept.set_exception(trouble)
        finally:
            self._committing.release()
        if monotonic() - began > SLOW_S:
            self._n_for_threads = N_AFTER_SLOW
        return True

    def _seal(self, entry: _Entry) -> None:
        with _told([entry]):
            entry.seal()
            self._enqueue(entry)

    def _enqueue(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._keeper.submit(self._commit_waiting)

    def _commit_waiting(self) -> None:
        """Commit what waits; nothing, where an earlier turn has done it already."""
        with self._committing:
            n = min(len(self._waiting), MOST_AT_ONCE)
            batch = [self._waiting.popleft() for _ in range(n)]
            if batch:
                with _told(batch):
                    self._commit(batch)

    def _commit(self, batch: Sequence[_Entry], *, is_hasty: bool = False) -> None:
        books = self._books
        try:
            named = [entry for entry in batch if self._has_name(entry, is_hasty=is_hasty)]
            results = [entry.result for entry in named if entry.parts]
            if results:
                self._journal(named, results)
            with published(books.disk, results):
                books.manifest.append([line_of(entry.record) for entry in named])
        finally:
            for entry in batch:
                books.claims.settle(entry.outcome.task)
        books.journal.settle(entry.result.key for entry in named)
        for entry in named:
            entry.kept.set_result(entry.receipt)

    def _has_name(self, entry: _Entry, *, is_hasty: bool) -> bool:
        """Whether names were found for its images; where not, it alone is told."""
        try:
            entry.seal()
            self._decide(entry, is_hasty=is_hasty)
        except DiskTrouble as trouble:
            entry.kept.set_exception(trouble)
            self._spare(entry)
            return False
        return True

    def _journal(self, named: Sequence[_Entry], results: Sequence[Result]) -> None:
        try:
            self._books.journal.results(results)
        except DiskTrouble:
            if not self._books.disk.is_failing:  # else the journal may tell of the parts by now
                for entry in named:
                    self._spare(entry)
            raise

    def _spare(self, entry: _Entry) -> None:
        """No record tells of its parts, and they are paid for: out of the next start's way."""
        with suppress(OSError):
            for part in entry.parts:
                self._books.disk.set_aside(part.name)

    def _decide(self, entry: _Entry, *, is_hasty: bool) -> None:
        """What its images will be called, what has to make way, and what its line will say."""
        files, orphaned, remarks = [], [], []
        for number, image in enumerate(_images_of(entry.outcome)):
            extension = _EXTENSIONS.get(image.media_type, "bin")
            task = entry.outcome.task
            claim = self._books.claims.claim(task, number, extension, is_hasty=is_hasty)
            files.append(claim.name)
            for file in claim.in_the_way:
                aside = {"file": file, "moved_to": orphan_of(file), "id": claim.displaced}
                orphaned.append(aside)
            remarks += [claim.remark] if claim.remark else []
        entry.record = record_of(entry.outcome, files=files, run=self._books.run)
        entry.record["answers"] += self._books.pasts.of(entry.outcome.task.id).n_answers
        entry.record["orphaned"] = orphaned
        entry.record["warnings"] += remarks


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """An outcome on its way; ``record`` is its line once that is decided."""

    outcome: Outcome
    kept: Future[Receipt] = field(default_factory=Future)
    record: dict[str, Any] = field(default_factory=dict)
    is_sealed: bool = False

    @property
    def parts(self) -> list[FilePart]:
        return [_ours(image) for image in _images_of(self.outcome)]

    @property
    def result(self) -> Result:
        return Result(record=self.record, parts=tuple(part.name for part in self.parts))

    @property
    def receipt(self) -> Receipt:
        return Receipt(outcome=_with_files(self.outcome, self.record), record=self.record)

    def seal(self) -> None:
        """Make its parts last; harmless the second time."""
        if not self.is_sealed:
            self.is_sealed = True
            for part in self.parts:
                part.seal()


@contextmanager
def _told(batch: Sequence[_Entry]) -> Iterator[None]:
    """Whatever goes wrong in here is told to all who wait."""
    try:
        yield
    finally:
        if error := sys.exception():
            for entry in batch:
                if not entry.kept.done():
                    entry.kept.set_exception(error)


def _only_kept(outcome: Outcome) -> Outcome:
    """The outcome with the images its task keeps, their parts ours; the others are discarded."""
    if not isinstance(outcome, Made):
        return outcome
    kept = {
        Keep.ALL: outcome.images,
        Keep.FIRST: outcome.images[:1],
        Keep.LAST: outcome.images[-1:],
    }[outcome.task.keep]
    for image in outcome.images:
        if image in kept:
            _ours(image).hand_over()
        else:
            image.part.discard()
    return replace(outcome, images=kept)


def _with_files(outcome: Outcome, record: Mapping[str, Any]) -> Outcome:
    if not isinstance(outcome, Made):
        return outcome
    kept = zip(outcome.images, record["images"], strict=True)
    return replace(outcome, images=tuple(replace(i, file=said["file"]) for i, said in kept))


def _images_of(outcome: Outcome) -> tuple[Image, ...]:
    return outcome.images if isinstance(outcome, Made) else ()


def _ours(image: Image) -> FilePart:
    if not isinstance(image.part, FilePart):
        raise TypeError("an image can be kept by the store that gave out its part, by no other")
    return image.part
