"""What the simulated provider lets in: a rate (GCRA) and a number side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation


class Admission:
    """Counts requests in and out. ``now`` is monotonic seconds."""

    def __init__(self, simulation: Simulation) -> None:
        """Take rate, burst and concurrency from ``simulation``."""
        rate = simulation.requests_per_minute
        self._interval_s = 60 / rate if rate else 0.0
        burst = simulation.burst or max(2, math.ceil((rate or 0) / 60))
        self._tolerance_s = self._interval_s * (burst - 1)
        self._due = -math.inf
        self._most = simulation.concurrency or math.inf
        self.in_flight = 0
        self.peak = 0

    def enter(self, now: float) -> int | None:
        """Let one in, or say after how many whole seconds to come back (at least 1)."""
        wait_s = max(self._due, now) - self._tolerance_s - now
        if wait_s > 0:
            return math.ceil(wait_s)
        if self.in_flight >= self._most:
            return 1
        self._due = max(self._due, now) + self._interval_s
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return None

    def leave(self) -> None:
        """One that was let in is done."""
        self.in_flight -= 1
