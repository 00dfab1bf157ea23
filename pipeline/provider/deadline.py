"""How long an exchange may take and how long it may be silent, at next to no cost for each byte."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.ports import Break

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """The earlier of two: silence for too long, and the whole exchange. Seconds, the loop's."""

    def __init__(self, *, idle_s: float, total_s: float) -> None:
        """The exchange begins now."""
        self._time = asyncio.get_running_loop().time
        self._idle_s = idle_s
        self.end = self._time() + total_s

    @property
    def how_it_passed(self) -> Break:
        """Which of the two it was."""
        return Break.TOTAL if self._time() >= self.end else Break.IDLE

    def next_at(self) -> float:
        """When it passes, if nothing more is heard."""
        return min(self.end, self._time() + self._idle_s)


class Watch:
    """Rings once its moment has passed. To put that off is to write down a number.

    A timer of the loop is set once; where it finds that the moment is later by now, it is set once
    more. Most exchanges end before that.
    """

    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        """``ring`` is called at ``at``, the loop's seconds, or later if it is put off."""
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._at = self._set_for = at
        self._timer = self._loop.call_at(at, self._look)

    def put(self, at: float) -> None:
        """Another moment, later or earlier."""
        self._at = at
        if at < self._set_for:
            self._timer.cancel()
            self._set(at)

    def stop(self) -> None:
        """Never ring, whatever is put off later; harmless the second time."""
        self._timer.cancel()
        self._set_for = -inf

    def _set(self, at: float) -> None:
        self._set_for = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._at:
            self._set(self._at)
        else:
            self._ring()
