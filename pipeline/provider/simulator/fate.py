"""Which fault a request meets: the rules first, then the shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.provider.simulator.chance import share_of
from pipeline.provider.simulator.faults import PLAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.simulation import FaultRule, Simulation
    from pipeline.provider.simulator.asked import Asked

# The tries of one body are spread evenly instead of drawn anew: a share comes out exactly in the
# long run, and one below 0.38 never strikes a body twice running, as a real provider's hiccups
# are not aimed at one prompt.
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request in its row: the how manieth with this body, and of all; both from 1."""

    asked: Asked
    attempt: int
    request: int


def fault_of(turn: Turn, simulation: Simulation) -> str | None:
    """The name of the fault that this request meets, if any."""
    return _by_rule(turn, simulation) or _by_share(turn, simulation)


def faults_of(simulation: Simulation) -> set[str]:
    """Every fault that a request may meet."""
    by_share = {name for name, share in simulation.faults.items() if share}
    return by_share | {rule.fault for rule in simulation.rules if rule.rate}


def _by_rule(turn: Turn, simulation: Simulation) -> str | None:
    for number, rule in enumerate(simulation.rules):
        if _is_meant(rule, turn) and _draw(rule.fault, turn, simulation, number) < rule.rate:
            return rule.fault
    return None


def _is_meant(rule: FaultRule, turn: Turn) -> bool:
    return (
        (rule.prompt is None or rule.prompt in turn.asked.prompt)
        and rule.attempt in (None, turn.attempt)
        and rule.request in (None, turn.request)
    )


def _by_share(turn: Turn, simulation: Simulation) -> str | None:
    lasting = [name for name in simulation.faults if PLAYS[name].is_of_the_prompt]
    passing = [name for name in simulation.faults if not PLAYS[name].is_of_the_prompt]
    return _chosen(lasting, turn, simulation) or _chosen(passing, turn, simulation)


def _chosen(names: Iterable[str], turn: Turn, simulation: Simulation) -> str | None:
    """One draw for all of ``names``: each owns a stretch as wide as its share."""
    edge = 0.0
    for name in names:
        edge += simulation.faults[name]
        if _draw(name, turn, simulation, "shares") < edge:
            return name
    return None


def _draw(fault: str, turn: Turn, simulation: Simulation, salt: object) -> float:
    if PLAYS[fault].is_of_the_prompt:
        return share_of("fault", simulation.seed, salt, turn.asked.prompt)
    first = share_of("fault", simulation.seed, salt, turn.asked.key)
    return (first + turn.attempt * _GOLDEN_RATIO) % 1.0
