"""The composition root: the only place that picks concrete parts and joins them.

A module a command; :func:`perform` imports the one that is asked for and nothing else.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def perform(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` names; returns its exit code, raises a Stop."""
    with _undisturbed():
        command = import_module(f"pipeline.app.{arguments.command}")
    code: int = command.perform(arguments)
    return code


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait: the machinery of an import would swallow what their handlers raise."""
    ours = (signal.SIGINT, signal.SIGTERM)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
