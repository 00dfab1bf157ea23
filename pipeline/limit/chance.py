"""Tells refusals by chance from a limit: what is let in falls with the pace, and it is no use.

A limit is met after many requests, or lets far fewer in than come, or as many at every pace. Three
refusals in a row that had nothing of that, well below a pace that did no worse, are not about the
pace: an upstream that many share refuses a part of whatever comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.limit.gauge import Reading

_ENOUGH, _MANY = 3, 20
_LOWER = 0.7


class Chance:
    """Counts the refusals that no limit explains, below the pace that did no worse."""

    __slots__ = ("_average", "_n", "_pace")

    def __init__(self) -> None:
        """None yet."""
        self._pace = self._average = 0.0
        self._n = 0

    def refused(self, reading: Reading, pace: float) -> float:
        """The pace to go back to, where this refusal shows that they are by chance; else 0.

        ``pace``: at which it was met.
        """
        if reading.is_again or reading.is_nothing:
            return 0.0
        if reading.average < pace / 2:
            self._pace, self._n = min(self._pace, pace / 2), 0
            return 0.0
        if pace > self._pace:
            self._pace, self._average = pace, reading.average
        is_lower = pace < _LOWER * self._pace and reading.average < _LOWER * self._average
        self._n = self._n + 1 if is_lower and reading.n_let_in < _MANY else 0
        if self._n < _ENOUGH:
            return 0.0
        self._n = 0
        return self._pace
