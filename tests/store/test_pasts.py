"""What the folder knows of a task's earlier requests: over tries, runs and kills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeping import failed, keep_made, rows_in, task, terms

from pipeline.core.model import Past, Why
from pipeline.store.folder import Folder
from pipeline.store.pasts import newest

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.store.trail import Trail

AT = "2026-11-22T14:00:00.123Z"
TASK = task(1)


def begun(folder: Folder, attempt: int = 1) -> Trail:
    return folder.begin(TASK, attempt, at=AT)


def lose(trail: Trail) -> None:
    trail.back(cost_usd=None, is_maybe_billed=True)


def answer(trail: Trail, cost_usd: float | None = None) -> None:
    trail.answered()
    trail.back(cost_usd=cost_usd, is_maybe_billed=False)


async def test_a_lost_try_leaves_it_open_and_an_answer_closes_it(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        assert begun(folder).past == Past()
        lose(begun(folder, 2))
        third = begun(folder, 3)
        assert third.past == Past(is_open=True)
        answer(third)
        throttled = begun(folder, 4)
        assert throttled.past == Past(n_answers=1)
        throttled.back(cost_usd=None, is_maybe_billed=False)
        assert begun(folder, 5).past == Past(n_answers=1)


@pytest.mark.parametrize("cost_usd", [None, 0.04])
async def test_a_killed_run_leaves_what_it_met_to_the_next(
    tmp_path: Path, cost_usd: float | None
) -> None:
    with Folder(tmp_path, terms(run="r1")) as folder:
        answer(begun(folder), cost_usd)
    with Folder(tmp_path, terms(run="r2")) as folder:
        left = begun(folder)
        assert left.past == Past(n_answers=1)
        left.heard("gen-1")  # and then it was killed
    for run in ("r3", "r4"):
        with Folder(tmp_path, terms(run=run)) as folder:
            assert folder._pasts.of(TASK.id) == Past(n_answers=1, is_open=True)


async def test_a_line_tells_how_often_it_was_answered_and_whether_the_last_was_lost(
    tmp_path: Path,
) -> None:
    expected = []
    for run, (why, n_lost) in enumerate(
        [(Why.LOST, 2), (Why.NO_IMAGE, 0), (Why.REFUSED, 1), (Why.SERVER_ERROR, 0)]
    ):
        with Folder(tmp_path, terms(run=f"r{run}")) as folder:
            expected.append(begun(folder).past)
            for attempt in range(n_lost):
                lose(begun(folder, attempt))
            last = begun(folder, 9)
            if why in {Why.NO_IMAGE, Why.REFUSED}:
                answer(last)
            await folder.keep(failed(TASK, why, n_maybe_billed=n_lost))
    with Folder(tmp_path, terms(run="r9")) as folder:
        expected.append(begun(folder).past)
    assert expected == [
        Past(),
        Past(is_open=True),
        Past(n_answers=1),
        Past(n_answers=2),
        Past(n_answers=2),
    ]
    assert [line["answers"] for line in rows_in(tmp_path / "manifest.jsonl")] == [0, 1, 2, 2]


async def test_images_are_an_answer(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        await keep_made(folder, 1)
        assert folder._pasts.of(TASK.id) == Past(n_answers=1)
        assert folder._pasts.of(task(2).id) == Past()


async def test_what_a_line_tells_of_is_not_kept_in_the_journal_too(tmp_path: Path) -> None:
    with Folder(tmp_path, terms(run="r1")) as folder:
        answer(begun(folder))
    with Folder(tmp_path, terms(run="r2")) as folder:
        await folder.keep(failed(TASK, Why.LOST, n_maybe_billed=1))
        assert folder._pasts.of(TASK.id) == Past(n_answers=1, is_open=True)
    assert rows_in(tmp_path / ".state/journal.jsonl") == []


pasts = st.builds(Past, n_answers=st.integers(0, 3), is_open=st.booleans())


@given(st.lists(pasts), st.lists(pasts))
def test_it_does_not_matter_in_which_order_it_is_learnt(some: list[Past], more: list[Past]) -> None:
    assert newest(some + more) == newest(more + some) == newest([newest(some), newest(more)])
