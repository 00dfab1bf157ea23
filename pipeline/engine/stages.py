"""What a pool works with, and when it is to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.admission import Gate
    from pipeline.core.ports import Budget, Clock, Observer, Store
    from pipeline.engine.retry import Retry
    from pipeline.engine.routes import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a pool works with; ``overall``: a gate before all ``routes`` together."""

    routes: Sequence[Route]
    budget: Budget
    retry: Retry
    store: Store
    observer: Observer
    clock: Clock
    overall: Gate | None = None


WINDOW = 100
"""Settled tasks of which a share is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """When to stop: ``failures_in_a_row`` settled by the provider's fault; drain ``grace_s``.

    ``failed_share``: of the last :data:`WINDOW` settled tasks, by the provider's fault.
    ``longest_reply_s``: how long a reply may take; what is paid for is waited for that long.
    ``n_models``: how many the tasks ask for. The run goes on without one that cannot be served,
    until none is left.
    """

    failures_in_a_row: int
    grace_s: float
    failed_share: float | None = None
    longest_reply_s: float = 600.0
    n_models: int = 1
