"""One endpoint of a scenario: whom it lets in, and what those meet; ``now`` is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, cos, exp, inf, log, sqrt, tau
from typing import TYPE_CHECKING

from pipeline.core.scenario import Telling
from pipeline.provider.simulator.chance import Chance
from pipeline.provider.simulator.counting import counter_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.scenario import Endpoint, Scenario

_Z_OF_P99 = 2.3263478740408408


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a request meets. Who ``is_let_in`` is told to :meth:`Turnstile.leave` when it is done.

    ``status``: 200, 401, 429, 500 or 503, after ``after_s`` seconds: without end where it hangs.
    """

    status: int
    after_s: float = 0.0
    is_let_in: bool = False
    n_images: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""

    @property
    def fault(self) -> str | None:
        """What who was let in meets, by the name that the simulator has for it."""
        if self.after_s == inf:
            return "hang"
        return "server_error" if self.status == 500 else None


class Turnstile:
    """One endpoint, from its first request on. ``seed`` settles every draw.

    ``in_flight``: how many are inside, ``peak``: how many ever were.
    """

    def __init__(self, endpoint: Endpoint, scenario: Scenario, *, seed: int = 0) -> None:
        """Nobody has come yet."""
        self._endpoint = endpoint
        self._scenario = scenario
        self._chance = Chance(seed * 7919 + 17)
        self._started_at: float | None = None
        self._requests = counter_for(endpoint, endpoint.per_minute)
        self._images = counter_for(endpoint, endpoint.images_per_minute)
        self.in_flight = 0
        self.peak = 0

    def enter(self, now: float) -> Verdict:
        """One request arrives."""
        if self._started_at is None:
            self._started_at = now
        at_s, endpoint = now - self._started_at, self._endpoint
        if at_s >= endpoint.revoked_at_s:
            return Verdict(status=401, message="This key has been revoked")
        if endpoint.is_out(at_s):
            return Verdict(status=503, message="The model is overloaded")
        if endpoint.in_flight is not None and self.in_flight >= endpoint.in_flight:
            return self._too_many_at_once(endpoint.in_flight)
        return self._counted(at_s)

    def leave(self) -> None:
        """One that was let in is done."""
        self.in_flight -= 1

    def _counted(self, at_s: float) -> Verdict:
        endpoint, n_images, share = self._endpoint, self._n_images(), self._endpoint.share(at_s)
        requests_s = self._requests.wait(at_s, 1, share)
        wait_s = max(requests_s, self._images.wait(at_s, n_images, share))
        if wait_s > 0:
            if endpoint.counts_refusals:
                self._requests.take(at_s, 1)
            return self._too_fast(wait_s, share)
        self._requests.take(at_s, 1)
        self._images.take(at_s, n_images)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return self._let_in(n_images)

    def _n_images(self) -> int:
        numbers = self._scenario.images_per_reply
        return numbers[0] if len(numbers) == 1 else self._chance.pick(numbers)

    def _let_in(self, n_images: int) -> Verdict:
        scenario, share = self._scenario, self._chance.share()
        if share < scenario.hang_share:
            return Verdict(status=200, after_s=inf, is_let_in=True)
        after_s = self._latency_s()
        if share < scenario.hang_share + scenario.error_share:
            message = "Internal Server Error"
            return Verdict(status=500, after_s=after_s, is_let_in=True, message=message)
        return Verdict(status=200, after_s=after_s, is_let_in=True, n_images=n_images)

    def _latency_s(self) -> float:
        median_s, p99_s = self._scenario.latency_s, self._scenario.latency_p99_s
        sigma = log(p99_s / median_s) / _Z_OF_P99
        radius = sqrt(-2 * log(1 - self._chance.share()))
        return median_s * exp(sigma * radius * cos(tau * self._chance.share()))

    def _too_many_at_once(self, most: int) -> Verdict:
        named = f"Too many concurrent requests: at most {most}"
        message = named if self._endpoint.names_crowd else "Too many requests"
        return Verdict(status=429, message=message, headers=self._hint(0.0))

    def _too_fast(self, wait_s: float, share: float) -> Verdict:
        endpoint, headers = self._endpoint, self._hint(wait_s)
        if endpoint.tells is Telling.REFUSALS and endpoint.per_minute:
            n = endpoint.per_minute / 60 * share * endpoint.window_s
            headers["RateLimit-Policy"] = f'"default";q={n:.0f};w={endpoint.window_s:g}'
        return Verdict(status=429, message="Rate limit exceeded", headers=headers)

    def _hint(self, wait_s: float) -> dict[str, str]:
        """A hint is rounded up, as those in whole seconds are."""
        endpoint = self._endpoint
        if not endpoint.gives_hint:
            return {}
        steps = max(1, ceil(wait_s / endpoint.hint_step_s - 1e-9))
        return {"Retry-After": f"{steps * endpoint.hint_step_s:g}"}
