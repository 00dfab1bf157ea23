"""The write-ahead record: what was sent, before it is sent; what came, before it has a name."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.attempts import (
    Attempt,
    Attempts,
    answered_line,
    back_line,
    heard_line,
    result_line,
    send_line,
)
from pipeline.store.durable import STATE, trouble
from pipeline.store.log import Log, pieces
from pipeline.store.replay import damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.store.attempts import Result
    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger

JOURNAL = f"{STATE}/journal.jsonl"

_LONGEST_BYTES = 4 << 20


class Journal:
    """The journal of a folder we hold the lock of. Its length is bounded: it is written anew.

    ``attempts`` is what it says. The event loop's thread and one that keeps images may use it at
    the same time. Everything raises :class:`DiskTrouble`.
    """

    def __init__(self, disk: Disk, attempts: Attempts) -> None:
        """Write it anew, with only what ``attempts`` still has to tell."""
        self.attempts = attempts
        self._disk = disk
        self._writing = threading.Lock()
        with _new(disk, attempts.lines()) as self._log:
            self._log.rename(JOURNAL)
        self._log.anchor_name()
        self._longest = max(_LONGEST_BYTES, 2 * self._log.size)

    def send(self, attempt: Attempt) -> None:
        """Note an attempt before it leaves."""
        with self._writing:
            self._log.append([send_line(attempt)])
            self.attempts.send(attempt)

    def heard(self, attempt: Attempt, request_id: str) -> None:
        """Note under which id the provider knows it, as soon as its reply tells."""
        with self._writing:
            attempt.request_id = request_id
            self._log.append([heard_line(attempt)])

    def answered(self, attempt: Attempt) -> None:
        """Note that its reply said what became of it, before it is back."""
        with self._writing:
            attempt.is_answered = True
            self._log.append([answered_line(attempt)])

    def back(
        self,
        attempt: Attempt,
        *,
        cost_usd: float | None,
        is_maybe_billed: bool,
        is_unpriced: bool = False,
    ) -> None:
        """Note how it ended without images."""
        with self._writing:
            attempt.cost_usd, attempt.is_maybe_billed = cost_usd, is_maybe_billed
            attempt.is_unpriced, attempt.is_back = is_unpriced, True
            self._log.append([back_line(attempt)])
            self.attempts.forget_answered(attempt.id)

    def results(self, results: Sequence[Result]) -> None:
        """Note records whose images lie complete in their parts; lasts once it returns."""
        with self._writing:
            self._log.append(map(result_line, results))
            self.attempts.results.update((result.key, result) for result in results)
        self._log.sync()

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """The manifest tells of these tasks' runs now; what grew too long is written anew."""
        with self._writing:
            for task_id, run in keys:
                self.attempts.settle(task_id, run)
        if self._log.size > self._longest:
            with suppress(DiskTrouble):  # then it grows on; what must fail fails elsewhere
                self._renew()

    def close(self) -> None:
        """Leave only what no line of the manifest tells of."""
        with suppress(DiskTrouble):  # the next run finds the long form and does the same
            if not self._disk.is_failing:
                self._renew()
        self._log.close()

    def _renew(self) -> None:
        """Put the shortest journal that says the same in the place of the one that is there.

        Most of it is written and synced while others go on; only what they add meanwhile is copied
        under the lock.
        """
        with self._writing:
            lines, mark = list(self.attempts.lines()), self._log.size
        with _new(self._disk, lines) as log:
            with self._writing:
                log.append(filter(None, [b"".join(pieces(self._log.fd, mark))]))
                log.rename(JOURNAL)
                old, self._log = self._log, log
            self._longest = max(_LONGEST_BYTES, 2 * log.size)
        old.close()
        log.anchor_name()


@contextmanager
def _new(disk: Disk, lines: Iterable[bytes]) -> Iterator[Log]:
    """A journal that lasts, under a name for the time being; discarded where that fails."""
    with ExitStack() as undo:
        log = Log(disk, f"{JOURNAL}.tmp")
        undo.callback(log.discard)
        log.append(lines)
        log.sync()
        yield log
        undo.pop_all()


def read(disk: Disk) -> tuple[Attempts, bytes]:
    """What the journal of a folder says, and its torn end where the last line is none.

    Raises :class:`DiskTrouble` where it is damaged before its end.
    """
    with trouble(f"reading {disk.root / JOURNAL}"):
        *lines, rest = (disk.read(JOURNAL) or b"").split(b"\n")
    if rest:
        lines.append(rest)
    attempts = Attempts()
    for number, line in enumerate(lines, start=1):
        try:
            attempts.note(line)
        except ValueError:
            if number == len(lines):
                return attempts, line
            raise damage(disk.root / JOURNAL, number, folder=disk.root) from None
    return attempts, b""


def settle(attempts: Attempts, ledger: Ledger, run_at: Callable[[int], str]) -> None:
    """Take out of ``attempts`` what manifest lines tell of.

    ``run_at`` reads the run of the line at an offset.
    """
    for task_id in {*attempts.by_task, *(task_id for task_id, _ in attempts.results)}:
        offset = ledger.offset_of(task_id)
        if offset is not None:
            attempts.settle(task_id, run_at(offset))
