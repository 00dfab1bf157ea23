"""Leave to send: so many at once, so many a minute, and nobody during a cooldown.

One gate stands before one endpoint and key. The three rules are asked together, so that a
request leaves when all of them agree; binding the leave to a task is the pool's business, which
does so as late as it can.
"""

from __future__ import annotations

from math import inf

from pipeline.core.ports import Ending, HeldBy, Hold, Ticket
from pipeline.limit.pace import Cooldown, Pace


class Gate:
    """Implements the Gate port: ``wait``, ``leave``, ``back``."""

    def __init__(self, *, concurrency: int, requests_per_minute: float | None) -> None:
        """``concurrency``: the most in flight; ``requests_per_minute``: None sets no pace."""
        self._window = concurrency
        self._per_minute = requests_per_minute
        self._pace = Pace(requests_per_minute)
        self._cooldown = Cooldown()
        self._n_left = 0
        self._n_in_flight = 0

    def wait(self, now: float) -> float:
        """Seconds until the next may leave: 0 = go, inf = only after one comes back."""
        if self._n_in_flight >= self._window:
            return inf
        return max(self._cooldown.wait(now), self._pace.wait(now))

    def holding(self, now: float) -> Hold:
        """What holds the next one back: the first of the three that does."""
        by, until_s = HeldBy.NOTHING, None
        if self._n_in_flight >= self._window:
            by = HeldBy.WINDOW
        elif wait_s := self._cooldown.wait(now):
            by, until_s = HeldBy.GATE, wait_s
        elif wait_s := self._pace.wait(now):
            by, until_s = HeldBy.PACE, wait_s
        return Hold(by=by, until_s=until_s, per_minute=self._per_minute, window=self._window)

    def leave(self, now: float) -> Ticket:
        """One leaves now; only after ``wait(now)`` said 0."""
        self._pace.leave(now)
        self._cooldown.leave(now)
        self._n_left += 1
        self._n_in_flight += 1
        return Ticket(number=self._n_left, left_at=now)

    def back(
        self, ticket: Ticket, now: float, what: Ending, *, retry_after_s: float | None = None
    ) -> None:
        """One came back. A hint closes the gate for everyone, whatever it came with."""
        self._n_in_flight -= 1
        if what is Ending.REFUSED:
            self._cooldown.refused(now, left_at=ticket.left_at, hint_s=retry_after_s)
        elif retry_after_s:
            self._cooldown.hold(now, retry_after_s)
        else:
            self._cooldown.answered(left_at=ticket.left_at)
