"""The composition root: the only place that picks concrete parts and joins them.

A module a command; :func:`perform` imports the one that is asked for and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def perform(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` names; returns its exit code, raises a Stop."""
    command = import_module(f"pipeline.app.{arguments.command}")
    code: int = command.perform(arguments)
    return code
