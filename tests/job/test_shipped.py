"""What is shipped: schemas that are current, jobs that run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs import planned
from pipeline.job.job import Overrides
from pipeline.job.load import load_job
from pipeline.job.schema import json_schema, text_of

if TYPE_CHECKING:
    from pipeline.job.schema import Which

ROOT = Path(__file__).parents[2]
JOBS = {"quickstart": 24, "knox-sunset": 1, "knox-city": 1, "parti-200": 200}


@pytest.mark.parametrize("which", ["job", "provider"])
def test_the_shipped_schema_is_current(which: Which) -> None:
    """To renew: write ``pipeline.job.schema.text_of(which)`` to the file."""
    assert (ROOT / f"pipeline/schema/{which}.json").read_text(encoding="utf-8") == text_of(which)


def test_the_schema_describes_every_key() -> None:
    schema = json_schema("job")
    parts = [schema, *schema["$defs"].values()]
    for part in parts:
        for name, key in part.get("properties", {}).items():
            assert "description" in key or "$ref" in key, name


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("provider", [None, "simulator", "knox"])
def test_a_ready_job_has_its_tasks_whoever_makes_them(name: str, provider: str | None) -> None:
    path = ROOT / f"jobs/{name}.yaml"
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=../pipeline/schema/job.json"
    job = load_job(path, overrides=Overrides(provider=provider), environ={})
    assert len(planned(job)) == JOBS[name]
    assert job.profile.stream == (name == "knox-city")


def test_the_two_hundred_prompts_are_spread_over_every_category() -> None:
    tasks = planned(load_job(ROOT / "jobs/parti-200.yaml", environ={}))
    categories = [task.meta["Category"] for task in tasks]
    assert len(set(categories)) == 12
    assert min(categories.count(name) for name in set(categories)) >= 16
    assert len({task.meta["Challenge"] for task in tasks}) == 11
