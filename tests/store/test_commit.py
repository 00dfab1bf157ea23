"""In which thread outcomes are kept: the caller's, as long as nothing in it takes long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from keeping import image, keep_made, made, part, rows_in, task, terms

from pipeline.errors import DiskTrouble
from pipeline.store.commit import N_AFTER_SLOW, SLOW_S
from pipeline.store.durable import Calls, Durability
from pipeline.store.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.model import Task

_RENAME = Calls().rename


class _Renaming:
    """Notes which thread gives each image its name."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def rename(self, old: str, new: str, **where: Any) -> None:
        if new.endswith(".png"):
            self.threads.append(threading.current_thread().name.partition("_")[0])
        _RENAME(old, new, **where)


def _one_path(_: Task, __: int, extension: str) -> str:
    return f"images/the-one.{extension}"


async def _threads(root: Path, durability: Durability, n: int = 3) -> list[str]:
    renaming = _Renaming()
    calls = Calls(rename=renaming.rename)
    with Folder(root, terms(durability=durability), calls=calls) as folder:
        for number in range(n):
            await keep_made(folder, number)
    assert len(rows_in(root / "manifest.jsonl")) == n
    return renaming.threads


async def test_what_is_synced_is_kept_in_a_thread(tmp_path: Path) -> None:
    assert set(await _threads(tmp_path, Durability.POWER)) == {"keep"}


async def test_a_slow_disk_is_left_to_a_thread_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10_000))
    monkeypatch.setattr("pipeline.store.commit.monotonic", lambda: next(now) * SLOW_S / 2)
    threads = await _threads(tmp_path, Durability.PROCESS)
    assert set(threads) == {"MainThread"}
    monkeypatch.setattr("pipeline.store.commit.monotonic", lambda: next(now) * SLOW_S * 2)
    threads = await _threads(tmp_path / "slow", Durability.PROCESS, N_AFTER_SLOW + 1)
    assert threads == ["MainThread", *["keep"] * N_AFTER_SLOW]


async def test_whose_file_is_in_the_way_is_looked_up_in_a_thread(tmp_path: Path) -> None:
    renaming = _Renaming()
    conditions = terms(path_for=_one_path, durability=Durability.PROCESS)
    with Folder(tmp_path, conditions, calls=Calls(rename=renaming.rename)) as folder:
        for number in range(2):
            await keep_made(folder, number)
    assert renaming.threads == ["MainThread", "keep"]
    files = [line["images"][0]["file"] for line in rows_in(tmp_path / "manifest.jsonl")]
    assert files == ["images/the-one.png", f"images/the-one-{task(1).id}.png"]


async def test_what_cannot_be_kept_at_once_is_told_at_once_and_taken_over_later(
    tmp_path: Path,
) -> None:
    def refuse(old: str, new: str, **where: Any) -> None:
        if new.endswith(".png"):
            raise PermissionError(1, "injected")
        _RENAME(old, new, **where)

    conditions = terms(durability=Durability.PROCESS)
    with Folder(tmp_path, conditions, calls=Calls(rename=refuse)) as folder:
        outcome = made(task(1), image(part(folder), b"paid for"))
        with pytest.raises(DiskTrouble):
            await folder.keep(outcome)
    with Folder(tmp_path, terms(run="r2", durability=Durability.PROCESS)) as folder:
        assert not folder.ledger.owes(task(1).id)
    assert (tmp_path / "images/000/000001.png").read_bytes() == b"paid for"
