"""A ceiling for what an output folder may cost: reserve before sending, settle after.

A request reserves the worst that its model is known to cost: its price, or the dearest reply seen,
whichever is more. What may have been charged and nobody told counts in full. So what is spent and
what is out never come to more than the ceiling, as long as no reply costs more than is known.

A listed price may be that of one image where a reply brings several, or that of another size.
Until a reply for a model has borne it out, requests that leave while others are out reserve many
times as much: a large budget does not notice, and a small one is not overrun by the first wave.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ROUNDING_USD = 1e-9
_DOUBT = 16  # times the price; as many images as one reply is known to bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a folder cost before, in US dollars, as far as replies told.

    ``unknown``: by model, how many requests may have been charged, and nobody told how much.
    ``met``: the models whose price a reply has borne out.
    """

    usd: float = 0.0
    unknown: Mapping[str, int] = field(default_factory=dict)
    met: Collection[str] = ()


class Budget:
    """The ceiling of one folder. Every amount is in US dollars."""

    def __init__(
        self,
        ceiling_usd: float = inf,
        *,
        prices: Mapping[str, float] | None = None,
        before: Spent | None = None,
    ) -> None:
        """``prices``: the most that a request for each model costs, as far as is known.

        A model that nobody has a price for is taken to cost as much as the dearest there is.
        """
        before = before or Spent()
        self.ceiling_usd = ceiling_usd
        self._worst_usd = dict(prices or {})
        self._told_usd = before.usd
        self._unknown = Counter(before.unknown)
        self._met = set(before.met)
        self._out: Counter[str] = Counter()

    @property
    def spent_usd(self) -> float:
        """What is spent, and what may be: all that was ever sent and is not out any more."""
        unknown_usd = sum(n * self.worst_usd(model) for model, n in self._unknown.items())
        return self._told_usd + unknown_usd

    def worst_usd(self, model: str) -> float:
        """The most that one more request for ``model`` is known to cost."""
        if model in self._worst_usd:
            return self._worst_usd[model]
        return max(self._worst_usd.values(), default=0.0)

    def allows(self, model: str) -> bool:
        """Whether one more may leave now, should all that is out cost as much as it can."""
        if not self._out.total():
            return not self.is_used_up(model)
        out_usd = sum(n * self._reserved_usd(one) for one, n in self._out.items())
        return self._leaves_room(self.spent_usd + out_usd + self._reserved_usd(model))

    def is_used_up(self, model: str) -> bool:
        """Whether one more may never leave, even should all that is out cost nothing."""
        return not self._leaves_room(self.spent_usd + self.worst_usd(model))

    def reserve(self, model: str) -> None:
        """One leaves; only after :meth:`allows` said so."""
        self._out[model] += 1

    def settle(self, model: str, *, cost_usd: float | None, is_charged: bool) -> None:
        """One came back: what it cost, and where nobody told, whether it may have cost anything.

        What never comes back stays reserved.
        """
        self._out[model] -= 1
        if cost_usd is not None or is_charged:
            self._met.add(model)
        if cost_usd is not None:
            self._told_usd += cost_usd
            self._worst_usd[model] = max(cost_usd, self._worst_usd.get(model, 0.0))
        elif is_charged:
            self._unknown[model] += 1

    def reason(self, model: str) -> str:
        """Why no more is sent, and what would let the run go on."""
        return (
            f"the budget of {_dollars(self.ceiling_usd)} is used up: {_dollars(self.spent_usd)} are"
            f" spent, or may be, and one more request may cost {_dollars(self.worst_usd(model))}."
            " Raise budget.usd or --max-usd to go on"
        )

    def _leaves_room(self, usd: float) -> bool:
        return usd <= self.ceiling_usd + _ROUNDING_USD

    def _reserved_usd(self, model: str) -> float:
        return self.worst_usd(model) * (1 if model in self._met else _DOUBT)


def _dollars(usd: float) -> str:
    """To the cent; below a dollar with the digits that a small price needs."""
    is_whole_cents = round(usd * 100, 4).is_integer()
    return f"${usd:,.2f}" if usd >= 1 or is_whole_cents else f"${round(usd, 6):g}"
