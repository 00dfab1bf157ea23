"""Leave to send to one endpoint and key: a pace, a window and a gate, moved by what comes back.

The lane only decides. Binding a leave to a task is the pool's business, which does so as late as it
can. What the job tells is never exceeded; what nobody tells is measured: a refusal shows how much
was let in until then. Only what holds requests back is ever raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.admission import Ending, Ticket
from pipeline.core.ports import HeldBy, Hold
from pipeline.limit.chance import Chance
from pipeline.limit.cooldown import Cooldown
from pipeline.limit.crowd import Crowd
from pipeline.limit.gauge import Gauge
from pipeline.limit.health import Health
from pipeline.limit.imagery import Imagery
from pipeline.limit.pace import Pace
from pipeline.limit.rate import Rate
from pipeline.limit.window import Window

if TYPE_CHECKING:
    from pipeline.core.model import RateLimit

_GUESS_S, _LEAST_GUESS_S = 1.0, 0.25
_INTERVALS_OF_GUESS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the job and the profile say. ``concurrency``: the most in flight; None: no such limit.

    ``is_adaptive``: whether limits that nobody tells are looked for; else those told are all.
    """

    concurrency: int
    requests_per_minute: float | None = None
    images_per_minute: float | None = None
    is_adaptive: bool = True


class Lane:
    """Implements the Gate port."""

    def __init__(self, limits: Limits) -> None:
        """Nothing has left yet."""
        self._is_adaptive = limits.is_adaptive
        self._rate = Rate(limits.requests_per_minute, is_adaptive=limits.is_adaptive)
        self._pace = Pace()
        self._imagery = Imagery(limits.images_per_minute)
        self._window = Window(limits.concurrency)
        self._cooldown = Cooldown()
        self._health = Health()
        self._gauge = Gauge()
        self._crowd = Crowd()
        self._chance = Chance()
        self._n_left = 0
        self._n_in_flight = 0
        self._left_at = -inf
        self._is_bound = False
        self._is_bound_by_images = False

    @property
    def pace_per_s(self) -> float:
        """Requests that may leave in a second, as felt for at the moment; inf: any number."""
        return self._rate.value

    @property
    def is_sick(self) -> bool:
        """Whether the endpoint is down for a while, and only probes leave."""
        return self._health.is_sick

    def wait(self, now: float) -> float:
        """Seconds until the next may leave: 0 = go, inf = only after one comes back, or never."""
        if self._n_in_flight >= self._window.size:
            return inf
        return max(0.0, self._due - now, self._cooldown.wait(now), self._health.wait(now))

    def leave(self, now: float) -> Ticket:
        """One leaves now; only after ``wait(now)`` said 0."""
        self._keep_pace(now)
        self._cooldown.leave(now)
        self._health.leave(now)
        self._gauge.leave(now)
        self._n_left += 1
        self._n_in_flight += 1
        ticket = Ticket(
            number=self._n_left,
            left_at=now,
            n_in_flight=self._n_in_flight,
            n_images=self._imagery.mean,
        )
        self._window.leave(now, self._n_in_flight)
        self._crowd.leave(ticket)
        return ticket

    def back(  # noqa: PLR0913 - the port's
        self,
        ticket: Ticket,
        now: float,
        what: Ending,
        *,
        retry_after_s: float | None = None,
        limit: RateLimit | None = None,
        label: str | None = None,
        n_images: int | None = None,
    ) -> None:
        """One came back, with what it met; see the port."""
        self._n_in_flight -= 1
        if limit and self._is_adaptive:
            may_raise = what is not Ending.REFUSED
            self._rate.told(limit.per_minute, left_at=ticket.left_at, may_raise=may_raise)
        if what is Ending.REFUSED:
            self._refused(ticket, now, retry_after_s, label)
        elif retry_after_s:
            self._cooldown.hold(now, retry_after_s)
        if what is Ending.OK:
            self._answered(ticket, now)
        elif what is Ending.FAULT and self._is_adaptive:
            self._health.fault(now, left_at=ticket.left_at)
        self._imagery.back(ticket, n_images if what is Ending.OK else 0)

    @property
    def _due(self) -> float:
        """When the paces have the next one due."""
        return max(self._pace.due, self._imagery.due)

    def holding(self, now: float) -> Hold:
        """What holds the next one back now, and the limits as they are now."""
        by, until_s = self._held_by(now)
        window = self._window
        is_measured = window.is_measured if by is HeldBy.WINDOW else self._rate.is_measured
        return Hold(
            by=by,
            until_s=until_s,
            per_minute=self._per_minute,
            window=window.size,
            is_measured=is_measured or (self._per_minute is None and window.is_measured),
        )

    @property
    def _per_minute(self) -> float | None:
        """Requests a minute, as far as there is such a limit."""
        paces = (self._rate.per_minute, self._imagery.requests_per_minute)
        return min((pace for pace in paces if pace is not None), default=None)

    def _held_by(self, now: float) -> tuple[HeldBy, float | None]:
        """What holds, and seconds until it ends, where that is known."""
        if self.is_sick:
            return HeldBy.SICK, self._health.wait(now)
        if wait_s := self._cooldown.wait(now):
            return HeldBy.GATE, wait_s
        if self._n_in_flight >= self._window.size:
            return HeldBy.WINDOW, None
        if self._is_due_soon(now) or self._imagery.due > now:
            return HeldBy.PACE, max(0.0, self._due - now)
        return HeldBy.NOTHING, None

    def _is_due_soon(self, now: float) -> bool:
        """Whether the pace is what holds requests back: the last was due not an interval ago."""
        return self._pace.due > now - self._rate.interval_s

    def _keep_pace(self, now: float) -> None:
        self._is_bound = self._is_due_soon(now)
        self._is_bound_by_images = self._imagery.due > self._pace.due
        if self._is_bound and not self._is_bound_by_images:
            self._rate.grow(now, now - self._left_at)
        held_until = self._cooldown.held_until
        interval_s = self._rate.interval_after(self._n_left + 1)
        self._pace.leave(now, interval_s, held_until=held_until)
        self._imagery.leave(now, held_until=held_until)
        self._left_at = now

    def _answered(self, ticket: Ticket, now: float) -> None:
        self._rate.answered(now - ticket.left_at)
        self._cooldown.answered(left_at=ticket.left_at)
        if self._health.answered(left_at=ticket.left_at):
            self._gauge.restart(now)

    def _refused(self, ticket: Ticket, now: float, hint_s: float | None, label: str | None) -> None:
        is_news = self._cooldown.is_news(ticket.left_at)
        self._gauge.refused(ticket.number)
        self._cooldown.refused(
            now, left_at=ticket.left_at, hint_s=hint_s, first_s=self._first_guess_s
        )
        if not is_news or not self._is_adaptive:
            return
        if most := self._shown_window(ticket, label):
            self._window.settle(most, now)
        elif not (self._is_bound_by_images and self._imagery.refused(ticket.left_at)):
            self._slow_down(now, has_hint=hint_s is not None)

    @property
    def _first_guess_s(self) -> float:
        """How long to wait after a refusal without a hint: for a request or two."""
        if not self._is_adaptive:
            return _GUESS_S
        return min(_GUESS_S, max(_LEAST_GUESS_S, _INTERVALS_OF_GUESS * self._rate.interval_s))

    def _shown_window(self, ticket: Ticket, label: str | None) -> int | None:
        """How many may be in flight, where a refusal shows it."""
        if self._window.is_beyond(ticket.n_in_flight):
            return ticket.n_in_flight - 1
        most = self._crowd.refused(ticket, label)
        if self._crowd.is_first:
            self._rate.keep()
        elif self._crowd.is_proven:
            self._rate.restore()
        elif self._crowd.is_disproven:
            self._window.lift()
        return most

    def _slow_down(self, now: float, *, has_hint: bool) -> None:
        rate, cooldown = self._rate, self._cooldown
        reading = self._gauge.read(
            now, opens_at=cooldown.until, is_again=cooldown.is_barren, has_hint=has_hint
        )
        pace = rate.value if self._is_bound else min(rate.value, self._gauge.recent())
        if pace_before := self._chance.refused(reading, pace):
            rate.resume(pace_before)
            self._gauge.restart(cooldown.until)
            return
        rate.refused(reading, pace=pace, waited_s=cooldown.until - cooldown.since)
