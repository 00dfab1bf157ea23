"""A survey that is kept: the same again for the same job and rows, and for nothing else."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from jobs import load, reading, surveyed
from pipeline.job import memo
from pipeline.job.tasks import tasks

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.job.job import Job


def _job(folder: Path, more: str = "", *, n: int = 30, limit: int | None = None) -> Job:
    (folder / "p.txt").write_text("".join(f"prompt {k % 25}\n" for k in range(n)))
    return load(folder, f"prompts: {{file: p.txt}}\n{more}", limit=limit)


@pytest.mark.parametrize("more", ["", "samples: 3\n", "matrix: {model: [x, y]}\n"])
def test_what_is_kept_plans_the_same_tasks(tmp_path: Path, more: str) -> None:
    job = _job(tmp_path, more)
    survey = surveyed(job)
    again = memo.survey_in(b"".join(memo.pieces_of(survey, "key")), job, "key")
    assert again is not None
    assert list(tasks(job, again, reading(job))) == list(tasks(job, survey, reading(job)))
    shown = dataclasses.replace(again, first=survey.first, kinds=survey.kinds, ids=survey.ids)
    assert (shown, again.ids) == (survey, bytes(survey.ids))
    limited = dataclasses.replace(job, limit=4)
    known = memo.survey_in(b"".join(memo.pieces_of(survey, "key")), limited, "key")
    assert known is not None
    assert known.n_wanted == 4


def test_what_is_not_whole_or_anothers_is_not_taken(tmp_path: Path) -> None:
    job = _job(tmp_path)
    kept = b"".join(memo.pieces_of(surveyed(job), "key"))
    assert memo.survey_in(kept, job, "other") is None
    for torn in (b"", b"\n", kept[:-1], kept[:40], kept[:-1] + b"x", kept + b"x"):
        assert memo.survey_in(torn, job, "key") is None


def test_the_key_is_of_the_job_its_rows_and_who_looked(tmp_path: Path) -> None:
    job = _job(tmp_path)
    key = memo.key_of(job, b"rows", "1")
    assert key == memo.key_of(_job(tmp_path, limit=3), b"rows", "1")
    others = [
        _job(tmp_path, "template: '{{prompt}}!'\n"),
        _job(tmp_path, "provider: local\nmodel: m\n"),
    ]
    assert key not in {memo.key_of(one, b"rows", "1") for one in others}
    assert key not in {memo.key_of(job, b"row", "1"), memo.key_of(job, b"rows", "2")}


def test_only_a_long_survey_without_input_images_is_worth_it(tmp_path: Path) -> None:
    survey = surveyed(_job(tmp_path))
    long = dataclasses.replace(survey, ids=bytes(10 * 20_000))
    assert not memo.is_worth_it(survey)
    assert memo.is_worth_it(long)
    assert not memo.is_worth_it(dataclasses.replace(long, has_references=True))
