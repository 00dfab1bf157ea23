"""``imagebatch run``, and what it shares with ``rerun``: how a run is told in a terminal."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.app.flags import flags_of, lasting_flags_of, overrides_of
from pipeline.app.jobfile import load_job
from pipeline.app.make import Manner, Report, make
from pipeline.app.prices import prices_of
from pipeline.view.progress import Progress
from pipeline.view.report import n_of_unknown_cost, summary_json, summary_text

if TYPE_CHECKING:
    import argparse

    from pipeline.job.job import Job
    from pipeline.view.tally import Tally


def perform(arguments: argparse.Namespace) -> int:
    """Run a job; returns the exit code, raises the Stops that come before the first request."""
    console = Console(arguments)
    job = load_job(arguments.job, overrides=overrides_of(arguments))
    again = shlex.join(["imagebatch", "run", arguments.job, *flags_of(arguments)])
    words = (arguments.job, *lasting_flags_of(arguments))
    manner = replace(manner_of(arguments, console, again), words=words)
    report = make(job, manner, console.note)
    return told(priced(report, job), console)


def manner_of(arguments: argparse.Namespace, console: Console, again: str) -> Manner:
    """How the flags ask for it to be done; ``again`` is the command that goes on."""

    def teller(tally: Tally) -> Progress:
        return Progress(tally, console.voices(), now=time.monotonic)

    return Manner(
        teller=teller,
        again=again,
        wait_s=arguments.wait,
        adopt=arguments.adopt,
        max_runtime_s=arguments.max_runtime,
        heeds_signals=True,
    )


def priced(report: Report, job: Job) -> Report:
    """The report with the price of what its models make, for requests that told no cost."""
    if not n_of_unknown_cost(report.ending, report.tally):
        return report
    price = prices_of(job).of_models(sorted(report.tally.models))
    return replace(report, ending=replace(report.ending, price=price))


def told(report: Report, console: Console) -> int:
    """Tell how it ended; returns the exit code."""
    ending, tally = report.ending, report.tally
    if console.is_json:
        console.emit(summary_json(ending, tally))
    else:
        console.conclude(
            lambda style: summary_text(ending, tally, style=style),
            is_success=not ending.exit_code,
        )
    return ending.exit_code
