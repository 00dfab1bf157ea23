"""The ways to an image: each an endpoint with its key and its own gate; the least busy one serves.

A route that will not serve again in this run (its key revoked, its quota used up) is closed, for
one model or altogether, and what it was to serve goes to the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.admission import Ending
from pipeline.core.model import Failure, Why
from pipeline.core.ports import HeldBy, LaneState
from pipeline.engine.worker import Got

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pipeline.core.admission import Gate, Ticket
    from pipeline.core.model import Task
    from pipeline.core.ports import Hold, Trail


def everything(_: Task) -> bool:
    """Whether a route serves a task: any."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One way to an image.

    ``name`` goes into the records. ``attempt`` asks once for a task and raises nothing but a Stop.
    ``serves``: whether its dialect has words for a task. Of two that are free the one with less in
    flight for its ``weight`` is taken. ``hedges``: what is cancelled there is not billed.
    """

    name: str
    attempt: Callable[[Task, Trail], Awaitable[Got | Failure]]
    gate: Gate
    serves: Callable[[Task], bool] = everything
    weight: float = 1.0
    hedges: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Leave to send one request on a route."""

    route: Route
    ticket: Ticket
    tickets: tuple[tuple[Gate, Ticket], ...]


class Routes:
    """Which route may be taken when, and which next. ``now`` is monotonic seconds."""

    def __init__(self, routes: Sequence[Route], *, overall: Gate | None = None) -> None:
        """``overall``: a gate before all of them."""
        self._open = list(routes)
        self._overall = [overall] if overall else []
        self._closed_for: set[tuple[Route, str]] = set()
        self._n_out = dict.fromkeys(routes, 0)

    def wait(self, now: float) -> float:
        """Seconds until a request may leave on any of them; inf: only after one comes back."""
        return self._least_wait(self._open, now)

    def wait_of(self, task: Task, now: float, *, is_copy: bool = False) -> float:
        """Seconds until a request for this task may leave."""
        return self._least_wait(self._serving(task, is_copy=is_copy), now)

    def choose(self, task: Task, now: float, *, is_copy: bool = False) -> Route | None:
        """The route for a task that may leave now, None where it has to wait.

        ``is_copy``: the task is out already; only where it costs nothing to call it back.
        """
        if self._overall_wait(now) > 0:
            return None
        serving = self._serving(task, is_copy=is_copy)
        free = [route for route in serving if route.gate.wait(now) <= 0]
        return min(free, key=lambda route: self._n_out[route] / route.weight, default=None)

    def leave(self, route: Route, now: float) -> Leave:
        """One leaves on ``route``; only after :meth:`choose` gave it."""
        self._n_out[route] += 1
        ticket = route.gate.leave(now)
        others = tuple((gate, gate.leave(now)) for gate in self._overall)
        return Leave(route=route, ticket=ticket, tickets=((route.gate, ticket), *others))

    def back(
        self, leave: Leave, now: float, result: Got | Failure | None, *, is_beaten: bool = False
    ) -> None:
        """One came back; what it says of limits is its own endpoint's alone.

        ``is_beaten``: it was called back, as a copy of it was first. None: the run was cut off.
        """
        self._n_out[leave.route] -= 1
        what = Ending.CANCELLED if is_beaten and isinstance(result, Failure) else ending_of(result)
        failure = result if isinstance(result, Failure) else None
        n_images = len(result.images) if isinstance(result, Got) else 0
        (gate, ticket), *others = leave.tickets
        gate.back(
            ticket,
            now,
            what,
            retry_after_s=failure.retry_after_s if failure else None,
            limit=result.answer.limit if result else None,
            label=failure.answer.detail if failure else None,
            n_images=n_images,
        )
        for other, other_ticket in others:
            its_own = what if what is Ending.OK else Ending.CANCELLED
            other.back(other_ticket, now, its_own, n_images=n_images)

    def states(self, now: float, of_all: HeldBy | None) -> list[LaneState]:
        """How each that is open stands; ``of_all``: what holds them all back, if anything does."""
        told = []
        for route in self._open:
            hold = self._hold(route, now)
            if of_all is not None:
                hold = replace(hold, by=of_all, until_s=None)
            told.append(LaneState(lane=route.name, in_flight=self._n_out[route], hold=hold))
        return told

    def _hold(self, route: Route, now: float) -> Hold:
        """What holds it back, or what holds all of them."""
        hold = route.gate.holding(now)
        for gate in self._overall if hold.by is HeldBy.NOTHING else ():
            hold = gate.holding(now)
        return hold

    def serve(self, task: Task) -> bool:
        """Whether any of them still serves a task."""
        return bool(self._serving(task))

    def is_open(self, route: Route) -> bool:
        """Whether it serves anybody."""
        return route in self._open

    def close(self, route: Route) -> bool:
        """It serves nobody any more; whether another one is open."""
        if route in self._open:
            self._open.remove(route)
        return bool(self._open)

    def close_for(self, route: Route, task: Task) -> bool:
        """It does not serve the task's model any more; whether another one does."""
        self._closed_for.add((route, task.model))
        return self.serve(task)

    def _serving(self, task: Task, *, is_copy: bool = False) -> list[Route]:
        return [
            route
            for route in self._open
            if (route, task.model) not in self._closed_for
            and route.serves(task)
            and (route.hedges or not is_copy)
        ]

    def _least_wait(self, routes: Sequence[Route], now: float) -> float:
        wait_s = min((route.gate.wait(now) for route in routes), default=inf)
        return max(wait_s, self._overall_wait(now))

    def _overall_wait(self, now: float) -> float:
        return max((gate.wait(now) for gate in self._overall), default=0.0)


def ending_of(result: Got | Failure | None) -> Ending:
    """What a gate is told; an attempt that was cancelled tells nothing against the endpoint.

    Nor does an answer about a key or a model. An overload with a hint is a limit by another name.
    """
    if result is None:
        return Ending.CANCELLED
    if not isinstance(result, Failure):
        return Ending.OK
    is_overload = result.why is Why.OVERLOADED and result.retry_after_s is not None
    if result.why is Why.THROTTLED or is_overload:
        return Ending.REFUSED
    is_well = result.stop is not None or not result.why.is_the_providers_fault
    return Ending.OK if is_well else Ending.FAULT
