"""Measures a rate: what was let in from one opening of the gate to the next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

_LEAST = 4
_LONG_S = 60.0
_SHORT_WAIT_S = 2.0
_RECENT = 8
_SHORTEST_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was let in a second, by the time the gate ``opens_at``.

    ``average``: since it last opened; ``long``: over a minute or more, as far as there was one.
    ``is_again``: nothing got through since the last reading, which went on instead of a new one.
    ``is_few``: too little did to count on; ``is_nothing``: so little that it says nothing at all.
    """

    average: float
    long: float
    n_let_in: int
    opens_at: float
    is_again: bool
    is_few: bool
    is_nothing: bool


class _Mark(NamedTuple):
    """An opening: when it was, and what had been let in by then."""

    at: float
    n_let_in: int


class Gauge:
    """Counts what leaves and what is refused."""

    __slots__ = ("_is_marked", "_marks", "_n_left", "_n_let_in", "_n_refused", "_recent")

    def __init__(self) -> None:
        """Nothing has left yet."""
        self._n_left = self._n_let_in = self._n_refused = 0
        self._marks: deque[_Mark] = deque()
        self._is_marked = False
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def leave(self, now: float) -> None:
        """One leaves."""
        if not self._marks:
            self._marks.append(_Mark(now, 0))
        self._n_left += 1
        self._recent.append(now)

    def refused(self, number: int) -> None:
        """The how manieth that left was refused; those before it count as let in."""
        self._n_refused += 1
        self._n_let_in = number - self._n_refused

    def restart(self, now: float) -> None:
        """What was before says nothing any more."""
        self._marks.clear()
        self._marks.append(_Mark(now, self._n_left - self._n_refused))
        self._is_marked = False

    def recent(self) -> float:
        """Departures a second, of the last few; inf where there were too few."""
        if len(self._recent) < _LEAST:
            return inf
        return (len(self._recent) - 1) / max(_SHORTEST_S, self._recent[-1] - self._recent[0])

    def read(self, now: float, *, opens_at: float, is_again: bool, has_hint: bool) -> Reading:
        """The measure, now that a refusal ends it; the next begins when the gate opens.

        What a provider holds ready while nobody may leave counts in part: after a short wait some
        of it ran over, after a guessed one nobody knows since when there has been room.
        """
        if is_again and self._is_marked:
            self._marks.pop()
        is_half = opens_at - now <= _SHORT_WAIT_S or (is_again and not has_hint)
        ends_at = (now + opens_at) / 2 if is_half else opens_at
        average, long = self._since(self._marks[-1], ends_at), self._since(self._far(now), ends_at)
        n_let_in = self._n_let_in - self._marks[-1].n_let_in
        self._is_marked = n_let_in >= _LEAST
        if self._is_marked:
            self._mark(opens_at)
        return Reading(
            average=average,
            long=long,
            n_let_in=n_let_in,
            opens_at=opens_at,
            is_again=is_again,
            is_few=not is_again and not self._is_marked,
            is_nothing=n_let_in <= 1,
        )

    def _mark(self, opens_at: float) -> None:
        self._marks.append(_Mark(opens_at, self._n_let_in))
        while len(self._marks) > 2 and opens_at - self._marks[1].at >= _LONG_S:
            self._marks.popleft()

    def _far(self, now: float) -> _Mark:
        """The newest opening that is a minute ago, or the oldest."""
        far = (mark for mark in reversed(self._marks) if now - mark.at >= _LONG_S)
        return next(far, self._marks[0])

    def _since(self, mark: _Mark, ends_at: float) -> float:
        return max(0, self._n_let_in - mark.n_let_in) / max(_SHORTEST_S, ends_at - mark.at)
