"""One attempt on its way, as the journal follows it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pipeline.store.part import FilePart

if TYPE_CHECKING:
    from pipeline.core.model import Past
    from pipeline.store.attempts import Attempt
    from pipeline.store.durable import Disk
    from pipeline.store.journal import Journal


class Trail:
    """Fills the engine's port of the same name."""

    __slots__ = ("_attempt", "_disk", "_journal", "_numbers", "past")

    def __init__(self, attempt: Attempt, past: Past, disk: Disk, journal: Journal) -> None:
        """``attempt`` is in the journal already; ``past``: what its task met before."""
        self.past = past
        self._attempt = attempt
        self._disk = disk
        self._journal = journal
        self._numbers = itertools.count()

    def heard(self, request_id: str) -> None:
        """The head of the reply came; raises :class:`DiskTrouble`."""
        self._journal.heard(self._attempt, request_id)

    def part(self) -> FilePart:
        """A fresh part file for an image of the reply; raises :class:`DiskTrouble`."""
        name = f"{self._attempt.id}.{self._attempt.attempt}.{next(self._numbers)}"
        return FilePart(self._disk, name)

    def answered(self) -> None:
        """Its reply says what became of it; raises :class:`DiskTrouble`."""
        self._journal.answered(self._attempt)

    def back(
        self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool = False
    ) -> None:
        """It came back without images; raises :class:`DiskTrouble`."""
        self._journal.back(
            self._attempt,
            cost_usd=cost_usd,
            is_maybe_billed=is_maybe_billed,
            is_unpriced=is_unpriced,
        )
