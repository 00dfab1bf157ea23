"""What is tried again, and when: the rules as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.model import Failure, Why
from pipeline.engine.retry import Caps, History, Retry

CAPS = Caps(attempts=5, max_wait_s=60, no_image=2, refused=1, lost=2, is_throttling_free=True)


def longest(low: float, high: float) -> float:
    return high


def waits(caps: Caps, *failures: Failure) -> list[float | None]:
    retry, history = Retry(caps, uniform=longest), History()
    return [retry.wait_after(history, failure) for failure in failures]


def of(why: Why, hint_s: float | None = None) -> Failure:
    return Failure(why=why, retry_after_s=hint_s)


def test_a_server_error_is_tried_until_the_attempts_are_used_up() -> None:
    assert waits(CAPS, *[of(Why.SERVER_ERROR)] * 5) == [1, 2, 4, 8, None]


def test_the_backoff_is_capped_and_the_hint_is_not() -> None:
    caps = replace(CAPS, attempts=10, max_wait_s=3)
    failures = [of(Why.OVERLOADED)] * 4 + [of(Why.OVERLOADED, hint_s=100)]
    assert waits(caps, *failures) == [1, 2, 3, 3, 100]


def test_the_jitter_is_drawn_from_nothing_up_to_the_ceiling() -> None:
    drawn: list[tuple[float, float]] = []

    def note(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    retry, history = Retry(CAPS, uniform=note), History()
    assert retry.wait_after(history, of(Why.SERVER_ERROR, hint_s=0.5)) == 0.5
    assert drawn == [(0, 1)]


@pytest.mark.parametrize(
    ("why", "n_tries"),
    [(Why.NO_IMAGE, 2), (Why.REFUSED, 1), (Why.LOST, 2), (Why.REJECTED, 1), (Why.TOO_LARGE, 1)],
)
def test_some_endings_have_a_smaller_number_of_tries(why: Why, n_tries: int) -> None:
    answers = waits(CAPS, *[of(why)] * n_tries)
    assert None not in answers[:-1]
    assert answers[-1] is None


def test_whatever_was_never_answered_shares_the_number_of_the_lost() -> None:
    """A proxy that gave up is no `lost`, and its image may be on the bill all the same."""
    gave_up = replace(of(Why.SERVER_ERROR), is_maybe_billed=True)
    assert waits(CAPS, gave_up, gave_up) == [1, None]
    assert waits(CAPS, of(Why.LOST), gave_up) == [1, None]
    assert waits(CAPS, gave_up, of(Why.SERVER_ERROR), of(Why.LOST)) == [1, 2, None]
    assert waits(replace(CAPS, lost=3), gave_up, gave_up, gave_up) == [1, 2, None]
    garbled = replace(of(Why.BAD_REPLY), is_maybe_billed=True)
    assert waits(CAPS, *[garbled] * 3) == [1, 2, 4]


def test_tries_of_different_endings_add_up() -> None:
    mixed = [of(Why.NO_IMAGE), of(Why.LOST), of(Why.BAD_REPLY), of(Why.SERVER_ERROR)]
    assert waits(CAPS, *mixed, of(Why.BAD_IMAGE))[-1] is None
    assert None not in waits(CAPS, *mixed)


def test_a_429_costs_no_attempt_where_the_pace_adapts() -> None:
    failures = [of(Why.THROTTLED)] * 50 + [of(Why.SERVER_ERROR)] * 4
    assert waits(CAPS, *failures) == [0] * 50 + [1, 2, 4, 8]


def test_a_429_costs_an_attempt_where_it_does_not() -> None:
    caps = replace(CAPS, is_throttling_free=False)
    assert waits(caps, *[of(Why.THROTTLED, hint_s=3)] * 5) == [3, 3, 4, 8, None]


def test_one_attempt_means_one() -> None:
    assert waits(replace(CAPS, attempts=1), of(Why.SERVER_ERROR)) == [None]
