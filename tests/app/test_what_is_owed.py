"""What a job asks for beside its folder: told from ids alone, and the same as row by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.app.wanted import Wanted, asked
from pipeline.core.model import Answer, Course, Failed, Made, Why
from pipeline.errors import BadJob
from pipeline.job.job import Overrides
from pipeline.job.kinds import Kinds
from pipeline.job.load import load_job
from pipeline.job.naming import Naming
from pipeline.job.tasks import tasks
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms
from pipeline.store.ledger import Ledger
from pipeline.store.record import line_of, record_of

if TYPE_CHECKING:
    from pipeline.app.wanted import Asked
    from pipeline.core.model import Task
    from pipeline.job.job import Job

_COURSE = Course(
    attempts=1,
    started_at="2026-11-22T14:00:00.123Z",
    finished_at="2026-11-22T14:00:08.333Z",
    latency_s=8.21,
    cost_usd=0.0,
    provider="p",
)
_NO_ANSWER = Answer()
_PICTURE = {"sha256": "00", "bytes": 1, "media_type": "image/png", "width": 3, "height": 4}


def _note(ledger: Ledger, task: Task, why: Why | None) -> None:
    if why:
        failure = Failed(task=task, why=why, answer=_NO_ANSWER, course=_COURSE)
        record = record_of(failure, files=[], run="r")
    else:
        outcome = Made(task=task, images=(), answer=_NO_ANSWER, course=_COURSE)
        record = record_of(outcome, files=[], run="r")
        record["images"] = [{"file": f"{task.id}.png", **_PICTURE}]
    ledger.note(1000 * ledger.n_lines, line_of(record))


def _job(folder: Path, text: str, prompts: list[str], limit: int | None = None) -> Job:
    (folder / "p.txt").write_text("".join(f"{one}\n" for one in prompts))
    (folder / "job.yaml").write_text(
        f"output: {{dir: {folder}/out}}\nprompts: {{file: p.txt}}\n{text}"
    )
    return load_job(folder / "job.yaml", overrides=Overrides(limit=limit), environ={})


_ENDS = st.lists(st.sampled_from([None, Why.REFUSED, Why.LOST, "owed"]), max_size=24)
_TEXTS = ["", "samples: 2\n", "matrix: {model: [x, y]}\n", "samples: 2\nseed: 3\n"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=12),
    st.sampled_from(_TEXTS),
    st.none() | st.integers(0, 12),
    _ENDS,
)
def test_what_is_owed_is_what_a_look_at_every_task_finds(
    tmp_path: Path, prompts: list[str], text: str, limit: int | None, ends: list[Why | str | None]
) -> None:
    job = _job(tmp_path, text, prompts, limit)
    whole_job = _job(tmp_path, text, prompts)
    ledger, kinds = Ledger(), Kinds()
    with asked(whole_job, print) as wish:
        whole = list(tasks(whole_job, wish.plan, wish.read))
    for task, end in zip(whole, ends, strict=False):
        if end != "owed":
            _note(ledger, task, Why(end) if end else None)
    with asked(job, print, kinds=kinds) as wish:
        wanted = Wanted(wish, ledger)
        owed = [task for task in wanted.owed() if task]
        of_kinds = wanted.owed_kinds()
    first = whole if limit is None else whole[:limit]
    assert owed == [task for task in first if ledger.owes(task.id)]
    words = Counter(ledger.word_of(task.id) for task in first)
    assert wanted.before == wanted.counts()
    assert (wanted.before.made, wanted.before.owed) == (words["made"], words[None])
    assert wanted.before.failed == words["refused"] + words["lost"]
    assert len(wanted.unwanted) == 0
    assert sum(of_kinds.values()) == len(owed)
    plainly = Counter((task.model, len(task.prompt)) for task in owed)
    assert (
        Counter({(k.models[0], k.priced.prompt_bytes): n for k, n in of_kinds.items()}) == plainly
    )


def test_as_many_made_tasks_as_are_wanted_may_be_others(tmp_path: Path) -> None:
    folders = []
    for prompts in (["a", "b"], ["a", "c"]):
        with asked(_job(tmp_path, "", prompts), print) as wish:
            folders.append(list(tasks(wish.job, wish.plan, wish.read)))
    job = _job(tmp_path, "", ["a", "b"])
    for made in folders:
        ledger = Ledger()
        for task in made[::-1]:
            _note(ledger, task, None)
        with asked(job, print) as wish:
            wanted = Wanted(wish, ledger)
            owed = [task.prompt for task in wanted.owed() if task]
        others = {task.id for task in made if task.prompt == "c"}
        assert owed == (["b"] if others else [])
        assert {task.id for task in made if task.id in wanted.unwanted} == others
        assert len(wanted.unwanted) == len(others)
    ledger = Ledger()
    for task in (folders[0][0], replace(folders[0][1], id="from elsewhere")):
        _note(ledger, task, None)
    with asked(job, print) as wish:
        unwanted = Wanted(wish, ledger).unwanted
    assert len(unwanted) == 1
    assert "from elsewhere" in unwanted


def _remembering(job: Job) -> Asked:
    """The job as it is looked at; its folder is told of it."""
    path_for = Naming.of(job.path).path_for
    terms = Terms(job=job.name, run="r", path_for=path_for, durability=Durability.PROCESS)
    with asked(job, print) as wish, Folder(Path(job.out), terms) as folder:
        wish.remember(folder)
    return wish


def test_rows_that_were_looked_at_are_known_again_until_one_changes(tmp_path: Path) -> None:
    prompts = [f"prompt {n}" for n in range(20_001)]
    job = _job(tmp_path, "", prompts)
    seen = _remembering(job)
    assert seen.key is not None
    with asked(job, print) as again:
        assert again.key is None
        assert (again.plan.n_tasks, again.plan.ids) == (20_001, bytes(seen.plan.ids))
    with asked(_job(tmp_path, "", prompts, limit=3), print) as limited:
        assert (limited.key, limited.plan.n_wanted) == (None, 3)
    with asked(_job(tmp_path, "seed: 3\n", prompts), print) as other:
        assert other.key is not None
    with asked(_job(tmp_path, "", [*prompts[:-1], "Prompt 20000"]), print) as edited:
        assert edited.key is not None
        assert edited.plan.ids != seen.plan.ids


def test_rows_that_were_sound_and_are_not_any_more_are_told_of(tmp_path: Path) -> None:
    prompts = [f"prompt {n}" for n in range(20_001)]
    _remembering(_job(tmp_path, "", prompts))
    (tmp_path / "p.txt").write_bytes(b"\n".join(map(str.encode, prompts)) + b"\n\xff\n")
    with (
        pytest.raises(BadJob, match=r"p\.txt:20002: byte 1 is not UTF-8"),
        asked(load_job(tmp_path / "job.yaml", environ={}), print),
    ):
        pass


def test_what_is_in_the_way_of_the_kept_survey_only_costs_time(tmp_path: Path) -> None:
    job = _job(tmp_path, "", [f"prompt {n}" for n in range(20_001)])
    _remembering(job)
    kept = tmp_path / "out/.state/survey"
    kept.write_bytes(kept.read_bytes()[:-1])
    with asked(job, print) as again:
        assert again.key is not None
    kept.unlink()
    kept.mkdir()
    with asked(job, print) as again:
        assert again.plan.n_tasks == 20_001
