"""``imagebatch run``, and what it shares with ``rerun``: how a run is told in a terminal."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.app.make import Manner, Report, make
from pipeline.job.job import Overrides
from pipeline.job.load import load_job
from pipeline.view.progress import Progress
from pipeline.view.report import summary_json, summary_text

if TYPE_CHECKING:
    import argparse

    from pipeline.view.tally import Tally


def perform(arguments: argparse.Namespace) -> int:
    """Run a job; returns the exit code, raises the Stops that come before the first request."""
    console = Console(arguments)
    job = load_job(arguments.job, overrides=overrides_of(arguments))
    report = make(job, manner_of(arguments, console, _again(arguments)), console.note)
    return told(report, console)


def overrides_of(arguments: argparse.Namespace) -> Overrides:
    """What the command line says over the job file."""
    return Overrides(
        out=getattr(arguments, "out", None),
        provider=arguments.provider,
        settings=tuple(arguments.set),
        limit=arguments.limit,
    )


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


def told(report: Report, console: Console) -> int:
    """Print the summary; returns the exit code. ``-q`` silences success only."""
    ending = report.ending
    if console.is_json:
        console.emit(summary_json(ending, report.tally))
    elif ending.exit_code or not console.is_quiet:
        stream = sys.stderr if ending.exit_code and console.is_quiet else sys.stdout
        text = summary_text(ending, report.tally, style=console.style_for(stream))
        stream.write(f"{text}\n")
    return ending.exit_code


def flags_of(arguments: argparse.Namespace) -> list[str]:
    """The flags that the next command needs too, as they were given."""
    flags: list[str] = []
    for name in ("out", "provider", "limit"):
        if (value := getattr(arguments, name, None)) is not None:
            flags += [f"--{name}", str(value)]
    for setting in arguments.set:
        flags += ["--set", setting]
    return flags


def _again(arguments: argparse.Namespace) -> str:
    return shlex.join(["imagebatch", "run", arguments.job, *flags_of(arguments)])
