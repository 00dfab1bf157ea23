"""The key of a provider: from the variable or file its profile names, and from nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.model import Secret
from pipeline.errors import NotAllowed
from pipeline.job.paths import from_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.job.job import Chosen

_NOT_IN_A_KEY = re.compile(r"[^!-~]")


def key_of(chosen: Chosen, environ: Mapping[str, str]) -> Secret | None:
    """The key to send, None where the profile names none or its address may get none.

    Raises :class:`NotAllowed`, saying what to do, where a named key is missing or cannot be one.
    """
    profile = chosen.profile
    if not profile.sends_key:
        return None
    if variable := profile.api_key_env:
        how = f"run `export {variable}=…` (named by `api_key_env` in {chosen.file})"
        return _sound(environ.get(variable, ""), chosen.name, how)
    if profile.api_key_file:
        path = Path(chosen.file).parent / from_home(profile.api_key_file)
        how = f"put the key into {path} (named by `api_key_file` in {chosen.file})"
        return _sound(_first_line(path), chosen.name, how)
    return None


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
