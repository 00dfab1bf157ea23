"""Looks for keys, and for base64 of images, in whatever the tool wrote and said during the tests.

Every key in a test begins with ``sk-``. Profiles, key files and jobs that a test wrote may hold
one; an output folder, the cache and what a command says may not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_TEXT = re.compile(rb"(?<![A-Za-z0-9])sk-[A-Za-z0-9][A-Za-z0-9_-]{2,}|;base64,", re.IGNORECASE)
# Among the bytes of many pictures, chance writes the shorter ones.
_IN_PIXELS = re.compile(rb"(?<![A-Za-z0-9])sk-[A-Za-z0-9][A-Za-z0-9_-]{7,}|;base64,")
_PIXELS = frozenset({".png", ".jpg", ".webp", ".gif", ".avif", ".bin"})
_OURS = frozenset({".state", "manifest.jsonl"})
_CACHE = "imagebatch"


def leaks_in(said: bytes | str) -> list[str]:
    """Every key and every mark of base64 in a text."""
    text = said.encode(errors="replace") if isinstance(said, str) else said
    return [leak.decode() for leak in _IN_TEXT.findall(text)]


def leaks_below(root: Path) -> list[str]:
    """``file: leak`` for each one in the files below ``root`` that the tool wrote."""
    return [f"{path}: {leak}" for path in _written_below(root) for leak in _leaks_in_file(path)]


def _leaks_in_file(path: Path) -> list[str]:
    is_part = path.parent.name == "parts"
    pattern = _IN_PIXELS if is_part or path.suffix in _PIXELS else _IN_TEXT
    return sorted({leak.decode() for leak in pattern.findall(path.read_bytes())})


def _written_below(root: Path) -> Iterator[Path]:
    """Whole output folders and the cache; links are no ways."""
    for here, folders, files in os.walk(root):
        if Path(here).name == _CACHE or not _OURS.isdisjoint((*folders, *files)):
            folders.clear()
            yield from (one for one in Path(here).rglob("*") if _is_readable(one))


def _is_readable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
