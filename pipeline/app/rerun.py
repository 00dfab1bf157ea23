"""``imagebatch rerun``: failed tasks again, chosen by reason or id, from the folder alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.app.flags import flags_of, overrides_of, words_of
from pipeline.app.make import remake
from pipeline.app.onward import Selection
from pipeline.app.run import manner_of, priced, told
from pipeline.errors import BadUsage
from pipeline.job.load import load_frozen
from pipeline.store.opening import find
from pipeline.store.status import read_origin

if TYPE_CHECKING:
    import argparse

    from pipeline.job.job import Job, Overrides

_SECTIONS = frozenset({"budget", "limits", "retry", "timeouts", "stop"})
_SINGLE = frozenset({"output.durability", "output.verify"})


def perform(arguments: argparse.Namespace) -> int:
    """Run them; returns the exit code of the folder as it is left."""
    console = Console(arguments)
    _refuse_other_settings(arguments.set)
    folder = find(Path(arguments.folder))
    job = _job_in(folder, overrides_of(arguments))
    again = shlex.join(["imagebatch", "rerun", arguments.folder, *flags_of(arguments)])
    chosen_by = Selection(whys=words_of(arguments.why), ids=words_of(arguments.id))
    report = remake(job, manner_of(arguments, console, again), console.note, chosen_by)
    return told(priced(report, job), console)


def _refuse_other_settings(settings: list[str]) -> None:
    """What a task asks for is in its line: a setting that would change it has no place here."""
    for setting in settings:
        key, equals, _ = setting.partition("=")
        if equals and key.partition(".")[0] not in _SECTIONS and key not in _SINGLE:
            raise BadUsage(
                f"--set {key}: rerun asks for each task exactly as it was asked for before, so"
                " only budget, limits, retry, timeouts, stop, output.durability and output.verify"
                " can be set. Another provider is chosen by --provider; to ask for something else,"
                " edit the job and use imagebatch run"
            )


def _job_in(folder: Path, overrides: Overrides) -> Job:
    """The folder's own job; no variable of the environment has a say, the folder is enough."""
    job = load_frozen(folder, overrides=overrides, environ={})
    origin = read_origin(folder)
    was_simulated = (
        load_frozen(folder, environ={}).is_simulated if origin is None else origin.is_simulated
    )
    if job.is_simulated == was_simulated:
        return job
    now, before = ("simulated", "real") if job.is_simulated else ("real", "simulated")
    raise BadUsage(
        f"the provider {job.provider} is {now}, and the tasks of {folder} are {before}: a simulated"
        f" image never passes for a real one. Choose a {before} provider with --provider, or use"
        f" imagebatch run with the job file, --provider {job.provider} and an --out of its own"
    )
