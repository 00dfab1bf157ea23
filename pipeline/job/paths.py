"""Where a path that a person wrote leads."""

from __future__ import annotations

import os
from pathlib import Path


def from_home(path: str) -> Path:
    """``path`` with a leading ``~/`` as the home folder; any other ``~`` is a plain name."""
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path(path)


def absolute(path: Path) -> str:
    """``path`` from the root, seen from the current folder; links stay as they are."""
    return os.path.normpath(path.absolute())
