"""Tells a limit of requests in flight from a rate: it refuses from one number on, and never below.

A refusal at a number in flight that nobody got away with yet makes it a suspect. Three in a row at
the same number, give or take one, are proof enough; one that was let in at that number clears it.
Two refusals below what was found so are proof that it was none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.core.admission import Ticket

PROOF, DISPROOF = 3, 2
UNREFUSED_S = 1.0
"""Refusals come back fast: what is out for longer was let in."""

_FORGOTTEN_S = 120.0
_SPEAKS_OF_IT = re.compile(r"concurren|in.flight|simultaneous|parallel|at once", re.IGNORECASE)


class Crowd:
    """Gathers the evidence."""

    __slots__ = ("_most", "_most_at", "_n_below", "_n_refusals", "_suspect", "_untried")

    def __init__(self) -> None:
        """Nothing is suspected."""
        self._suspect = 0
        self._n_refusals = 0
        self._n_below: int | None = None
        self._most, self._most_at = 0, 0.0
        self._untried: Ticket | None = None

    @property
    def is_first(self) -> bool:
        """Whether the last refusal made somebody a suspect."""
        return self._n_refusals == 1

    @property
    def is_proven(self) -> bool:
        """Whether the last refusal was proof enough, none of them having said a word."""
        return self._n_refusals == PROOF

    @property
    def is_disproven(self) -> bool:
        """Whether the last refusal showed that what was found without a word is no limit."""
        return self._n_below == DISPROOF

    def leave(self, ticket: Ticket) -> None:
        """One leaves; a number in flight that was never let in before is put to the test."""
        if self._untried and ticket.left_at - self._untried.left_at > UNREFUSED_S:
            self._most, self._most_at = self._untried.n_in_flight, self._untried.left_at
            self._untried = None
        if self._untried is None and (
            ticket.n_in_flight > self._most or ticket.left_at - self._most_at > _FORGOTTEN_S
        ):
            self._untried = ticket

    def refused(self, ticket: Ticket, label: str | None) -> int | None:
        """How many may be in flight, where this refusal shows it; None where it does not.

        ``label``: the words of the refusal.
        """
        n = ticket.n_in_flight
        if self._untried and self._untried.number >= ticket.number:
            self._untried = None
        if label and _SPEAKS_OF_IT.search(label):
            self._suspect, self._n_refusals, self._n_below = 0, 0, None
            return max(1, n - 1)
        if self._n_below is not None:
            self._n_below += 1
        if n <= self._most or n < 2:
            self._suspect, self._n_refusals = 0, 0
            return None
        if abs(n - self._suspect) > 1 or self.is_proven:
            self._suspect, self._n_refusals = n, 0
        self._n_refusals += 1
        self._suspect = min(self._suspect, n)
        if not self.is_proven:
            return None
        self._n_below = 0
        return max(self._most, self._suspect - 1)
