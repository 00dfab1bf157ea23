"""What a job asks for no more is noted in its folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.store.durable import STATE, Disk
from pipeline.store.ledger import AllBut
from pipeline.store.status import Wanted, read_wanted, write_wanted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("unwanted", [set[str](), {"b", "a"}, AllBut(ids={"c"}, n_others=9)])
def test_it_comes_back_as_it_was_noted(tmp_path: Path, unwanted: Any) -> None:
    (tmp_path / STATE).mkdir()
    with closing(Disk(tmp_path)) as disk:
        write_wanted(disk, Wanted(n_tasks=7, unwanted=unwanted))
        assert read_wanted(disk) == Wanted(n_tasks=7, unwanted=unwanted)
