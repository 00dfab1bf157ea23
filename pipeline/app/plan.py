"""``imagebatch plan``: what a run would do. Sends nothing, writes nothing, needs no key."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.console import Console
from pipeline.app.flags import overrides_of
from pipeline.app.jobfile import load_job
from pipeline.app.prices import prices_of
from pipeline.app.wanted import Wanted, asked
from pipeline.core.prices import SEEN, plain_usd
from pipeline.job.kinds import Kinds
from pipeline.job.limits import overall, own, per_minute_of_all
from pipeline.job.naming import Naming
from pipeline.provider.simulator.fate import faults_of
from pipeline.provider.simulator.faults import PLAYS
from pipeline.store.status import read_ledger
from pipeline.view.plan import Bill, FirstTask, LanePlan, PlanView, plan_json, plan_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from pipeline.app.prices import Prices
    from pipeline.app.wanted import Counts
    from pipeline.core.simulation import Simulation
    from pipeline.job.job import Chosen, Job
    from pipeline.job.kinds import Kind
    from pipeline.job.tasks import Survey

LIKELY_IMAGE_BYTES = 1_500_000
"""A 1024 x 1024 PNG of a real model."""


def perform(arguments: argparse.Namespace) -> int:
    """Print the plan; 0 unless the job is faulty."""
    console = Console(arguments)
    job = load_job(arguments.job, overrides=overrides_of(arguments))
    ledger = read_ledger(Path(job.out))
    prices = prices_of(job, seen=ledger.replies_usd)
    with asked(job, console.note, kinds=Kinds()) as wish:
        wanted = Wanted(wish, ledger)
        owed = filter(None, wanted.owed())
        first = tuple(islice(owed, len(wish.plan.first)))
        view = _view(job, replace(wish.plan, first=first or wish.plan.first), wanted.counts())
        view = replace(view, bill=bill_of(wanted.owed_kinds(), prices, job))
        models = wish.plan.models
    for doubt in catalog.doubts(prices.catalog, models, job.chosen):
        console.note(doubt)
    if console.is_json:
        console.emit({**plan_json(view), "event": "summary", "exit_code": 0})
    else:
        console.say(plan_text(view, style=console.style))
    return 0


def bill_of(kinds: Mapping[Kind, int], prices: Prices, job: Job) -> Bill:
    """What so many tasks of each kind may cost, those without a price counted apart.

    Faults that the embedded provider plays are in the bill: they may cost nothing, or every try.
    """
    low_usd, high_usd = 0.0, 0.0
    sources: dict[str, None] = {}
    known, unknown = set[str](), Counter[str]()
    for kind, n in kinds.items():
        model = kind.models[0]
        price = prices.of_models(kind.models, kind.priced)
        if price is None:
            unknown[model] += n
            continue
        low_usd, high_usd = low_usd + n * price.low_usd, high_usd + n * price.high_usd
        known.add(model)
        sources[price.source] = None
    most_usd = high_usd * job.retry.attempts
    if job.profile.simulator:
        low_usd, high_usd = _with_faults(job.profile.simulator, low_usd, high_usd, most_usd)
        most_usd = high_usd
    return Bill(
        n_tasks=sum(kinds.values()),
        low_usd=low_usd,
        high_usd=high_usd,
        most_usd=most_usd,
        source=_said(sources, prices.dearest_seen(known)),
        unknown=unknown.total(),
        models=tuple(unknown),
    )


def _with_faults(
    simulation: Simulation, low_usd: float, high_usd: float, most_usd: float
) -> tuple[float, float]:
    """The least and the most, where faults leave tasks unbilled or have tries billed again."""
    are_billed = {PLAYS[fault].is_billed for fault in faults_of(simulation)}
    return 0.0 if False in are_billed else low_usd, most_usd if True in are_billed else high_usd


def _said(sources: Iterable[str], dearest_usd: float | None) -> str:
    """Every source once, and what the dearest reply was, where one told."""
    words = dict.fromkeys(word for source in sources for word in source.split("; "))
    words.pop(SEEN, None)
    seen = [] if dearest_usd is None else [f"dearest reply seen ${plain_usd(dearest_usd)}"]
    return "; ".join([*words, *seen])


def _view(job: Job, plan: Survey, counts: Counts) -> PlanView:
    to_send = counts.to_send
    limits, per_minute = overall(job), per_minute_of_all(job)
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
        concurrency=limits.concurrency,
        requests_per_minute=limits.requests_per_minute,
        images_per_minute=limits.images_per_minute,
        at_the_limits_s=to_send * 60 / per_minute if per_minute else None,
        lanes=tuple(_lane(job, chosen) for chosen in job.pool) if job.others else (),
        disk_needed_bytes=to_send * LIKELY_IMAGE_BYTES,
        disk_free_bytes=_free_bytes(Path(job.out)),
        first=tuple(
            FirstTask(prompt=task.prompt, file=name_for(task, 0, "png")) for task in plan.first
        ),
    )


def _lane(job: Job, chosen: Chosen) -> LanePlan:
    limits = own(job, chosen)
    return LanePlan(
        provider=chosen.name,
        weight=chosen.weight,
        concurrency=limits.concurrency,
        requests_per_minute=limits.requests_per_minute,
        images_per_minute=limits.images_per_minute,
    )


def _free_bytes(folder: Path) -> int | None:
    """Of the file system that the folder is on, or will be."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
    return shutil.disk_usage(there).free if there else None
