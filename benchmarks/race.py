"""A job against a scenario in virtual time: the engine's own pool, the scenario's turnstiles.

Nothing is waited for and nothing is kept: a race of 3,000 prompts takes a second or two.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from virtual import VirtualLoop

from pipeline.core.model import Answer, Failed, Failure, Image, Past, Receipt, Task, Why
from pipeline.core.scenario import ideal_s
from pipeline.engine.pool import Pool
from pipeline.engine.retry import Caps, Retry
from pipeline.engine.routes import Route
from pipeline.engine.stages import Guards, Stages
from pipeline.engine.worker import Got
from pipeline.errors import NotAllowed
from pipeline.limit.budget import Budget
from pipeline.limit.lane import Lane, Limits
from pipeline.provider.hints import wait_asked_for
from pipeline.provider.rates import limit_told
from pipeline.provider.simulator.turnstile import Turnstile, Verdict

if TYPE_CHECKING:
    from pipeline.core.model import Outcome
    from pipeline.core.ports import Event, Trail
    from pipeline.core.scenario import Endpoint, Scenario

CAPS = Caps(attempts=6, max_wait_s=60, no_image=2, refused=1, lost=6, is_throttling_free=True)
CALM = Guards(failures_in_a_row=10**9, grace_s=60)
TOTAL_S = 600.0
"""After how long a job gives up a request, where it says nothing else."""
ONE_WAY_S, JITTER_S = 0.02, 0.002
"""How long a request is on its way, and the mean of what the network adds to that."""

_WHYS = {
    401: Why.AUTH,
    429: Why.THROTTLED,
    500: Why.SERVER_ERROR,
    503: Why.OVERLOADED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a race went. ``n_refusals``: the 429s, ``n_twice``: what was sent twice at once.

    ``left``, ``refused``: when requests left, and were refused; seconds from the start.
    """

    took_s: float
    ideal_s: float
    n_tasks: int
    n_lost: int
    n_refusals: int
    n_twice: int
    left: tuple[float, ...] = ()
    refused: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The time it took, as a multiple of what nobody can beat."""
        return self.took_s / self.ideal_s

    @property
    def refusals_per_thousand(self) -> float:
        """429s for each 1,000 prompts."""
        return 1_000 * self.n_refusals / self.n_tasks


def lane_for(scenario: Scenario, endpoint: Endpoint) -> Lane:
    """The lane that the scenario's job has for an endpoint."""
    is_told = scenario.is_told
    return Lane(
        Limits(
            concurrency=scenario.concurrency,
            requests_per_minute=endpoint.per_minute if is_told else None,
            images_per_minute=endpoint.images_per_minute if is_told else None,
        )
    )


def race(scenario: Scenario, *, seed: int = 0, hedges: bool = False) -> Told:
    """Drive the scenario's job to its end; ``hedges``: cancelled requests are not billed."""
    world = _World(scenario, random.Random(seed), seed)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(world.race(hedges=hedges))


@dataclass
class _World:
    """Fakes for every port but the provider's, which is the scenario."""

    scenario: Scenario
    random: random.Random
    seed: int
    lost: list[Outcome] = field(default_factory=list)
    out: Counter[int] = field(default_factory=Counter)
    left: list[float] = field(default_factory=list)
    n_twice: int = 0
    refused: list[float] = field(default_factory=list)
    settled_at: float = 0.0

    async def race(self, *, hedges: bool) -> Told:
        start = self.now()
        routes = [
            self._route(number, hedges=hedges) for number in range(len(self.scenario.endpoints))
        ]
        stages = Stages(
            routes=routes,
            budget=Budget(),
            retry=Retry(CAPS, uniform=self.random.uniform),
            store=self,
            observer=self,
            clock=self,
        )
        pool = Pool(stages, CALM, n_workers=self.scenario.concurrency * len(routes))
        stop = await pool.run(map(_task, range(self.scenario.n_tasks)))
        assert stop is None, stop
        return Told(
            took_s=self.settled_at - start,
            ideal_s=ideal_s(self.scenario),
            n_tasks=self.scenario.n_tasks,
            n_lost=len(self.lost),
            n_refusals=len(self.refused),
            n_twice=self.n_twice,
            left=tuple(at - start for at in self.left),
            refused=tuple(at - start for at in self.refused),
        )

    def _route(self, number: int, *, hedges: bool) -> Route:
        endpoint = self.scenario.endpoints[number]
        turnstile = Turnstile(endpoint, self.scenario, seed=self.seed * 31 + number)

        async def attempt(task: Task, _: Trail) -> Got | Failure:
            self.left.append(self.now())
            self.n_twice += self.out[task.index] > 0
            self.out[task.index] += 1
            try:
                async with asyncio.timeout(TOTAL_S):
                    return self._result(await self._met(turnstile))
            except TimeoutError:
                return Failure(why=Why.LOST, is_maybe_billed=True)
            finally:
                self.out[task.index] -= 1

        gate = lane_for(self.scenario, endpoint)
        return Route(name=f"lane {number}", attempt=attempt, gate=gate, hedges=hedges)

    async def _met(self, turnstile: Turnstile) -> Verdict:
        await asyncio.sleep(ONE_WAY_S + self.random.expovariate(1 / JITTER_S))
        verdict = turnstile.enter(self.now())
        try:
            await (
                asyncio.Event().wait() if verdict.after_s == inf else asyncio.sleep(verdict.after_s)
            )
        finally:
            if verdict.is_let_in:
                turnstile.leave()
        await asyncio.sleep(ONE_WAY_S)
        return verdict

    def _result(self, verdict: Verdict) -> Got | Failure:
        headers = {name.lower(): value for name, value in verdict.headers.items()}
        answer = Answer(detail=verdict.message, limit=limit_told(headers))
        if verdict.status == 200:
            return Got(images=(_IMAGE,) * verdict.n_images, answer=answer)
        if verdict.status == 429:
            self.refused.append(self.now())
        return Failure(
            why=_WHYS[verdict.status],
            answer=answer,
            retry_after_s=wait_asked_for(headers, {}, arrived_at=0.0),
            stop=NotAllowed("revoked") if verdict.status == 401 else None,
        )

    async def keep(self, outcome: Outcome) -> Receipt:
        self.settled_at = self.now()
        if isinstance(outcome, Failed):
            self.lost.append(outcome)
        return Receipt(outcome=outcome, record={"images": []})

    def begin(self, task: Task, attempt: int, *, at: str) -> _Trail:
        return _Trail()

    def see(self, event: Event) -> None:
        pass

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def utc(self) -> str:
        return ""

    def utc_in(self, seconds: float) -> str:
        return ""


class _Nowhere:
    """A part file that is none."""

    def write(self, piece: bytes) -> None:
        pass

    def discard(self) -> None:
        pass


_IMAGE = Image(
    part=_Nowhere(), media_type="image/png", width=1, height=1, n_bytes=0, sha256="", file=None
)


class _Trail:
    """A trail that forgets."""

    @property
    def past(self) -> Past:
        return Past()

    def answered(self) -> None:
        pass

    def heard(self, request_id: str) -> None:
        pass

    def part(self) -> Any:
        raise AssertionError

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        pass


def _task(number: int) -> Task:
    return Task(id=f"{number:020x}", index=number, sample=0, prompt=f"p{number}", model="m")
