"""Again after s seconds, or give up: tenacity's stop, wait and retry strategies, asked as values.

Nothing sleeps here. A task's history is handed to composed strategies as the call state that
tenacity's own strategies read, and the answer comes back as a number or None:

* retry: what can never succeed (refused for good, rejected, too large) is not tried again;
* stop: ``attempts`` tries in all, and for some endings fewer (``no_image``, ``refused``, ``lost``,
  which counts every try that was never answered and may be billed: also one a proxy gave up on);
* wait: the server's hint, or full-jitter exponential back-off (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter),
  whichever is longer; ``max_wait`` caps the back-off only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import RetryCallState, Retrying
from tenacity.retry import retry_if_result
from tenacity.stop import stop_after_attempt, stop_any, stop_base
from tenacity.wait import wait_base, wait_exponential

from pipeline.core.model import ANSWER_WHYS, Failure, Why

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_AGAIN = frozenset({Why.REJECTED, Why.TOO_LARGE})
FIRST_WAIT_S = 1.0
LONGEST_HINT_S = 15 * 60.0
"""A server that asks for more than this stops the run; less is obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The job's ``retry`` section. Counts are tries, the first included; waits are seconds."""

    attempts: int
    max_wait_s: float
    no_image: int
    refused: int
    lost: int
    is_throttling_free: bool


class History(RetryCallState):
    """A task's failures so far, in the shape that tenacity's strategies read."""

    def __init__(self) -> None:
        """No try yet."""
        super().__init__(Retrying(), None, (), {})
        self.endings: Counter[Why] = Counter()
        self.n_lost = 0
        self.attempt_number = 0

    def add(self, failure: Failure, *, is_free: bool) -> None:
        """One more try ended with ``failure``; a free one is no attempt."""
        self.endings[failure.why] += 1
        self.n_lost += _is_lost(failure)
        self.attempt_number += not is_free
        self.set_result(failure)

    @property
    def failure(self) -> Failure:
        """How the last try ended."""
        assert self.outcome
        failure: Failure = self.outcome.result()
        return failure


class Retry:
    """Decides, for one run."""

    def __init__(self, caps: Caps, *, uniform: Callable[[float, float], float]) -> None:
        """``uniform(low, high)``: the source of chance, such as ``random.Random().uniform``."""
        self._is_throttling_free = caps.is_throttling_free
        self._is_worth_it = retry_if_result(lambda failure: failure.why not in NEVER_AGAIN)
        self._is_enough = stop_any(
            stop_after_attempt(caps.attempts),
            _StopAfterEnding(Why.NO_IMAGE, caps.no_image),
            _StopAfterEnding(Why.REFUSED, caps.refused),
            _StopAfterLosses(caps.lost),
        )
        self._wait = _WaitHintOr(
            _FullJitter(wait_exponential(multiplier=FIRST_WAIT_S, max=caps.max_wait_s), uniform)
        )

    def wait_after(self, history: History, failure: Failure) -> float | None:
        """Seconds until the next try, None to give up. Adds ``failure`` to ``history``."""
        is_free = failure.why is Why.THROTTLED and self._is_throttling_free
        # What may stop the run is tried again on the house, to be sure of it.
        is_to_be_sure = history.endings[failure.why] < failure.n_tries_before_stop
        history.add(failure, is_free=is_free or is_to_be_sure)
        if is_to_be_sure:
            return self._wait(history)
        if is_free:
            return 0.0  # the gate holds everyone, this task included
        if self._is_enough(history) or not self._is_worth_it(history):
            return None
        return self._wait(history)


class _StopAfterEnding(stop_base):
    """Enough, once a task has ended ``most`` times in this way and has just done so again."""

    def __init__(self, why: Why, most: int) -> None:
        self._why = why
        self._most = most

    def __call__(self, retry_state: RetryCallState) -> bool:
        assert isinstance(retry_state, History)
        is_this = retry_state.failure.why is self._why
        return is_this and retry_state.endings[self._why] >= self._most


class _StopAfterLosses(stop_base):
    """Enough, once ``most`` tries left and were never answered, and this is one of them."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, retry_state: RetryCallState) -> bool:
        assert isinstance(retry_state, History)
        return _is_lost(retry_state.failure) and retry_state.n_lost >= self._most


def _is_lost(failure: Failure) -> bool:
    """A reply that came and cannot be read is none: it is charged as any other that is no use."""
    is_unanswered = failure.is_maybe_billed and failure.why not in ANSWER_WHYS
    return is_unanswered or failure.why is Why.LOST


class _FullJitter(wait_base):
    """Anything between nothing and what ``ceiling`` says: spreads tasks that failed together."""

    def __init__(self, ceiling: wait_base, uniform: Callable[[float, float], float]) -> None:
        self._ceiling = ceiling
        self._uniform = uniform

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._uniform(0.0, self._ceiling(retry_state))


class _WaitHintOr(wait_base):
    """The server's hint where it is longer than ours."""

    def __init__(self, ours: wait_base) -> None:
        self._ours = ours

    def __call__(self, retry_state: RetryCallState) -> float:
        assert isinstance(retry_state, History)
        return max(retry_state.failure.retry_after_s or 0.0, self._ours(retry_state))
