"""What the command line says over a job file, and how to say it once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.job.job import Overrides

if TYPE_CHECKING:
    import argparse


def overrides_of(arguments: argparse.Namespace) -> Overrides:
    """What the command line says over the job file."""
    return Overrides(
        out=getattr(arguments, "out", None),
        provider=arguments.provider,
        settings=tuple(arguments.set),
        limit=arguments.limit,
    )


def flags_of(arguments: argparse.Namespace) -> list[str]:
    """The flags that the next command needs too, as they were given."""
    flags: list[str] = []
    for name in ("out", "provider", "limit"):
        if (value := getattr(arguments, name, None)) is not None:
            flags += [f"--{name}", str(value)]
    for setting in arguments.set:
        flags += ["--set", setting]
    return flags
