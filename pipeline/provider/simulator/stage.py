"""The weather that a whole simulation plays, instead of its own limits, latencies and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.core.scenario import scaled
from pipeline.core.scenarios import SCENARIOS
from pipeline.provider.simulator.faults import Head, error_head
from pipeline.provider.simulator.turnstile import Turnstile, Verdict

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation

_NUMBER = re.compile(r"[0-9]{1,3}$", re.ASCII)
_RATE = {"error_type": "rate_limit_exceeded"}


class Stage:
    """A scenario's endpoints: a key that ends in a number has the one of that number."""

    def __init__(self, simulation: Simulation) -> None:
        """``simulation.scenario`` must be the name of one."""
        self._scenario = scaled(SCENARIOS[simulation.scenario or ""], simulation.scale)
        self._turnstiles = [
            Turnstile(endpoint, self._scenario, seed=simulation.seed * 31 + number)
            for number, endpoint in enumerate(self._scenario.endpoints)
        ]

    @property
    def peak(self) -> int:
        """The most that were inside at once, of all endpoints together at most."""
        return sum(turnstile.peak for turnstile in self._turnstiles)

    def turnstile(self, key: str) -> Turnstile:
        """The one for whoever shows ``key``."""
        number = _NUMBER.search(key)
        place = int(number[0]) if number else 1
        return self._turnstiles[min(max(1, place), len(self._turnstiles)) - 1]


def head_of(verdict: Verdict) -> Head:
    """The reply to a request that is not let in."""
    metadata = _RATE if verdict.status == 429 else None
    head = error_head(verdict.status, verdict.message, metadata)
    return Head(status=head.status, body=head.body, headers=verdict.headers)
