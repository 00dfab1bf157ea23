"""Cases 1 to 40 of the wire: what a reply may look like, plain and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cases import CASES
from harness import Case, check, play

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_wire(case: Case, tmp_path: Path) -> None:
    check(case, await play(case, tmp_path))
