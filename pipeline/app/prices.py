"""Who knows what a job's requests cost: its profile, a list of models, the replies seen."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.app import catalog
from pipeline.core.prices import Ask, Price, Tariff, models_in, price_of, widest
from pipeline.errors import NotAllowed
from pipeline.job.environment import environment
from pipeline.job.keys import key_of
from pipeline.provider.catalog import Catalog
from pipeline.provider.tariffs import tariff_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pipeline.core.model import Secret, Task
    from pipeline.core.simulation import Simulation
    from pipeline.job.job import Job

PROFILE = "the profile's prices"
SIMULATED = "simulated"
_MOST_KEPT = 4096  # prices: requests differ by model and length
_LONG_PROMPT_BYTES = 4096
_PLAIN = Ask()


def worst_prices(
    job: Job, models: Collection[str], listed: Catalog, seen: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """The most that a request may cost, by model, in US dollars; one without a price is left out.

    ``seen``: the least and the most that replies cost in this folder.
    """
    prices = Prices(job, listed, seen=seen)
    others = models_in(job.params)
    long = Ask.of(job.params, prompt_bytes=_LONG_PROMPT_BYTES, n_references=len(job.references))
    found = {one: prices.of_models((one, *others), long) for one in (*models, *seen)}
    return {model: price.high_usd for model, price in found.items() if price}


def no_price(models: Collection[str]) -> str:
    """What to do where a budget is set and nobody knows what a request costs."""
    return (
        f"budget.usd is set, and nobody knows what {', '.join(models)} costs: neither the profile's"
        " `prices`, nor the provider's list, nor a reply in this folder tells. Add it to the"
        " profile, such as `prices: {MODEL: {image: 0.04}}`, or run without a budget"
    )


def prices_of(job: Job, *, seen: Mapping[str, tuple[float, float]] | None = None) -> Prices:
    """What is known without asking anybody: of a list, only one that an earlier command kept."""
    kept = None if job.is_simulated else catalog.kept(job.profile.base_url or "", _key_of(job))
    if kept is None:
        return Prices(job, Catalog(), seen=seen)
    return Prices(job, kept.catalog, listed_on=kept.asked_on, seen=seen)


class Prices:
    """The prices of a job's requests, from all that is known of its models."""

    def __init__(
        self,
        job: Job,
        catalog: Catalog,
        *,
        listed_on: str | None = None,
        seen: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """``catalog``: the provider's list, ``listed_on``: the day it was asked for, ISO 8601.

        ``seen``: by model, the cheapest and the dearest reply so far, in US dollars; it is read
        once.
        """
        self.catalog = catalog
        self._profile = job.profile
        host = urlsplit(job.profile.base_url or "").netloc.rpartition("@")[2]
        self._listed = f"catalog of {host}" + (f", {listed_on}" if listed_on else "")
        self._seen = dict(seen or {})
        self._of = lru_cache(maxsize=_MOST_KEPT)(self._price)

    def of(self, task: Task) -> Price | None:
        """What one request of ``task`` may cost; None where nobody knows.

        Where it may fall back on other models, the least and the most of them all.
        """
        prompt_bytes = len(task.prompt.encode(errors="replace"))
        n_references = len(task.references)
        ask = Ask.of(task.params, prompt_bytes=prompt_bytes, n_references=n_references)
        return self._of((task.model, *models_in(task.params)), ask)

    def of_models(self, models: Iterable[str], ask: Ask = _PLAIN) -> Price | None:
        """What a request to any of ``models`` may cost; None where it is unknown of one."""
        return self._of(tuple(models), ask)

    def dearest_seen(self, models: Iterable[str]) -> float | None:
        """The dearest reply of any of ``models``, in US dollars; None where none told."""
        return max((self._seen[one][1] for one in models if one in self._seen), default=None)

    def _price(self, models: tuple[str, ...], ask: Ask) -> Price | None:
        prices = [price_of(ask, self._tariffs(one), self._seen.get(one)) for one in models]
        known = [price for price in prices if price]
        return widest(known) if len(known) == len(prices) else None

    def _tariffs(self, model: str) -> Iterator[Tariff]:
        if self._profile.simulator:
            yield _simulated(self._profile.simulator, model)
            return
        if own := self._profile.prices.get(model):
            yield Tariff(source=PROFILE, image_usd=(own.image, own.image))
        if listed := tariff_in(self.catalog, model, self._listed):
            yield listed


def _key_of(job: Job) -> Secret | None:
    try:
        return key_of(job.chosen, environment(), may_run=False)
    except NotAllowed:  # a look needs none
        return None


def _simulated(simulation: Simulation, model: str) -> Tariff:
    usd = simulation.price_of(model)
    spread = simulation.price_spread
    return Tariff(
        source=SIMULATED,
        image_usd=(usd * (1 - spread), usd * (1 + spread)),
        n_images=simulation.images_per_reply,
    )
