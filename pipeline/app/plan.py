"""``imagebatch plan``: what a run would do. Sends nothing, writes nothing, needs no key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.console import Console
from pipeline.app.flags import overrides_of
from pipeline.app.wanted import Wanted, asked
from pipeline.errors import NotAllowed
from pipeline.job.environment import environment
from pipeline.job.keys import key_of
from pipeline.job.load import load_job
from pipeline.job.naming import Naming
from pipeline.store.status import read_ledger
from pipeline.view.plan import FirstTask, PlanView, plan_json, plan_text

if TYPE_CHECKING:
    import argparse

    from pipeline.app.wanted import Counts
    from pipeline.job.job import Job
    from pipeline.job.plan import Survey

LIKELY_IMAGE_BYTES = 1_500_000
"""A 1024 x 1024 PNG of a real model."""


def perform(arguments: argparse.Namespace) -> int:
    """Print the plan; 0 unless the job is faulty."""
    console = Console(arguments)
    job = load_job(arguments.job, overrides=overrides_of(arguments))
    ledger = read_ledger(Path(job.out))
    with asked(job) as wish:
        view = _view(job, wish.plan, Wanted(wish, ledger).counts())
        models = wish.plan.models
    for doubt in _doubts(job, models):
        console.note(doubt)
    if console.is_json:
        console.emit({**plan_json(view), "event": "summary", "exit_code": 0})
    else:
        console.say(plan_text(view, style=console.style))
    return 0


def _doubts(job: Job, models: tuple[str, ...]) -> tuple[str, ...]:
    """What the list of models has against them, where an earlier command has kept it."""
    if job.is_simulated:
        return ()
    try:
        key = key_of(job.chosen, environment())
    except NotAllowed:  # a plan needs none
        key = None
    there = catalog.kept(job.profile.base_url or "", key)
    return catalog.doubts(there.catalog, models, job.chosen) if there else ()


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
