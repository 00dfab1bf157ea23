"""When answers end a run: one that will not change, a provider that is down, too many in a row."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pipeline.core.model import Failed, Failure, Outcome, Why
from pipeline.core.ports import LeftOut
from pipeline.engine.retry import LONGEST_HINT_S
from pipeline.engine.stages import WINDOW
from pipeline.errors import Guarded, Stop, Unreachable

if TYPE_CHECKING:
    from pipeline.core.ports import Clock, Observer
    from pipeline.engine.errand import Errand
    from pipeline.engine.stages import Guards

LONGEST_REFUSAL_S = 3600.0
"""Nothing but 429s for longer than this ends the run: a quota of the hour would be back."""


class Breaker:
    """Judges what comes back. ``left_out``: the models the run goes on without, and why."""

    def __init__(self, guards: Guards, clock: Clock, observer: Observer) -> None:
        """Nothing has been answered yet."""
        self._guards = guards
        self._clock = clock
        self._observer = observer
        self._was_ever_answered = False
        self._n_failed_in_a_row = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._refused_since: float | None = None
        self.left_out: dict[str, Failure] = {}

    def brought_images(self) -> None:
        """The provider is there."""
        self._was_ever_answered = True
        self._refused_since = None

    def leaves_out(self, errand: Errand, failure: Failure) -> bool:
        """Whether the run goes on without this errand's model, from now on or already."""
        model = errand.task.model
        if not (failure.is_of_the_model and failure.stop and errand.is_sure_of(failure)):
            return False
        if len(self.left_out.keys() | {model}) >= self._guards.n_models:
            return False
        self._was_ever_answered = True
        if model not in self.left_out:
            self.left_out[model] = failure
            self._observer.see(LeftOut(model=model, reason=str(failure.stop)))
        return True

    def reason_to_stop(self, errand: Errand, failure: Failure) -> Stop | None:
        """Why nothing more is worth sending after this answer, None if it is."""
        if failure.stop:
            return failure.stop if errand.is_sure_of(failure) else None
        if failure.why is Why.UNREACHABLE and not self._was_ever_answered:
            return Unreachable(f"the provider cannot be reached: {failure.answer.detail}")
        self._was_ever_answered |= failure.why not in {Why.UNREACHABLE, Why.TIMEOUT}
        if failure.retry_after_s and failure.retry_after_s > LONGEST_HINT_S:
            until = self._clock.utc_in(failure.retry_after_s)
            return Guarded(f"the provider asks to wait until {until}. Run again then")
        return self._refused_for_long(failure)

    def _refused_for_long(self, failure: Failure) -> Stop | None:
        """Waiting costs nothing, but where nothing else came for an hour it is no use either."""
        now = self._clock.now()
        if failure.why is not Why.THROTTLED:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > LONGEST_REFUSAL_S:
            return Guarded(
                "the provider has refused every request (429) for an hour: a quota may be used up."
                " Run again later"
            )
        return None

    def settled(self, outcome: Outcome) -> Stop | None:
        """Count an outcome; too many in a row that failed by the provider's fault end the run."""
        if outcome.task.model in self.left_out:
            return None
        is_their_fault = isinstance(outcome, Failed) and outcome.why.is_the_providers_fault
        self._last.append(is_their_fault)
        self._n_failed_in_a_row = self._n_failed_in_a_row + 1 if is_their_fault else 0
        if not isinstance(outcome, Failed) or not (many := self._too_many()):
            return None
        return Guarded(
            f"{many} failed by the provider's fault (the last: {outcome.why})."
            " Run again when it is well"
        )

    def _too_many(self) -> str | None:
        """How many tasks failed, in words, where that is as many as end a run."""
        if self._n_failed_in_a_row >= self._guards.failures_in_a_row:
            return f"{self._n_failed_in_a_row} tasks in a row"
        share, n_failed = self._guards.failed_share, sum(self._last)
        if share is not None and len(self._last) == WINDOW and n_failed >= share * WINDOW:
            return f"{n_failed} of the last {WINDOW} tasks"
        return None
