"""A scenario over HTTP: the server plays it, and the command finds its way through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import check_whole

from pipeline.core.scenarios import SCENARIOS
from pipeline.core.simulation import Simulation, flaws_of

if TYPE_CHECKING:
    from commands import Desk, Serving


def test_a_cap_that_nobody_told_is_found_and_nothing_is_lost(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(scenario="crowd-3-hinted", scale=200, images="prebuilt")) as there:
        desk.job(
            [f"p{n}" for n in range(30)],
            base_url=there.base_url,
            more="timeouts: {total: 2}\nretry: {attempts: 6, lost: 6, max_wait: 1}\n",
        )
        told = desk.run("run", "job.yaml", "--json")
        bill = there.bill()
    assert (told.code, told.summary["made"]) == (0, 30)
    assert bill["in_flight_peak"] == 3
    assert 1 <= bill["by_status"]["429"] < 30
    check_whole(desk.out)


def test_every_key_that_ends_in_a_number_has_the_endpoint_of_that_number(
    desk: Desk, provider: Serving
) -> None:
    with provider(Simulation(scenario="revoked", scale=1_000, images="prebuilt")) as there:
        for n in (1, 2):
            profile = {
                "base_url": there.base_url,
                "model": "m",
                "api_key_env": f"KEY_{n}",
                "limits": {"requests_per_minute": 60_000},
            }
            (desk.folder / f"lane{n}.yaml").write_text(json.dumps(profile))
        job = {
            "provider": ["./lane1.yaml", "./lane2.yaml"],
            "prompts": [f"p{n}" for n in range(300)],
            "timeouts": {"total": 2},
            "retry": {"attempts": 6, "lost": 6, "max_wait": 1},
        }
        (desk.folder / "job.yaml").write_text(json.dumps(job))
        desk.environ(KEY_1="made-up-1", KEY_2="made-up-2")
        told = desk.run("run", "job.yaml", "--json")
        statuses = there.bill()["by_status"]
    assert (told.code, told.summary["made"]) == (0, 300)
    assert statuses["401"] >= 1


def test_a_scenario_that_is_none_is_told_with_those_there_are() -> None:
    (flaw,) = flaws_of(Simulation(scenario="sunny"))
    assert flaw.startswith("scenario: there is no 'sunny'; there are known-bucket")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--scenario", "sunny"], "--scenario: there is no 'sunny'"),
        (["--scenario", "crowd", "--scale", "0"], "is no factor"),
        (["--scenario", "crowd", "--scale", "fast"], "is no factor"),
    ],
)
def test_wrong_words_are_told_before_anything_is_served(
    desk: Desk, flags: list[str], told: str
) -> None:
    ended = desk.run("simulate", *flags)
    assert ended.code == 2
    assert told in ended.err


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_document_names_every_scenario_and_what_it_is(name: str) -> None:
    document = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    assert f"| `{name}` | {SCENARIOS[name].what} |\n" in document
