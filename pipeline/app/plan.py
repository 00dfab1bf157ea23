"""``imagebatch plan``: what a run would do. Sends nothing, writes nothing, needs no key."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.app import catalog
from pipeline.app.console import Console
from pipeline.app.flags import overrides_of
from pipeline.app.jobfile import load_job
from pipeline.app.wanted import Wanted, asked
from pipeline.errors import NotAllowed
from pipeline.job.environment import environment
from pipeline.job.keys import key_of
from pipeline.job.naming import Naming
from pipeline.provider.catalog import Catalog
from pipeline.store.status import read_ledger
from pipeline.view.plan import FirstTask, PlanView, plan_json, plan_text, price_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pipeline.app.wanted import Counts
    from pipeline.job.job import Job
    from pipeline.job.plan import Survey
    from pipeline.job.spec import ProfileSpec

LIKELY_IMAGE_BYTES = 1_500_000
"""A 1024 x 1024 PNG of a real model."""

_LEAST_IMAGE_USD = 0.0005
"""Below it, a listed ``image_output`` is the price of a token: OpenRouter lists 0.00003 for
google/gemini-2.5-flash-image, 1,290 tokens and 0.039 dollars an image."""


def perform(arguments: argparse.Namespace) -> int:
    """Print the plan; 0 unless the job is faulty."""
    console = Console(arguments)
    job = load_job(arguments.job, overrides=overrides_of(arguments))
    ledger = read_ledger(Path(job.out))
    kept = _kept(job)
    with asked(job, console.note) as wish:
        counts = Wanted(wish, ledger).counts()
        view = _priced(_view(job, wish.plan, counts), job, wish.plan.models, kept)
        models = wish.plan.models
    for doubt in catalog.doubts(kept, models, job.chosen):
        console.note(doubt)
    if console.is_json:
        console.emit({**plan_json(view), "event": "summary", "exit_code": 0})
    else:
        console.say(plan_text(view, style=console.style))
    return 0


def _kept(job: Job) -> Catalog:
    """The list of models that an earlier command has kept; an empty one where none has."""
    if job.is_simulated:
        return Catalog()
    try:
        key = key_of(job.chosen, environment())
    except NotAllowed:  # a plan needs none
        key = None
    there = catalog.kept(job.profile.base_url or "", key)
    return there.catalog if there else Catalog()


def _priced(view: PlanView, job: Job, models: tuple[str, ...], kept: Catalog) -> PlanView:
    """The plan with what its requests cost: the range over its models, or why nobody knows."""
    if not view.to_send:
        none = "$0.00 (nothing to send)"
        return replace(view, price=none, price_low_usd=0.0, price_high_usd=0.0)
    prices = {model: price_of_image(model, job.profile, kept) for model in models}
    if unknown := [model for model, price in prices.items() if price is None]:
        more = f", and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        where = "the profile's `prices`, or a list of models as `imagebatch models` keeps it"
        return replace(view, price=f"unknown: {where}, would tell what {unknown[0]} costs{more}")
    known = list(filter(None, prices.values()))
    low, high = min(known).usd, max(known).usd
    source = " and ".join(sorted({price.source for price in known}, reverse=True))
    return replace(
        view,
        price=price_text(view.to_send, low, high, source),
        price_low_usd=round(view.to_send * low, 6),
        price_high_usd=round(view.to_send * high, 6),
        price_source=source,
    )


class Price(NamedTuple):
    """US dollars for what one request brings, and who says so."""

    usd: float
    source: str


def price_of_image(model: str, profile: ProfileSpec, kept: Catalog) -> Price | None:
    """What the profile says, else the kept list; None where neither has a price for an image."""
    if profile.simulator:
        simulator = profile.simulator
        return Price(simulator.cost_usd * simulator.images_per_reply, "simulated")
    if own := profile.prices.get(model):
        return Price(own.image, "profile")
    listed = next((one for one in kept.models if model in (one.id, *one.also)), None)
    usd = _listed_usd(listed.prices if listed else {})
    return None if usd is None else Price(usd, "list of models")


def _listed_usd(prices: Mapping[str, float]) -> float | None:
    """Of one image; None where it is sold by tokens, or by what the list does not say."""
    image, request = prices.get("image_output"), prices.get("request", 0.0)
    if image:
        return image + request if image >= _LEAST_IMAGE_USD else None
    is_free = image == 0 and not any(prices.values())
    return 0.0 if is_free else request or None


def _view(job: Job, plan: Survey, counts: Counts) -> PlanView:
    to_send = counts.to_send
    per_minute = job.limits.requests_per_minute
    name_for = Naming.of(job.path).path_for
    return PlanView(
        job=job.name,
        output=job.out,
        provider=job.provider,
        model=job.model or "a model for each row",
        rows=plan.n_rows,
        axes=tuple(plan.axes.items()),
        samples=job.samples,
        tasks=plan.n_wanted,
        new=counts.owed,
        made=counts.made,
        failed_by_why=counts.failed_by_why,
        to_send=to_send,
        duplicates=plan.n_repeated,
        duplicates_told=plan.repeated,
        concurrency=job.limits.concurrency,
        requests_per_minute=per_minute,
        at_the_limits_s=to_send * 60 / per_minute if per_minute else None,
        disk_needed_bytes=to_send * LIKELY_IMAGE_BYTES,
        disk_free_bytes=_free_bytes(Path(job.out)),
        first=tuple(
            FirstTask(prompt=task.prompt, file=name_for(task, 0, "png")) for task in plan.first
        ),
    )


def _free_bytes(folder: Path) -> int | None:
    """Of the file system that the folder is on, or will be."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
    return shutil.disk_usage(there).free if there else None
