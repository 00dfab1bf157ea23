"""A desk to work at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import Desk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder of one's own and a command line in it."""
    return Desk(tmp_path)
