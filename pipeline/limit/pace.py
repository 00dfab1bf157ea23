"""When the next may go: an even pace, and a cooldown that everyone shares; ``now`` is an argument.

The pace is the generic cell rate algorithm (GCRA, ITU-T I.371): one number, the theoretical
arrival time, says when the next departure is due. A departure that is late by no more than the
slack does not shift those after it, so a late timer costs no throughput; nothing is saved up for
bursts.
"""

from __future__ import annotations

from math import inf

SLACK_S = 0.05
"""How late a departure may be without shifting the schedule."""

FIRST_COOLDOWN_S = 1.0
LONGEST_COOLDOWN_S = 60.0
ALONE_S = 1.0
"""How long the first request after a cooldown goes alone, at most: refusals come back fast."""


class Pace:
    """At most ``per_minute`` departures a minute, evenly spread; None sets no pace."""

    __slots__ = ("_due", "_interval_s")

    def __init__(self, per_minute: float | None) -> None:
        """Start with the first departure due at once."""
        self._interval_s = 60.0 / per_minute if per_minute else 0.0
        self._due = -inf

    def wait(self, now: float) -> float:
        """Seconds until the next departure is due, 0 when it is."""
        return max(0.0, self._due - now)

    def leave(self, now: float) -> None:
        """Take one departure out of the schedule."""
        is_on_time = now - self._due <= SLACK_S
        self._due = (self._due if is_on_time else now) + self._interval_s


class Cooldown:
    """Nobody before this instant: a server's hint, or our own guess while it gives none.

    Refusals of requests that left before the last one was known are the same news: they hold
    the gate, but do not lengthen the guess. The guess doubles while nothing gets through
    (1, 2, 4 … 60 s). When a cooldown is over one request goes alone, for as long as a refusal
    takes to come back; then the gate is open to all.
    """

    __slots__ = ("_alone_until", "_barren", "_known_at", "_probe_is_due", "_until")

    def __init__(self) -> None:
        """Start open."""
        self._until = -inf
        self._known_at = -inf
        self._alone_until = -inf
        self._barren = 0
        self._probe_is_due = False

    def wait(self, now: float) -> float:
        """Seconds until a request may leave."""
        return max(0.0, self._until - now, self._alone_until - now)

    def leave(self, now: float) -> None:
        """One leaves; the first after a cooldown goes alone."""
        if self._probe_is_due:
            self._probe_is_due = False
            self._alone_until = now + ALONE_S

    def refused(self, now: float, *, left_at: float, hint_s: float | None) -> None:
        """Too many requests: close for the hint, or for our guess where none was given."""
        if left_at >= self._known_at:
            self._barren += 1
            self._known_at = now
        guess_s = min(LONGEST_COOLDOWN_S, FIRST_COOLDOWN_S * 2.0 ** min(self._barren - 1, 16))
        self.hold(now, guess_s if hint_s is None else hint_s)

    def hold(self, now: float, wait_s: float) -> None:
        """Close for ``wait_s`` from now; a longer closure stays."""
        self._until = max(self._until, now + wait_s)
        self._probe_is_due = True

    def answered(self, *, left_at: float) -> None:
        """Something got through; if it left after the cooldown, the gate is open to all."""
        if left_at >= self._until:
            self._alone_until = -inf
            self._barren = 0
