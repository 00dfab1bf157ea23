"""Killed at random, again and again: all is made once, and what may have been paid is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kill_loop import kill_loop

if TYPE_CHECKING:
    from pathlib import Path

PLAIN_AND_STREAMED = pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])


@PLAIN_AND_STREAMED
def test_a_handful_of_kills_loses_nothing_and_buys_nothing_twice(
    tmp_path: Path, *, is_streamed: bool
) -> None:
    reckoning = kill_loop(
        n_tasks=40, n_kills=5, concurrency=8, is_streamed=is_streamed, seed=1, folder=tmp_path
    )
    reckoning.check()
    assert reckoning.in_flight_at_kills > 0
    assert not is_streamed or reckoning.listed_with_generation > 0


@pytest.mark.long
@pytest.mark.timeout(900)
@PLAIN_AND_STREAMED
def test_two_hundred_kills_over_two_thousand_images(tmp_path: Path, *, is_streamed: bool) -> None:
    reckoning = kill_loop(
        n_tasks=2000, n_kills=200, concurrency=32, is_streamed=is_streamed, seed=1, folder=tmp_path
    )
    reckoning.check()
    assert reckoning.in_flight_at_kills > 1000
    assert reckoning.kills_before_any_request > 10
    if is_streamed:  # the head comes at once, and with it the generation's id
        assert reckoning.listed_with_generation > 0.8 * reckoning.listed
