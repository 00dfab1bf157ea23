"""The key of a provider: from the place its profile names, and from nowhere else."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.model import Secret
from pipeline.errors import NotAllowed
from pipeline.job.command import said_by
from pipeline.job.paths import from_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.job.job import Chosen

_NOT_IN_A_KEY = re.compile(r"[^!-~]")
_UNPRINTABLE = re.compile(r"[^\n -~]")
_LONGEST_COMPLAINT = 2_000


def key_of(chosen: Chosen, environ: Mapping[str, str], *, may_run: bool = True) -> Secret | None:
    """The key to send, None where the profile names none or its address may get none.

    ``may_run``: False runs no command, and there is no key then. Raises :class:`NotAllowed`,
    saying what to do, where a named key is missing or cannot be one.
    """
    profile = chosen.profile
    if not profile.sends_key:
        return None
    if profile.key_variables:
        variable = profile.key_variables[0]
        how = f"run `export {variable}=…` (named by `api_key_env` in {chosen.file})"
        return _sound(environ.get(variable, ""), chosen.name, how)
    if profile.api_key_file:
        path = Path(chosen.file).parent / from_home(profile.api_key_file)
        how = f"put the key into {path} (named by `api_key_file` in {chosen.file})"
        return _sound(_first_line(path), chosen.name, how)
    if profile.api_key_command and may_run:
        return _printed_by(profile.api_key_command, chosen, environ)
    return None


class Keyhole:
    """The keys of one run: looked for when they are first asked for, and only then."""

    def __init__(self, pool: Sequence[Chosen], environ: Mapping[str, str]) -> None:
        """``environ``: the variables to look in, and those a command is given."""
        self._pool = pool
        self._environ = environ

    def look(self) -> Mapping[str, Secret | None]:
        """Each provider's as :func:`key_of` finds it, by its name; raises as that does."""
        return self._keys

    @cached_property
    def _keys(self) -> dict[str, Secret | None]:
        return {chosen.name: key_of(chosen, self._environ) for chosen in self._pool}


def _printed_by(words: list[str], chosen: Chosen, environ: Mapping[str, str]) -> Secret:
    """The first line that a command prints. What it prints is in no message."""
    said = said_by(words, folder=Path(chosen.file).parent, environ=environ)
    how = f"run `{words[0]}` yourself and mend it (named by `api_key_command` in {chosen.file})"
    key = said.out.partition("\n")[0].strip()
    if said.problem is None and key:
        return _sound(key, chosen.name, how)
    problem = said.problem or "it printed nothing in its first line"
    complaint = _told(said.err.replace(key, "***") if key else said.err)
    raise NotAllowed(f"no key for {chosen.name}, so nothing was sent: {problem}; {how}{complaint}")


def _told(err: str) -> str:
    text = _UNPRINTABLE.sub("?", err.strip())[-_LONGEST_COMPLAINT:]
    return f". It complained:\n{text}" if text else ""


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(16_384).decode("utf-8", "replace")
    except OSError:
        return ""


def _sound(text: str, provider: str, how: str) -> Secret:
    key = text.strip()
    if not key:
        raise NotAllowed(f"no key for {provider}, so nothing was sent: {how}")
    if strange := _NOT_IN_A_KEY.search(key):
        raise NotAllowed(
            f"the key for {provider} cannot be one: its character {strange.start() + 1} is "
            f"a space, a line break, a control character or not ASCII; copy it again and {how}"
        )
    return Secret(key)
