"""A repair deletes nothing, buys as little as can be, and may itself be killed at any point."""

from __future__ import annotations

import io
import shutil
from dataclasses import fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from damages import Hurt
from keeping import files_in, image, made, rows_in, task, terms
from PIL import Image as Pillow

from pipeline.store.durable import Calls
from pipeline.store.folder import Folder
from pipeline.store.repair import repair
from pipeline.store.restore import Signature
from pipeline.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.store.findings import Verdict

_US = Signature(run="mended", at="2026-11-23T08:00:00.000Z")
_MUTATING = ("write", "truncate", "sync", "sync_content", "mkdir", "rename", "unlink")


class Killed(BaseException):
    """The process ends here."""


def no_problem(_: Path) -> None:
    """Nobody asks for a job here."""


def png(shade: int) -> bytes:
    drawn = io.BytesIO()
    Pillow.new("L", (8, 8), shade).save(drawn, "PNG")
    return drawn.getvalue()


def mended(root: Path, **how: Any) -> Verdict:
    return repair(root, _US, job_check=no_problem, **how)


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """Four tasks of two images each."""
    root = tmp_path / "out"
    with Folder(root, terms()) as folder:
        for number in range(4):
            trail = folder.begin(task(number), 1, at="2026-11-22T14:00:00.000Z")
            images = [image(trail.part(), png(10 * number + k)) for k in range(2)]
            await folder.keep(made(task(number), *images))
        folder.write_metadata()
    return root


def test_a_task_is_made_as_a_whole_so_its_other_images_go_too(root: Path) -> None:
    gone, other = (one["file"] for one in rows_in(root / "manifest.jsonl")[1]["images"])
    (root / gone).unlink()
    verdict = mended(root)
    assert verdict.is_sound
    assert verdict.n_owed_again == 1
    said = rows_in(root / "manifest.jsonl")[-1]
    assert (said["id"], said["status"], said["why"]) == (task(1).id, "failed", "bad_image")
    (orphaned,) = said["orphaned"]
    assert (orphaned["file"], orphaned["id"]) == (other, task(1).id)
    assert (root / orphaned["moved_to"]).read_bytes() == png(11)
    with Folder(root, terms()) as folder:
        assert folder.ledger.owes(task(1).id)
        assert [one.id for one in folder.chosen()] == [task(1).id]
        assert len(rows_in(root / "metadata.jsonl")) == 6


def test_what_lies_under_another_name_is_put_back_not_bought_again(root: Path) -> None:
    first, second = (one["file"] for one in rows_in(root / "manifest.jsonl")[1]["images"])
    (root / first).rename(root / "images/000/a.png")
    (root / second).rename(root / "images/000/b.png")
    verdict = mended(root)
    assert verdict.is_sound
    assert verdict.n_owed_again == 0
    assert (root / first).read_bytes() == png(10)
    assert (root / second).read_bytes() == png(11)
    assert len(rows_in(root / "manifest.jsonl")) == 4


def test_one_image_put_back_and_another_lost_is_owed_again_and_deletes_nothing(root: Path) -> None:
    first, second = (one["file"] for one in rows_in(root / "manifest.jsonl")[1]["images"])
    (root / first).rename(root / "images/000/a.png")
    (root / second).unlink()
    assert mended(root).n_owed_again == 1
    assert sha256(png(10)).hexdigest() in _sha256s(root)
    assert verify(root, job_check=no_problem).is_sound


def test_a_directory_that_holds_other_tasks_images_stays_where_it_is(root: Path) -> None:
    Hurt(root).rewrite(1, file="images/000")
    assert mended(root).is_sound
    assert len([one for one in files_in(root) if one.startswith("images/000/")]) == 6


def test_the_older_of_two_lines_that_fit_one_file_is_owed_again(root: Path) -> None:
    hurt = Hurt(root)
    hurt.rewrite(0, **hurt.record(2)["images"][0])
    found = verify(root, job_check=no_problem).findings
    assert {(one.kind, one.id) for one in found if one.id} == {("shared", task(0).id)}
    assert mended(root).is_sound
    with Folder(root, terms()) as folder:
        assert folder.ledger.owes(task(0).id)
        assert not folder.ledger.owes(task(2).id)


def test_a_repair_killed_at_any_call_is_finished_by_the_next(root: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    root.rename(damaged)
    hurt = Hurt(damaged)
    hurt.image(0).unlink()
    hurt.image(1).write_bytes(b"other")
    hurt.insert(b"garbage\n", at=2)
    (damaged / "images/000/extra.png").write_bytes(b"extra")
    (hurt.state / "parts/r0-1").write_bytes(b"part")
    hurt.journal(b'{"result":')
    before = _sha256s(damaged)
    n_calls = 0
    for n in _until_it_is_through():
        copy = tmp_path / str(n)
        shutil.copytree(damaged, copy)
        calls = _Counted(kill_at=n)
        try:
            mended(copy, calls=calls.all())
        except Killed:
            n_calls = n
        else:
            break
        assert mended(copy).is_sound
        assert verify(copy, job_check=no_problem).is_sound
        assert before <= _sha256s(copy)
        with Folder(copy, terms()) as folder:
            owed = [number for number in range(4) if folder.ledger.owes(task(number).id)]
            assert owed == [0, 1]
    assert n_calls > 30


def _until_it_is_through() -> Iterator[int]:
    """The number of the call to be killed at: all the early ones, then every third."""
    yield from range(1, 10)
    yield from range(10, 1000, 3)


class _Counted:
    """Counts the calls that change something, and kills at one of them."""

    def __init__(self, *, kill_at: int) -> None:
        self._left = kill_at

    def all(self) -> Calls:
        calls = Calls()
        return replace(
            calls,
            **{
                one.name: self._counting(getattr(calls, one.name))
                for one in fields(Calls)
                if one.name in _MUTATING
            },
        )

    def _counting(self, call: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if not self._left:
                raise Killed
            return call(*arguments, **more)

        return counted


def _sha256s(root: Path) -> set[str]:
    places = ("images/", ".state/parts/", ".state/orphans/")
    names = (name for name in files_in(root) if name.startswith(places))
    return {sha256((root / name).read_bytes()).hexdigest() for name in names}
