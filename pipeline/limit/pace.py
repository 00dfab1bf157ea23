"""When the next may go: an even pace; ``now`` is an argument.

The generic cell rate algorithm (GCRA, ITU-T I.371): one number, the theoretical arrival time, says
when the next departure is due. A departure that is late by no more than the slack does not shift
those after it, so a late timer costs no throughput; nothing is saved up for bursts.
"""

from __future__ import annotations

from math import inf

SLACK_S = 0.05
"""How late a departure may be without shifting the schedule."""


class Pace:
    """One schedule; how far apart departures are is said with each of them."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        """Start with the first departure due at once."""
        self.due = -inf

    def leave(self, now: float, interval_s: float, *, held_until: float = -inf) -> None:
        """Take one departure out of the schedule; the next is due ``interval_s`` after it.

        ``held_until``: until when something else than the schedule held it.
        """
        due = max(self.due, held_until)
        self.due = (due if now - due <= SLACK_S else now) + interval_s

    def shift(self, by_s: float) -> None:
        """What left takes up more, or less, of the schedule than was thought."""
        self.due += by_s
