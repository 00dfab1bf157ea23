"""Events become totals, rates and percentiles, in memory that does not grow; ``now`` is given."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.core.model import Made
from pipeline.core.ports import Back, Draining, LaneState, Sent, Settled, TriedAgain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.model import Receipt
    from pipeline.core.ports import Event

_WINDOW_S = 60.0
_STEP = math.log(1.01)
_SHORTEST_S = 0.001


class Percentiles:
    """Latencies in buckets 1 % wide: percentiles are that exact, in some 1,500 numbers at most."""

    def __init__(self, latencies_s: Iterable[float] = ()) -> None:
        """Start with these."""
        self._buckets: Counter[int] = Counter()
        for latency_s in latencies_s:
            self.note(latency_s)

    def note(self, latency_s: float) -> None:
        """One more, seconds."""
        self._buckets[round(math.log(max(latency_s, _SHORTEST_S)) / _STEP)] += 1

    def at(self, share: float) -> float | None:
        """Seconds within which ``share`` (0 to 1) of them ended; None where there are none."""
        left = math.ceil(share * self._buckets.total())
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return float(f"{math.exp(bucket * _STEP):.3g}")
        return None


@dataclass(slots=True)
class Rate:
    """How many a second, over the last minute: a number for each second, no more."""

    started_at: float
    _seconds: deque[tuple[int, int]] = field(default_factory=deque)

    def note(self, number: int, now: float) -> None:
        """``number`` more at ``now``."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            number += self._seconds.pop()[1]
        self._seconds.append((second, number))
        self._forget(now)

    def per_s(self, now: float) -> float:
        """The rate at ``now``; before a minute has passed, over what has passed."""
        self._forget(now)
        passed_s = min(max(now - self.started_at, 1e-3), _WINDOW_S)
        return sum(number for _, number in self._seconds) / passed_s

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - _WINDOW_S:
            self._seconds.popleft()


class Tally:
    """What a run did so far, beside what was there before it."""

    def __init__(
        self, *, wanted: int, made_before: int = 0, failed_before: int = 0, started_at: float
    ) -> None:
        """``wanted``: tasks the job asks for; the ``before`` ones are settled and not asked again.

        ``started_at``: on the clock that ``now`` is read from, in seconds. What a run counts of
        money: ``cost_usd`` as far as replies told, ``replies_usd`` the cheapest and the dearest of
        them, ``models`` who was asked; ``untold_made``: images whose reply told no cost;
        ``untold_failed``: requests that may have been billed for none, and told no cost either.
        """
        self.wanted = wanted
        self.made_before = made_before
        self.failed_before = failed_before
        self.started_at = started_at
        self.made = 0
        self.images = 0
        self.in_flight = 0
        self.requests = 0
        self.cost_usd = 0.0
        self.replies_usd: tuple[float, float] | None = None
        self.models: set[str] = set()
        self.untold_made = 0
        self.untold_failed = 0
        self.maybe_billed = 0
        self.failed_by_why: Counter[str] = Counter()
        self.retries_by_why: Counter[str] = Counter()
        self.latency = Percentiles()
        self._lanes: dict[str, LaneState] = {}
        self._is_round_over = False
        self._sent_at: dict[str, float] = {}
        self._images_rate = Rate(started_at)
        self._settled_rate = Rate(started_at)

    @property
    def failed(self) -> int:
        """Tasks this run gave up."""
        return self.failed_by_why.total()

    @property
    def retries(self) -> int:
        """Attempts that failed and were followed by another."""
        return self.retries_by_why.total()

    @property
    def made_in_all(self) -> int:
        """Wanted tasks that have their images, from this run or before."""
        return self.made_before + self.made

    @property
    def left(self) -> int:
        """Tasks this run has yet to settle."""
        return max(0, self.wanted - self.made_in_all - self.failed_before - self.failed)

    @property
    def waiting(self) -> int:
        """Tasks of :attr:`left` of which no request is out and no image is being kept."""
        return max(0, self.left - len(self._sent_at))

    @property
    def lanes(self) -> tuple[LaneState, ...]:
        """The lanes as they stood when they were last told of."""
        return tuple(self._lanes.values())

    def end_round(self) -> None:
        """Every lane was told of: the next to be told begins a new round."""
        self._is_round_over = True

    def note(self, event: Event, now: float) -> None:
        """Take in an event."""
        match event:
            case Sent(task=task):
                self.models.add(task.model)
                self.requests += 1
                self.in_flight += 1
                self._sent_at.setdefault(task.id, now)
            case Back(cost_usd=cost_usd, is_maybe_billed=is_maybe_billed):
                self.in_flight -= 1
                self._add_cost(cost_usd)
                self.maybe_billed += is_maybe_billed
                self.untold_failed += is_maybe_billed and cost_usd is None
            case TriedAgain(task=task, why=why):
                self.retries_by_why[str(why)] += 1
                self._sent_at.pop(task.id, None)
            case Settled(receipt=receipt):
                self._settle(receipt, now)
            case Draining(in_flight=in_flight):
                self.in_flight = in_flight
            case LaneState():
                self._add_lane(event)
            case _:
                pass

    def images_per_s(self, now: float) -> float:
        """Over the last minute."""
        return self._images_rate.per_s(now)

    def oldest_s(self, now: float) -> float | None:
        """For how long the oldest request is out, or its images are being kept; None: none is."""
        sent_at = next(iter(self._sent_at.values()), None)
        return None if sent_at is None or not self.in_flight else now - sent_at

    def eta_s(self, now: float) -> float | None:
        """Seconds until everything is settled at the last minute's pace; None: nobody can say."""
        per_s = self._settled_rate.per_s(now)
        return self.left / per_s if per_s else None

    def _add_lane(self, state: LaneState) -> None:
        """A lane that is not told of in a round serves no more."""
        if self._is_round_over:
            self._lanes.clear()
            self._is_round_over = False
        self._lanes[state.lane] = state

    def _add_cost(self, cost_usd: float | None) -> None:
        """What a reply told; one that was free says nothing of the cheapest."""
        if not cost_usd:
            return
        self.cost_usd += cost_usd
        low_usd, high_usd = self.replies_usd or (cost_usd, cost_usd)
        self.replies_usd = min(low_usd, cost_usd), max(high_usd, cost_usd)

    def _settle(self, receipt: Receipt, now: float) -> None:
        outcome = receipt.outcome
        self._sent_at.pop(outcome.task.id, None)
        self._settled_rate.note(1, now)
        self.untold_failed += outcome.course.n_unpriced
        if not isinstance(outcome, Made):
            self.failed_by_why[str(outcome.why)] += 1
            return
        if outcome.course.n_unpriced and outcome.answer.cost_usd is None:
            self.untold_made += 1
            self.untold_failed -= 1
        self.made += 1
        self.images += len(outcome.images)
        self._images_rate.note(len(outcome.images), now)
        self.latency.note(outcome.course.latency_s)
