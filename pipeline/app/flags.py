"""What the command line says over a job file, and how to say it once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.job.environment import environment
from pipeline.job.job import Overrides

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def overrides_of(arguments: argparse.Namespace) -> Overrides:
    """What the command line says over the job file."""
    usd = getattr(arguments, "max_usd", None)
    return Overrides(
        out=getattr(arguments, "out", None),
        provider=arguments.provider,
        settings=(*arguments.set, *([] if usd is None else [f"budget.usd={usd}"])),
        limit=arguments.limit,
    )


def flags_of(arguments: argparse.Namespace) -> list[str]:
    """The flags that the next command needs too, as they were given."""
    flags: list[str] = []
    for name in ("why", "id"):
        if words := words_of(getattr(arguments, name, ())):
            flags += [f"--{name}", ",".join(words)]
    for name in ("out", "provider", "limit", "max_usd"):
        if (value := getattr(arguments, name, None)) is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    return [*flags, *_settings_of(arguments)]


def lasting_flags_of(arguments: argparse.Namespace) -> list[str]:
    """The flags that run the whole job alike on another day: what the environment said too."""
    flags: list[str] = []
    for name in ("out", "provider"):
        if value := getattr(arguments, name) or environment().get(f"IMAGEBATCH_{name.upper()}"):
            flags += [f"--{name}", value]
    return [*flags, *_settings_of(arguments)]


def words_of(given: Sequence[str]) -> list[str]:
    """The words of lists with commas between them."""
    return [word for words in given for word in words.split(",") if word]


def _settings_of(arguments: argparse.Namespace) -> list[str]:
    return [word for setting in arguments.set for word in ("--set", setting)]
