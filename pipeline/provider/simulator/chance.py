"""Chance without luck: the same words draw the same number, here and on every machine."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")
_MASK = 2**64 - 1
_Z_OF_P99 = 2.3263478740408408  # the standard normal distribution's 99th percentile


def number_of(*words: object) -> int:
    """A 64-bit number that depends on every word and on their order."""
    text = "\x1f".join(map(str, words))
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def share_of(*words: object) -> float:
    """A number from 0 up to 1, drawn from ``words``."""
    return number_of(*words) / 2**64


def latency_of(median_s: float, p99_s: float, *words: object) -> float:
    """Seconds, log-normal with this median and 99th percentile, drawn from ``words``."""
    if median_s <= 0:
        return 0.0
    sigma = max(0.0, math.log(max(p99_s, median_s) / median_s)) / _Z_OF_P99
    radius = math.sqrt(-2 * math.log(1 - share_of("radius", *words)))
    return median_s * math.exp(sigma * radius * math.cos(math.tau * share_of("angle", *words)))


class Chance:
    """A stream of draws (splitmix64, https://prng.di.unimi.it/splitmix64.c)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        """``seed``: any integer; its low 64 bits count."""
        self._state = seed & _MASK

    def share(self) -> float:
        """The next draw, from 0 up to 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return (z ^ (z >> 31)) / 2**64

    def between(self, low: float, high: float) -> float:
        """The next draw, from ``low`` up to ``high``."""
        return low + (high - low) * self.share()

    def whole(self, low: int, high: int) -> int:
        """The next draw, an integer from ``low`` to ``high``, both included."""
        return low + int(self.share() * (high - low + 1))

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of ``choices``."""
        return choices[int(self.share() * len(choices))]
