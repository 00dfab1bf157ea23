"""What attempts cost: told to the budget, to the errand's record, and to whoever watches."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.core.model import Failure
from pipeline.core.ports import Back
from pipeline.engine.worker import Got
from pipeline.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.ports import Budget, Observer, Trail
    from pipeline.engine.errand import Errand


class Accounts:
    """Keeps account of every attempt that came back."""

    def __init__(self, budget: Budget, observer: Observer) -> None:
        """``budget``: what is reserved for an attempt is settled there."""
        self._budget = budget
        self._observer = observer

    def settle(self, errand: Errand, result: Got | Failure) -> None:
        """What an attempt cost, and what of it nobody told."""
        cost_usd, is_unpriced = result.answer.cost_usd, result.is_unpriced
        is_maybe_billed = isinstance(result, Failure) and result.is_maybe_billed
        is_charged = is_maybe_billed or is_unpriced
        self._budget.settle(errand.task.model, cost_usd=cost_usd, is_charged=is_charged)
        errand.add(cost_usd, is_maybe_billed=is_maybe_billed, is_unpriced=is_unpriced)
        self._observer.see(Back(cost_usd=cost_usd, is_maybe_billed=is_maybe_billed))

    def forget(self, errand: Errand, result: Got | Failure) -> None:
        """A copy of what is settled: its line is under way and tells of all that was sent."""
        if isinstance(result, Got):
            for image in result.images:
                image.part.discard()
        cost_usd = result.answer.cost_usd
        is_charged = isinstance(result, Got)
        self._budget.settle(errand.task.model, cost_usd=cost_usd, is_charged=is_charged)
        self._observer.see(Back(cost_usd=cost_usd, is_maybe_billed=False))


@contextmanager
def known_cost(trail: Trail, cost_usd: float | None) -> Iterator[None]:
    """Where images cannot be kept, what they cost is still noted, if that can be."""
    try:
        yield
    except Stop:
        if cost_usd is not None:
            with suppress(Stop):
                trail.back(cost_usd=cost_usd, is_maybe_billed=False, is_unpriced=False)
        raise
