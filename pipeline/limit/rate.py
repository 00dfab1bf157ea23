"""How many requests a second: as told, or felt for by the refusals they meet.

A refusal measures two numbers: the average that was let in since the gate last opened, and the pace
at which it was refused. The limit lies between them. Two refusals tell which it is: the same
average at two paces is a provider that counts (a bucket, a window); the same pace at two averages
is one that wants requests apart from each other. Until that is known, what lies between is tried
at once: right after a refusal nothing is left over at the provider that could hide the answer.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from math import exp, inf, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from pipeline.limit.rest import Rest

if TYPE_CHECKING:
    from pipeline.limit.gauge import Reading

FIRST_PER_S = 10.0
"""The pace to start at where none is known; it doubles in the time an answer takes."""
FIRST_AT_ONCE = 8
LEAST_PER_S = 1 / 60
TOLD = 0.997
"""Of a limit that the job tells: a late timer and the network move departures a little."""
MARGIN = 0.98
"""Of a limit that was measured, or that the provider tells."""

_MOST_PER_S = 10_000.0
_SLOW_PER_S = 2.0  # below this everything that takes patience takes longer
_DOUBLING_S, _FASTEST_DOUBLING_S = 1.4, 0.1
_REST_S, _LONGEST_REST_S, _LONGEST_PENANCE_S = 15.0, 27.0, 150.0
_PENANCE = 6  # a wait buys so many times its length of rest
_LONG_WAIT_S = 2.0
_MANY = 24
_SAME_AVERAGE, _SAME_PACE, _OTHER_PACE = 0.08, 0.05, 0.12
_SURE_MARGIN, _SPACED_MARGIN, _FEW_MARGIN = 0.99, 0.94, 0.85
_NARROW, _WIDE, _FALLEN = 1.1, 1.5, 0.8
_SEARCH_SPEED, _SPEED, _ACCELERATION = 0.07, 0.02, 0.006  # shares a second, a second squared
_NEAR, _FELT, _A_LITTLE_MORE = 0.93, 1.05, 1.02


class _Kind(Enum):
    """What a limit is about."""

    UNKNOWN = auto()
    COUNTED = auto()
    SPACED = auto()


class _Met(NamedTuple):
    """What a refusal measured, in requests a second."""

    average: float
    pace: float

    def is_counted_with(self, other: _Met) -> bool:
        """Whether both measured the same average, at different paces."""
        is_same = _is_near(self.average, other.average, _SAME_AVERAGE)
        return is_same and not _is_near(self.pace, other.pace, _OTHER_PACE)

    def is_spaced_after(self, other: _Met) -> bool:
        """Whether both met the same pace, now with a higher average.

        With a lower one it may be a bucket that was full before.
        """
        is_same = _is_near(self.pace, other.pace, _SAME_PACE)
        return is_same and self.average > (1 + _SAME_AVERAGE) * other.average


_NEVER = _Met(0.0, 0.0)


class Rate:
    """Requests a second: ``value``, never above ``most``. ``is_measured``: refusals showed it."""

    __slots__ = (
        "_base",
        "_doubling_s",
        "_felt_s",
        "_first",
        "_heard",
        "_heard_at",
        "_hold",
        "_kept",
        "_kind",
        "_met",
        "_own",
        "_own_most",
        "_peak",
        "_rest",
        "_starts",
        "_told",
        "is_measured",
        "most",
        "value",
    )

    def __init__(self, told: float | None, *, is_adaptive: bool) -> None:
        """``told``: requests a minute, by the job; None: nobody knows, or there is no limit."""
        margin = TOLD if is_adaptive else 1.0
        self._own = self._told = told
        self._own_most = self.most = inf if told is None else margin * told / 60
        self.value = FIRST_PER_S if told is None and is_adaptive else self.most
        self.is_measured = False
        self._starts = True
        self._doubling_s = _DOUBLING_S
        self._hold = -inf
        self._heard: float | None = None
        self._heard_at = -inf
        self._kind = _Kind.UNKNOWN
        self._met: deque[_Met] = deque(maxlen=6)
        self._first = _Met(self.value, self.value)
        self._base = self.value
        self._peak = inf
        self._felt_s = 0.0
        self._rest = Rest(_REST_S, _LONGEST_REST_S)
        self._kept = (self.value, True)

    @property
    def interval_s(self) -> float:
        """Seconds from one departure to the next."""
        return 1 / self.value

    def interval_after(self, n_left: int) -> float:
        """The same, after so many have left: where nothing is known, the first few go at once."""
        is_free = self._starts and self._told is None and n_left < FIRST_AT_ONCE
        return 0.0 if is_free else self.interval_s

    @property
    def per_minute(self) -> float | None:
        """Requests a minute, as measured or as told; None where nobody knows."""
        return 60 * self._base if self.is_measured else self._told

    def told(self, per_minute: float, *, left_at: float, may_raise: bool) -> None:
        """The provider tells its limit, in the reply to a request that left at ``left_at``."""
        if left_at <= self._heard_at:
            return
        self._heard_at = left_at
        if per_minute == self._heard:
            return
        self._heard = per_minute
        self._told = min(per_minute, self._own or inf)
        self.most = min(MARGIN * per_minute / 60, self._own_most)
        if self.value > self.most or (may_raise and not self.is_measured):
            self.value = self._base = self.most
        self._starts = False

    def answered(self, latency_s: float) -> None:
        """An answer took so long: the sooner they come, the sooner a start can go on."""
        self._doubling_s = min(_DOUBLING_S, max(_FASTEST_DOUBLING_S, latency_s))

    def grow(self, now: float, since_s: float) -> None:
        """The pace has held requests back for so many seconds: feel upwards, once it has rested."""
        if self.value >= min(self.most, _MOST_PER_S) or now < self._hold:
            return
        step_s = min(since_s, 1.0)
        self._felt_s += step_s
        self.value = min(self.most, _MOST_PER_S, self.value * exp(self._speed() * step_s))

    def keep(self) -> None:
        """Remember the pace, in case the refusals turn out not to be about it."""
        self._kept = (self.value, self._starts)

    def restore(self) -> None:
        """They were not."""
        value, self._starts = self._kept
        self.resume(value)

    def resume(self, value: float) -> None:
        """Back to that pace, as if nothing had been measured: it was not to blame."""
        self.value = self._base = max(self.value, min(value, self.most))
        self._first = _Met(self.value, self.value)
        self.is_measured = False
        self._met.clear()
        self._kind = _Kind.UNKNOWN
        self._hold = -inf

    def refused(self, reading: Reading, *, pace: float, waited_s: float) -> None:
        """Settle at what a refusal measures, and rest; or go on looking.

        ``pace``: at which it was met. ``waited_s``: since the refusals began, until the gate opens.
        """
        average = self._average(reading)
        if not reading.is_again:
            self._first = _Met(average, pace)
            self._judge(reading)
        met = _Met(average, self._first.pace)
        value, is_found = self._between(met, reading, waited_s)
        if not reading.is_again and not reading.is_few:
            self._met.append(met)
        self.value = min(max(LEAST_PER_S, min(value, MARGIN * met.pace)), self.value)
        self.is_measured, self._starts = True, False
        self._base, self._felt_s = self.value, 0.0
        self._peak = inf if is_found else met.pace
        self._hold = reading.opens_at + (self._rest_s(waited_s) if is_found else self._slowness)

    def _is_past_the_first(self, reading: Reading) -> bool:
        """Whether this is the start, and those that left at once were let in."""
        return self._starts and self._told is None and reading.n_let_in > FIRST_AT_ONCE

    def _average(self, reading: Reading) -> float:
        """What was let in a second; half of the first: they may have been held ready."""
        if not self._is_past_the_first(reading):
            return reading.average
        return reading.average * (1 - FIRST_AT_ONCE / 2 / reading.n_let_in)

    def _judge(self, reading: Reading) -> None:
        """What the refusals so far tell of the limit."""
        if self._is_past_the_first(reading):
            self._kind = _Kind.COUNTED  # who lets in many at once does not want them apart
        if reading.is_few or not self._met:
            return
        met, last = self._first, self._met[-1]
        if any(map(met.is_counted_with, self._met)):
            self._kind = _Kind.COUNTED
        elif self._kind is _Kind.SPACED and met.pace < _FALLEN * last.pace:
            self._kind = _Kind.UNKNOWN
        elif self._kind is _Kind.UNKNOWN and met.pace > _FELT * self._base:
            self._kind = _Kind.SPACED if met.is_spaced_after(last) else _Kind.UNKNOWN

    def _between(self, met: _Met, reading: Reading, waited_s: float) -> tuple[float, bool]:
        """Where to settle, and whether the limit is found there, or has yet to be tried."""
        pace = met.pace
        if reading.is_nothing and self._kind is _Kind.UNKNOWN:
            return max(pace / 2, MARGIN * reading.long), False
        if waited_s > _LONG_WAIT_S:
            margin = MARGIN if reading.is_again else _SURE_MARGIN  # of a hint, or of guesses
            return margin * self._after_long(met, reading), True
        if self._kind is _Kind.SPACED:
            return _SPACED_MARGIN * pace, True
        if reading.is_few:
            return _FEW_MARGIN * pace, False
        return self._middle(met)

    def _after_long(self, met: _Met, reading: Reading) -> float:
        """What was let in, the wait included; half the pace of many, unless that was met before.

        Who asks to wait for longer than its limit takes lets in another average each time.
        """
        average = max(met.average, reading.long)
        is_met_again = any(_is_near(average, one.average, _SAME_AVERAGE) for one in self._met)
        is_sure = is_met_again or reading.n_let_in < _MANY
        return average if is_sure else max(average, met.pace / 2)

    def _middle(self, met: _Met) -> tuple[float, bool]:
        """The same, where what was met is much to go by."""
        average, pace = met
        last = self._met[-1] if self._met else _NEVER
        is_same = _is_near(average, last.average, _SAME_AVERAGE)
        if self._kind is _Kind.COUNTED and (is_same or pace < _WIDE * average):
            margin = _SURE_MARGIN if is_same else MARGIN
            return max(margin * max(average, pace / 2), self._sustained(met)), True
        if is_same and _is_near(pace, last.pace, _SAME_PACE):
            return MARGIN * average, True  # half-way was tried, and told nothing new
        return max(sqrt(average * pace), pace / 2), pace < _NARROW * average

    def _sustained(self, met: _Met) -> float:
        """A little more than the pace it rested at unrefused, where it was refused well above it.

        While it rests below the limit, the average tells more of the rest than of the limit.
        """
        was_felt = self._base < 0.97 * met.pace and met.average > 0.9 * self._base
        return _A_LITTLE_MORE * self._base if was_felt else 0.0

    def _rest_s(self, waited_s: float) -> float:
        """How long to leave alone what was found."""
        rest_s = self._rest.after(self.value) * self._slowness
        return max(rest_s, min(_LONGEST_PENANCE_S, _PENANCE * waited_s))

    @property
    def _slowness(self) -> float:
        return max(1.0, _SLOW_PER_S / self.value)

    def _speed(self) -> float:
        """By which share it grows in a second."""
        if self._starts:
            return log(2) / self._doubling_s
        if self.value < _NEAR * self._peak < inf:
            return _SEARCH_SPEED / self._slowness
        return (_SPEED + _ACCELERATION * self._felt_s / self._slowness) / self._slowness


def _is_near(one: float, other: float, share: float) -> bool:
    return abs(one - other) <= share * max(one, other)
