"""Wherever a kill comes while an edited task takes another's place, ``verify`` finds no wrong."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from keeping import image, made, part, path_for, task, terms

from pipeline.store.durable import Calls
from pipeline.store.findings import Kind
from pipeline.store.folder import Folder
from pipeline.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.model import Image, Task
    from pipeline.store.findings import Verdict

OLD, NEW = task(1), task(1, id="edited")


def drawn(folder: Folder, content: str) -> Image:
    return image(part(folder), content.encode(), "image/svg+xml")


class Cutter:
    """Copies a folder as a kill before each of its calls leaves it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cuts: list[Path] = []
        self.is_on = False

    def calls(self) -> Calls:
        before = {name: partial(self._do, getattr(os, name)) for name in ("rename", "write")}
        synced = {"sync": partial(self._do, os.fsync), "sync_content": partial(self._do, os.fsync)}
        return Calls(**before, **synced)

    def _do(self, call: Callable[..., Any], *words: Any, **more: Any) -> Any:
        if self.is_on:
            cut = self.root.with_name(f"cut-{len(self.cuts):02}")
            shutil.copytree(self.root, cut)
            self.cuts.append(cut)
        return call(*words, **more)


def looked_over(root: Path) -> Verdict:
    return verify(root, job_check=lambda _: None)


async def edited(root: Path, *, path: Callable[[Task, int, str], str] = path_for) -> list[Path]:
    """A task of three images gives way to one of two; the folder before each call of that."""
    cutter = Cutter(root)
    with Folder(root, terms(path_for=path), calls=cutter.calls()) as folder:
        folder.note_plan(wanted=1)
        await folder.keep(made(OLD, *(drawn(folder, f"old {n}") for n in range(3))))
        folder.write_metadata()
        folder.note_plan(wanted=1, unwanted=[OLD.id])
        images = [drawn(folder, f"of another size {n}") for n in range(2)]
        cutter.is_on = True
        await folder.keep(made(NEW, *images))
        cutter.is_on = False
    return cutter.cuts


async def test_wherever_the_kill_came_nothing_is_wrong_and_the_next_run_finishes(
    tmp_path: Path,
) -> None:
    cuts = await edited(tmp_path / "out")
    assert len(cuts) > 10
    for cut in cuts:
        verdict = looked_over(cut)
        assert verdict.is_sound, (cut, verdict.findings)
        assert any("cut off" in remark for remark in verdict.remarks)
        with Folder(cut, terms(run="r2")) as folder:
            folder.write_metadata()
        after = looked_over(cut)
        assert (after.is_sound, after.n_made) == (True, 1), (cut, after.findings)


async def test_other_damage_is_still_told(tmp_path: Path) -> None:
    def one_folder(of: Task, number: int, extension: str) -> str:
        return f"images/{of.meta.get('row', 'one')}-{number}.{extension}"

    cuts = await edited(tmp_path / "out", path=one_folder)
    for cut in cuts:
        (cut / "images/one-2.svg").unlink(missing_ok=True)
    told = {one.kind for cut in cuts for one in looked_over(cut).findings}
    assert told == {Kind.MISSING}, "before its journal line, nothing says that it will make way"


@pytest.mark.parametrize("damage", ["missing", "wrong_size"])
async def test_a_result_that_lost_an_image_excuses_nothing(tmp_path: Path, damage: str) -> None:
    *_, cut = await edited(tmp_path / "out")
    name = "images/000/000001.svg"
    if damage == "missing":
        (cut / name).unlink()
    else:
        (cut / name).write_bytes(b"torn")
    assert damage in {str(one.kind) for one in looked_over(cut).findings}
