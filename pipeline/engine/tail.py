"""The end of a run: how long a reply usually takes, and which of those out is a straggler.

What hangs at one provider for minutes is all that the last minutes of a run are about. Once enough
replies of a model have come, one that takes many times as long is given up before the configured
time-out; and where cancelled requests are not billed, a straggler is asked for once more.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Failure, Why

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline.engine.errand import Errand
    from pipeline.engine.routes import Route
    from pipeline.engine.worker import Got

_MOST_KEPT = 400
_ENOUGH = 20
HOPELESS = 15
"""So many times the median a request is waited for."""
_SLOW, _SLOWEST = 4.0, 1.2  # times the median, times what 95 of 100 stay below
SHORTEST_TIMEOUT_S = 30.0
MOST_COPIES = 3
_HEDGES_AT_LEAST = 10
_SHARE_OF_HEDGES = 0.03


class Usual:
    """How long the last replies took, in seconds."""

    __slots__ = ("_last", "_n_ever", "_sorted")

    def __init__(self) -> None:
        """None has come yet."""
        self._last: deque[float] = deque()
        self._n_ever = 0
        self._sorted: list[float] = []

    def add(self, latency_s: float) -> None:
        """One more reply came."""
        self._n_ever += 1
        self._last.append(latency_s)
        insort(self._sorted, latency_s)
        if len(self._last) > _MOST_KEPT:
            self._sorted.remove(self._last.popleft())

    def timeout_s(self) -> float | None:
        """After how long a reply is hopeless; None until enough have come."""
        if len(self._sorted) < _ENOUGH:
            return None
        return max(SHORTEST_TIMEOUT_S, HOPELESS * self._quantile(0.5))

    def straggles_after_s(self, n_out: int) -> float | None:
        """From which age a request is a straggler; None as long as nobody can say.

        ``n_out``: how many are out, which all count as slow: the first replies are the fast ones.
        """
        if len(self._sorted) < _ENOUGH:
            return None
        share = 1 + n_out / self._n_ever
        median_s, p95_s = self._quantile(0.5 * share), self._quantile(0.95 * share)
        straggles_s = min(_SLOW * median_s, _SLOWEST * p95_s)
        return None if straggles_s == inf else straggles_s

    def _quantile(self, share: float) -> float:
        place = int(share * len(self._sorted))
        return self._sorted[place] if place < len(self._sorted) else inf


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """A request that is out. ``scope`` ends it; ``began``: when it left, by the loop's time.

    ``landed``: what it brought, or met; None where it did not come back by itself.
    """

    errand: Errand
    route: Route
    left_at: float
    began: float
    scope: asyncio.Timeout
    landed: Got | Failure | None = None

    @property
    def is_answered(self) -> bool:
        """Whether a whole reply came."""
        landed = self.landed
        return landed.is_answer if isinstance(landed, Failure) else landed is not None

    def outcome(self, now: float) -> Got | Failure:
        """What it brought, or met; a failure where it was ended before."""
        return _given_up(now - self.left_at) if self.landed is None else self.landed


@dataclass(slots=True)
class Tail:
    """What is out, and how long it usually takes."""

    longest_s: float
    _flights: dict[Flight, None] = field(default_factory=dict)
    _usual: dict[tuple[Route, str], Usual] = field(default_factory=dict)
    _n_back: int = 0
    _n_hedges: int = 0

    def timeout_s(self, route: Route, model: str) -> float | None:
        """After how long to give up a request, where that is sooner than the configured time."""
        usual = self._usual.get((route, model))
        learnt_s = usual.timeout_s() if usual else None
        return learnt_s if learnt_s and learnt_s < self.longest_s else None

    @asynccontextmanager
    async def flight(
        self, errand: Errand, route: Route, now: float, patience_s: float | None
    ) -> AsyncIterator[Flight]:
        """A request that is out for as long as this lasts; ended where it takes too long."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s) as scope:
                began = loop.time()
                flight = Flight(errand=errand, route=route, left_at=now, began=began, scope=scope)
                self._flights[flight] = None
                errand.n_out += 1
                self._n_hedges += errand.n_out > 1
                try:
                    yield flight
                finally:
                    del self._flights[flight]
                    errand.n_out -= 1
                    self._n_back += 1
                if flight.is_answered:
                    self._learn(route, errand.task.model, loop.time() - began)

    def _learn(self, route: Route, model: str, latency_s: float) -> None:
        """One more reply came; once enough have, what left before is given no longer either."""
        usual = self._usual.setdefault((route, model), Usual())
        knew = usual.timeout_s()
        usual.add(latency_s)
        learnt_s = self.timeout_s(route, model)
        if knew or learnt_s is None:
            return
        for flight in self._flights:
            is_of_these = flight.route is route and flight.errand.task.model == model
            if is_of_these and not flight.scope.expired():
                flight.scope.reschedule(flight.began + learnt_s)

    def beat(self, errand: Errand, now: float) -> None:
        """Its images are here: the copies that are still out are called back."""
        errand.is_settled = True
        for flight in self._flights:
            if flight.errand is errand and not flight.scope.expired():
                flight.scope.reschedule(now)

    def straggler(self, now: float) -> tuple[Errand | None, float]:
        """The request to send once more, if any, and in how many seconds there may be another.

        Only where its route does not bill what is cancelled.
        """
        wait_s = inf
        if self._n_hedges >= _HEDGES_AT_LEAST + _SHARE_OF_HEDGES * self._n_back:
            return None, wait_s
        newest = {flight.errand: flight for flight in self._flights if _may_be_hedged(flight)}
        for flight in newest.values():
            usual = self._usual.get((flight.route, flight.errand.task.model))
            straggles_s = usual.straggles_after_s(len(self._flights)) if usual else None
            if straggles_s is None:
                continue
            due_s = flight.left_at + straggles_s - now
            if due_s <= 0:
                return flight.errand, inf
            wait_s = min(wait_s, due_s)
        return None, wait_s


def _given_up(after_s: float) -> Failure:
    """A request that its scope ended: it took too long, or a copy of it was first."""
    detail = f"no whole reply in {after_s:.0f} s, which is many times as long as usual"
    return Failure(why=Why.LOST, answer=Answer(detail=detail), is_maybe_billed=True)


def _may_be_hedged(flight: Flight) -> bool:
    errand = flight.errand
    return flight.route.hedges and errand.n_out < MOST_COPIES and not errand.is_settled
