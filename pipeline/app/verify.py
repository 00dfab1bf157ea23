"""``imagebatch verify``: an output folder line by line and file by file, and its repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app.clock import SystemClock, run_name
from pipeline.app.console import Console
from pipeline.app.onward import run_command
from pipeline.errors import BadJob, Stop
from pipeline.job.load import load_frozen
from pipeline.store.findings import Kind
from pipeline.store.opening import JOB
from pipeline.store.repair import repair
from pipeline.store.restore import Signature
from pipeline.store.verify import verify
from pipeline.view.verify import repair_command, verify_json, verify_text

if TYPE_CHECKING:
    import argparse

    from pipeline.store.findings import Verdict

SOMETHING_IS_WRONG = 3


def perform(arguments: argparse.Namespace) -> int:
    """Look, and with ``--repair`` mend; 0 when the folder is sound as it is left, else 3."""
    console = Console(arguments)
    root = Path(arguments.folder)
    if arguments.repair:
        verdict = repair(root, _signature(), job_check=problem_with_job, wait_s=arguments.wait)
    else:
        verdict = verify(root, job_check=problem_with_job)
    code = 0 if verdict.is_sound else SOMETHING_IS_WRONG
    if console.is_json:
        for told in verify_json(verdict, exit_code=code):
            console.emit(told)
    else:
        onward = _next(verdict, arguments)
        console.conclude(
            lambda style: verify_text(verdict, next_command=onward, style=style),
            is_success=not (code or verdict.n_owed_again),
        )
    return code


def problem_with_job(root: Path) -> str | None:
    """Why the job frozen in a folder cannot be read, None if it can."""
    if not (root / JOB).is_file():
        return "missing; the next run writes it"
    try:
        load_frozen(root, environ={})
    except BadJob as bad:
        return f"cannot be read ({bad.faults[0].what}); the next run writes it anew"
    except Stop:  # of the provider's profile, or the key: the job itself could be read
        return None
    return None


def _signature() -> Signature:
    return Signature(run=run_name(), at=SystemClock().utc())


def _next(verdict: Verdict, arguments: argparse.Namespace) -> str | None:
    """The command that gets on: the repair, then the run that makes anew what is owed again."""
    is_the_jobs = {one.kind for one in verdict.findings if not one.is_repaired} == {Kind.JOB}
    is_unfinished = verdict.is_sound and verdict.n_owed > 0 and not verdict.is_running
    if is_the_jobs or verdict.n_owed_again or is_unfinished:
        return run_command(Path(arguments.folder))
    return None if verdict.is_sound or arguments.repair else repair_command(arguments.folder)
