"""``imagebatch status``: how an output folder stands, also while a run writes to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.app.onward import run_command
from pipeline.store.status import read_status
from pipeline.view.status import status_json, status_text

if TYPE_CHECKING:
    import argparse

WATCH_EVERY_S = 2.0


def perform(arguments: argparse.Namespace) -> int:
    """Tell it once, or with ``--watch`` until interrupted or the run is over; always 0."""
    console = Console(arguments)
    root = Path(arguments.folder)
    standing = read_status(root)
    while True:
        now = datetime.now(UTC)
        if console.is_json:
            console.emit(status_json(standing, now=now))
        else:
            onward = run_command(root) if standing.owed else None
            style = console.style
            console.say(status_text(standing, now=now, next_command=onward, style=style))
        if not (arguments.watch and standing.is_running):
            return 0
        time.sleep(WATCH_EVERY_S)
        standing = read_status(root)
