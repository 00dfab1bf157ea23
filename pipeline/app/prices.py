"""What one request may cost at most, by everything that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pipeline.job.job import Job
    from pipeline.provider.catalog import Catalog


def worst_prices(
    job: Job, models: Collection[str], listed: Catalog, seen: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """By model, in US dollars; a model without a price is left out.

    ``seen``: the least and the most that replies cost in this folder.
    """
    prices = {model: highest for model, (_, highest) in seen.items()}
    for model in models:
        known = [prices[model]] if model in prices else []
        if model in job.profile.prices:
            known.append(job.profile.prices[model].image)
        elif job.profile.simulator:
            known.append(job.profile.simulator.cost_usd)
        elif there := listed.find(model):
            known += [there.prices["image_output"]] if "image_output" in there.prices else []
        if known:
            prices[model] = max(known)
    return prices


def no_price(models: Collection[str]) -> str:
    """What to do where a budget is set and nobody knows what a request costs."""
    return (
        f"budget.usd is set, and nobody knows what {', '.join(models)} costs: neither the profile's"
        " `prices`, nor the provider's list, nor a reply in this folder tells. Add it to the"
        " profile, such as `prices: {MODEL: {image: 0.04}}`, or run without a budget"
    )
