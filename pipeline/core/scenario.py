"""A provider's weather as a value: what it lets in, how that changes, and what goes wrong.

The ideal is what nobody can beat: every request leaves the moment the provider would let it in, and
the last of them takes as long as the slowest 1 % (:func:`ideal_s`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import exp, inf, log


class Counting(StrEnum):
    """How a provider counts a rate."""

    BUCKET = "a token bucket"
    FIXED = "by the minute of the clock"
    SLIDING = "in the last minute"


class Telling(StrEnum):
    """On which replies a provider tells its limit in headers."""

    NEVER = "never"
    REFUSALS = "on refusals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What one key of a provider lets in. Times are seconds from its first request.

    ``burst``: what a token bucket holds. ``window_s``: what a fixed or sliding window counts in;
    ``counts_refusals``: also what it turned away. ``in_flight``: the most at once.
    ``course``: points of (time, share of the rate), straight lines between them. ``outages``: from
    when to when every request meets a 503. ``gives_hint``: whether a 429 says how long to wait,
    rounded up to ``hint_step_s``; ``names_crowd``: whether one for too many at once says so.
    """

    per_minute: float | None = 600.0
    counting: Counting = Counting.BUCKET
    burst: float = 10.0
    window_s: float = 60.0
    counts_refusals: bool = False
    in_flight: int | None = None
    images_per_minute: float | None = None
    course: tuple[tuple[float, float], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    revoked_at_s: float = inf
    gives_hint: bool = True
    hint_step_s: float = 1.0
    tells: Telling = Telling.NEVER
    names_crowd: bool = False

    def share(self, at_s: float) -> float:
        """The share of the rate that holds at a time."""
        if not self.course:
            return 1.0
        for (start_s, low), (end_s, high) in pairwise(self.course):
            if start_s <= at_s < end_s:
                return low + (high - low) * (at_s - start_s) / (end_s - start_s)
        return self.course[0][1] if at_s < self.course[0][0] else self.course[-1][1]

    def is_out(self, at_s: float) -> bool:
        """Whether every request meets a 503 at a time."""
        return any(start_s <= at_s < end_s for start_s, end_s in self.outages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A job, and the provider it meets.

    ``is_told``: whether the job names the limits of each endpoint. ``concurrency``: the most that
    the job lets out at once. The latency is log-normal, by its median and 99th percentile.
    ``error_share`` of the requests end in a 500, ``hang_share`` never; a reply brings one of
    ``images_per_reply``, each as often.
    """

    name: str
    what: str
    endpoints: tuple[Endpoint, ...] = (Endpoint(),)
    is_told: bool = False
    n_tasks: int = 3_000
    concurrency: int = 256
    latency_s: float = 8.0
    latency_p99_s: float = 45.0
    error_share: float = 0.02
    hang_share: float = 0.01
    images_per_reply: tuple[int, ...] = (1,)

    @property
    def mean_latency_s(self) -> float:
        """The mean of the log-normal distribution."""
        sigma = log(self.latency_p99_s / self.latency_s) / _Z_OF_P99
        return self.latency_s * exp(sigma * sigma / 2)


_Z_OF_P99 = 2.3263478740408408
_STEP_S = 0.05


def ideal_s(scenario: Scenario) -> float:
    """Seconds that the job takes where every request leaves as soon as it would be let in.

    Nothing left over from a quiet time is counted: neither a full bucket nor a fresh minute.
    """
    at_s, n_left = 0.0, float(scenario.n_tasks)
    while n_left > 0:
        n_left -= _STEP_S * sum(_rate(one, scenario, at_s) for one in scenario.endpoints)
        at_s += _STEP_S
    return at_s + scenario.latency_p99_s


def _rate(endpoint: Endpoint, scenario: Scenario, at_s: float) -> float:
    """Requests a second that an endpoint lets in at a time."""
    if endpoint.is_out(at_s) or at_s >= endpoint.revoked_at_s:
        return 0.0
    share, numbers = endpoint.share(at_s), scenario.images_per_reply
    rates = (
        endpoint.per_minute and endpoint.per_minute / 60 * share,
        endpoint.images_per_minute
        and endpoint.images_per_minute / 60 * share * len(numbers) / sum(numbers),
        endpoint.in_flight and endpoint.in_flight / scenario.mean_latency_s,
        scenario.concurrency / scenario.mean_latency_s,
    )
    return min(rate for rate in rates if rate is not None)


def scaled(scenario: Scenario, by: float) -> Scenario:
    """The same weather, ``by`` times as fast."""
    return replace(
        scenario,
        endpoints=tuple(_faster(one, by) for one in scenario.endpoints),
        latency_s=scenario.latency_s / by,
        latency_p99_s=scenario.latency_p99_s / by,
    )


def _faster(endpoint: Endpoint, by: float) -> Endpoint:
    return replace(
        endpoint,
        per_minute=endpoint.per_minute and endpoint.per_minute * by,
        images_per_minute=endpoint.images_per_minute and endpoint.images_per_minute * by,
        window_s=endpoint.window_s / by,
        course=tuple((at_s / by, share) for at_s, share in endpoint.course),
        outages=tuple((start_s / by, end_s / by) for start_s, end_s in endpoint.outages),
        revoked_at_s=endpoint.revoked_at_s / by,
        hint_step_s=endpoint.hint_step_s / by,
    )
