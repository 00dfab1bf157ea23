"""How many may be in flight: as the job says, or where refusals showed that it is fewer."""

from __future__ import annotations

from math import inf

from pipeline.limit.rest import Rest

_REST_S, _LONGEST_REST_S = 3.0, 60.0
_NEWS_S = 1.0


class Window:
    """The size of the window. ``most``: the job's own limit."""

    __slots__ = ("_found", "_hold", "_rest", "_step", "most", "size")

    def __init__(self, most: int) -> None:
        """As large as the job allows."""
        self.most = most
        self.size = most
        self._found: float = inf
        self._hold = 0.0
        self._step = 1
        self._rest = Rest(_REST_S, _LONGEST_REST_S)

    @property
    def is_measured(self) -> bool:
        """Whether refusals showed it."""
        return self.size < self.most

    def is_beyond(self, n_in_flight: int) -> bool:
        """Whether so many are more than what was found: a refusal then is no news of the rate."""
        return n_in_flight > self._found

    def leave(self, now: float, n_in_flight: int) -> None:
        """One leaves; a window that is full, and has rested, is made a little larger."""
        if n_in_flight < self.size or self.size >= self.most or now < self._hold:
            return
        self.size = min(self.most, self.size + self._step)
        self._step *= 2
        self._hold = now + _NEWS_S
        if self.size == self.most:
            self._found = inf

    def lift(self) -> None:
        """What was found was none."""
        self.size = self.most
        self._found = inf

    def settle(self, n_in_flight: int, now: float) -> None:
        """So many were let in, and no more."""
        self.size = max(1, min(n_in_flight, self.most))
        self._found = self.size
        self._step = 1
        self._hold = now + self._rest.after(self.size)
