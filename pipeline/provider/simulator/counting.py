"""How a provider counts a rate: a bucket of tokens, the minute of the clock, the last minute.

Times are seconds since the first request; a ``share`` is what holds of the rate just then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from pipeline.core.scenario import Counting

if TYPE_CHECKING:
    from pipeline.core.scenario import Endpoint

_EPSILON = 1e-9


class Counter(Protocol):
    """Counts what is let in."""

    def wait(self, at_s: float, n: int, share: float) -> float:
        """Seconds until ``n`` more are let in; 0: now."""

    def take(self, at_s: float, n: int) -> None:
        """So many are."""


def counter_for(endpoint: Endpoint, per_minute: float | None) -> Counter:
    """What counts a rate of ``endpoint``; None: there is no limit."""
    if per_minute is None:
        return Endless()
    match endpoint.counting:
        case Counting.BUCKET:
            return Bucket(per_minute / 60, endpoint.burst)
        case Counting.FIXED:
            return Fixed(per_minute / 60 * endpoint.window_s, endpoint.window_s)
        case Counting.SLIDING:
            return Sliding(per_minute / 60 * endpoint.window_s, endpoint.window_s)


class Endless:
    """Lets everybody in."""

    def wait(self, at_s: float, n: int, share: float) -> float:
        """None at all."""
        del at_s, n, share
        return 0.0

    def take(self, at_s: float, n: int) -> None:
        """Count nothing."""


class Bucket:
    """Tokens that come in evenly; what is full runs over."""

    def __init__(self, per_s: float, burst: float) -> None:
        """``burst``: what it holds, and holds at first."""
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = 0.0
        self._share = 1.0

    def wait(self, at_s: float, n: int, share: float) -> float:
        """Seconds until there are ``n`` tokens, or as many as it can hold."""
        came = self._per_s * (self._share + share) / 2 * (at_s - self._at_s)
        self._tokens = min(self._burst, self._tokens + came)
        self._at_s, self._share = at_s, share
        missing = min(n, self._burst) - self._tokens
        return missing / (self._per_s * share) if missing > _EPSILON else 0.0

    def take(self, at_s: float, n: int) -> None:
        """Take ``n`` tokens."""
        del at_s
        self._tokens -= n


class Fixed:
    """So many in each window of the clock."""

    def __init__(self, most: float, window_s: float) -> None:
        """``most`` in each ``window_s`` seconds."""
        self._most = most
        self._window_s = window_s
        self._number = 0
        self._n = 0

    def wait(self, at_s: float, n: int, share: float) -> float:
        """Seconds until the next window, where this one is full."""
        number = int(at_s // self._window_s)
        if number != self._number:
            self._number, self._n = number, 0
        is_room = self._n + n <= self._most * share + _EPSILON
        return 0.0 if is_room else (number + 1) * self._window_s - at_s

    def take(self, at_s: float, n: int) -> None:
        """Count ``n`` in this window."""
        del at_s
        self._n += n


class Sliding:
    """So many in the last so many seconds."""

    def __init__(self, most: float, window_s: float) -> None:
        """``most`` in the last ``window_s`` seconds."""
        self._most = most
        self._window_s = window_s
        self._came: deque[float] = deque()

    def wait(self, at_s: float, n: int, share: float) -> float:
        """Seconds until enough of those that are counted are old enough."""
        came = self._came
        while came and came[0] <= at_s - self._window_s:
            came.popleft()
        n_over = len(came) + n - int(self._most * share + _EPSILON)
        if n_over <= 0:
            return 0.0
        last = came[min(n_over, len(came)) - 1] if came else at_s
        return max(_EPSILON, last + self._window_s - at_s)

    def take(self, at_s: float, n: int) -> None:
        """Count ``n`` now."""
        self._came.extend([at_s] * n)
