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

    from pipeline.core.model import Secret
    from pipeline.core.simulation import Simulation
    from pipeline.job.job import Chosen, Job

PROFILE = "the profile's prices"
SIMULATED = "simulated"
_MOST_KEPT = 4096  # prices: requests differ by model and length
_LONG_PROMPT_BYTES = 4096
_PLAIN = Ask()


def worst_prices(
    job: Job,
    models: Collection[str],
    listed: Mapping[str, Catalog],
    seen: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """The most that a request may cost, by model, in US dollars; one without a price is left out.

    ``listed``: what each provider lists. ``seen``: the least and the most that replies cost in this
    folder.
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
    """What is known without asking anybody: of lists, only those that an earlier command kept."""
    kept = {
        chosen.name: catalog.kept(chosen.profile.base_url or "", _key_of(chosen))
        for chosen in job.pool
        if not chosen.is_simulated
    }
    there = {name: one for name, one in kept.items() if one}
    return Prices(
        job,
        {name: one.catalog for name, one in there.items()},
        listed_on={name: one.asked_on for name, one in there.items()},
        seen=seen,
    )


class Prices:
    """The prices of a job's requests, from all that is known of its models."""

    def __init__(
        self,
        job: Job,
        catalogs: Mapping[str, Catalog],
        *,
        listed_on: Mapping[str, str] | None = None,
        seen: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """``catalogs``: of each provider its list, ``listed_on``: the day it was asked for.

        ``seen``: by model, the cheapest and the dearest reply so far, in US dollars; it is read
        once.
        """
        self._pool = job.pool
        self.catalogs = catalogs
        self._listed_on = listed_on or {}
        self._seen = dict(seen or {})
        self._of = lru_cache(maxsize=_MOST_KEPT)(self._price)

    @property
    def catalog(self) -> Catalog:
        """The models that any of the providers lists."""
        listed = (one for there in self.catalogs.values() for one in there.models)
        return Catalog(models=tuple(listed))

    def of_models(self, models: Iterable[str], ask: Ask = _PLAIN) -> Price | None:
        """What a request may cost that any of ``models`` may answer: the least and the most of all.

        None where it is unknown of one.
        """
        return self._of(tuple(models), ask)

    def dearest_seen(self, models: Iterable[str]) -> float | None:
        """The dearest reply of any of ``models``, in US dollars; None where none told."""
        return max((self._seen[one][1] for one in models if one in self._seen), default=None)

    def _price(self, models: tuple[str, ...], ask: Ask) -> Price | None:
        prices = [
            price_of(ask, self._tariffs(chosen, one), self._seen.get(one))
            for chosen in self._pool
            for one in models
        ]
        known = [price for price in prices if price]
        return widest(known) if len(known) == len(prices) else None

    def _tariffs(self, chosen: Chosen, model: str) -> Iterator[Tariff]:
        profile = chosen.profile
        if profile.simulator:
            yield _simulated(profile.simulator, model)
            return
        if own := profile.prices.get(model):
            yield Tariff(source=PROFILE, image_usd=(own.image, own.image))
        host = urlsplit(profile.base_url or "").netloc.rpartition("@")[2]
        on = self._listed_on.get(chosen.name)
        source = f"catalog of {host}" + (f", {on}" if on else "")
        if listed := tariff_in(self.catalogs.get(chosen.name, Catalog()), model, source):
            yield listed


def _key_of(chosen: Chosen) -> Secret | None:
    try:
        return key_of(chosen, environment(), may_run=False)
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
