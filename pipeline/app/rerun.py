"""``imagebatch rerun``: failed tasks again, chosen by reason or id, from the folder alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.app.flags import flags_of, overrides_of
from pipeline.app.make import remake
from pipeline.app.run import manner_of, told
from pipeline.job.load import load_frozen
from pipeline.store.opening import find

if TYPE_CHECKING:
    import argparse


def perform(arguments: argparse.Namespace) -> int:
    """Run them; returns the exit code of the folder as it is left."""
    console = Console(arguments)
    folder = find(Path(arguments.folder))
    job = load_frozen(folder, overrides=overrides_of(arguments))
    again = shlex.join(["imagebatch", "rerun", arguments.folder, *flags_of(arguments)])
    report = remake(
        job,
        manner_of(arguments, console, again),
        whys=_words(arguments.why),
        ids=_words(arguments.id),
    )
    return told(report, console)


def _words(given: list[str]) -> list[str]:
    return [word for words in given for word in words.split(",") if word]
