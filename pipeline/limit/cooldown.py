"""Nobody before this instant: a server's hint, or our own guess while it gives none.

Refusals of requests that left before the last one was known are the same news: they may hold the
gate, but do not lengthen the guess. The guess doubles while nothing gets through. Most providers
count by the minute, so within the first minute it stays below ten seconds. When a cooldown is over
one request goes alone, for as long as a refusal takes to come back; then the gate is open to all.
"""

from __future__ import annotations

from math import inf

LONGEST_COOLDOWN_S = 60.0
LONGEST_ALONE_S = 1.0
"""How long the first request after a cooldown goes alone, at most: refusals come back fast."""

_LONGEST_AT_FIRST_S = 10.0
_AT_FIRST_S = 65.0
_SHORTEST_ALONE_S = 0.05


class Cooldown:
    """The gate everyone shares. ``since``: when the refusals began that nothing got through since.

    ``known_at``: when the last news was known.
    """

    __slots__ = (
        "_alone_s",
        "_alone_until",
        "_barren",
        "_probe_is_due",
        "known_at",
        "since",
        "until",
    )

    def __init__(self) -> None:
        """Start open."""
        self.until = -inf
        self.known_at = -inf
        self.since = -inf
        self._alone_until = -inf
        self._alone_s = LONGEST_ALONE_S
        self._barren = 0
        self._probe_is_due = False

    @property
    def is_barren(self) -> bool:
        """Whether nothing got through between the last two refusals."""
        return self._barren > 1

    @property
    def held_until(self) -> float:
        """Until when it held somebody last."""
        return max(self.until, self._alone_until)

    def wait(self, now: float) -> float:
        """Seconds until a request may leave."""
        return max(0.0, self.until - now, self._alone_until - now)

    def leave(self, now: float) -> None:
        """One leaves; the first after a cooldown goes alone, the second shows that it got in."""
        if self._probe_is_due:
            self._probe_is_due = False
            self._alone_until = now + self._alone_s
        else:
            self._barren = 0

    def is_news(self, left_at: float) -> bool:
        """Whether a refusal tells more than the last one did."""
        return left_at >= self.known_at

    def refused(self, now: float, *, left_at: float, hint_s: float | None, first_s: float) -> None:
        """Too many requests: close for the hint, or for our guess, ``first_s`` at first."""
        if self.is_news(left_at):
            self._barren += 1
            self.since = now if self._barren == 1 else self.since
            self.known_at = now
            self._alone_s = min(LONGEST_ALONE_S, max(_SHORTEST_ALONE_S, 3 * (now - left_at)))
        self.hold(now, self._guess_s(now, first_s) if hint_s is None else hint_s)

    def hold(self, now: float, wait_s: float) -> None:
        """Close for ``wait_s`` from now; a longer closure stays."""
        self.until = max(self.until, now + wait_s)
        self._probe_is_due = True

    def answered(self, *, left_at: float) -> None:
        """Something got through; if it left after the cooldown, the gate is open to all."""
        if left_at >= self.until:
            self._alone_until = -inf
            self._barren = 0

    def _guess_s(self, now: float, first_s: float) -> float:
        is_early = now - self.since < _AT_FIRST_S
        most_s = _LONGEST_AT_FIRST_S if is_early else LONGEST_COOLDOWN_S
        return min(most_s, first_s * 2.0 ** min(max(0, self._barren - 1), 32))
