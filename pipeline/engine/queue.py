"""What is to be sent next: what goes at once, the retry that is longest due, else a new task."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from pipeline.engine.errand import Errand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.model import Task


class Queue:
    """One heap of due retries before one iterator of new tasks; grows with the workers alone."""

    def __init__(self, tasks: Iterator[Task | None], *, n_workers: int) -> None:
        """None among ``tasks`` is a breath: the iterator is at work, and others may have a turn."""
        self._new = tasks
        self._most_waiting = 2 * n_workers
        self._waiting: list[tuple[float, int, Errand]] = []
        self._at_once: deque[Errand] = deque()
        self._n_waited = 0
        self._is_exhausted = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to take, now or later."""
        return self._is_exhausted and not self._at_once and not self._waiting

    def wait(self, now: float) -> float:
        """Seconds until there may be something to take; inf: only after something is put back."""
        if self._at_once or self._may_take_new():
            return 0.0
        return max(0.0, self._waiting[0][0] - now) if self._waiting else inf

    def take(self, now: float) -> Errand | None:
        """The next errand, if one is due. Raises what the iterator of tasks raises."""
        if self._at_once:
            return self._at_once.popleft()
        if self._waiting and self._waiting[0][0] <= now:
            return heappop(self._waiting)[2]
        return self._take_new() if self._may_take_new() else None

    def put_first(self, errand: Errand) -> None:
        """It stays the next."""
        self._at_once.appendleft(errand)

    def put_soon(self, errand: Errand) -> None:
        """It goes before whatever is new or due."""
        self._at_once.append(errand)

    def put_until(self, errand: Errand, due: float) -> None:
        """It is due at that time."""
        self._n_waited += 1
        heappush(self._waiting, (due, self._n_waited, errand))

    def _may_take_new(self) -> bool:
        # While an endpoint is down the heap would otherwise swallow the whole job.
        return not self._is_exhausted and len(self._waiting) < self._most_waiting

    def _take_new(self) -> Errand | None:
        try:
            task = next(self._new)
        except StopIteration:
            self._is_exhausted = True
            return None
        return Errand(task=task) if task else None
