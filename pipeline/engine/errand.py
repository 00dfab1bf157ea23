"""A task on its way, with what happened to it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.core.model import Course
from pipeline.engine.retry import History

if TYPE_CHECKING:
    from pipeline.core.model import Failure, Task


@dataclass(slots=True, kw_only=True, eq=False)
class Errand:
    """One task, from its first attempt to its outcome. ``started_at`` is empty until it left.

    ``n_out``: requests that are out for it; ``is_settled``: one of them brought its images.
    """

    task: Task
    history: History = field(default_factory=History)
    n_sent: int = 0
    started_at: str = ""
    cost_usd: float | None = None
    n_maybe_billed: int = 0
    n_unpriced: int = 0
    n_out: int = 0
    is_settled: bool = False

    def add(self, cost_usd: float | None, *, is_maybe_billed: bool, is_unpriced: bool) -> None:
        """Add what one more attempt cost, in US dollars; None where it was not told."""
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd
        self.n_maybe_billed += is_maybe_billed
        self.n_unpriced += is_unpriced

    def is_sure_of(self, failure: Failure) -> bool:
        """Whether an answer that stops the run was met as often as it takes."""
        return self.history.endings[failure.why] > failure.n_tries_before_stop

    def course(self, *, finished_at: str, latency_s: float, provider: str) -> Course:
        """How it went, now that it is over."""
        return Course(
            attempts=self.n_sent,
            started_at=self.started_at or finished_at,
            finished_at=finished_at,
            latency_s=round(latency_s, 3),
            cost_usd=self.cost_usd,
            n_maybe_billed=self.n_maybe_billed,
            n_unpriced=self.n_unpriced,
            provider=provider,
        )
