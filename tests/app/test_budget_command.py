"""A budget as a person meets it: the ceiling, the sum, the way on; and nothing sent for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import check_whole

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

CENT = Simulation(latency_s=0, image_size="64x64", cost_usd=0.01)
PRICED = "prices: {simulator/painter: {image: 0.01}}\n"
PROMPTS = [f"p{n}" for n in range(30)]


def priced_job(desk: Desk, base_url: str, more: str = "", *, prices: str = PRICED) -> None:
    desk.job(PROMPTS, base_url=base_url, more=more)
    desk.provider(base_url, prices)


def test_a_budget_holds_over_all_runs_of_a_folder(desk: Desk, provider: Serving) -> None:
    with provider(CENT) as there:
        priced_job(desk, there.base_url, "budget: {usd: 0.1}\n")
        first = desk.run("run", "job.yaml", "--json")
        assert (first.code, first.summary["made"], first.summary["owed"]) == (4, 10, 20)
        assert "budget of $0.10 is used up: $0.10 are spent" in first.summary["reason"]
        assert desk.run("run", "job.yaml").code == 4
        assert there.bill()["cost_usd"] == pytest.approx(0.1)
        told = desk.run("run", "job.yaml", "--max-usd", "0.25")
        assert told.code == 4
        assert "made 25 of 30" in told.out
        assert "cost $0.15 · $0.25 over all runs" in told.out
        assert "Raise budget.usd or --max-usd" in told.out
        assert desk.run("run", "job.yaml", "--max-usd", "1").code == 0
        assert there.bill()["cost_usd"] == pytest.approx(0.3)
    check_whole(desk.out)


def test_what_comes_back_is_dearer_than_listed_and_a_second_wave_knows(
    desk: Desk, provider: Serving
) -> None:
    dear = Simulation(latency_s=0.02, image_size="64x64", cost_usd=0.02, images_per_reply=4)
    with provider(dear) as there:
        priced_job(desk, there.base_url, "budget: {usd: 0.4}\n")
        assert desk.run("run", "job.yaml").code == 4
        assert 0.24 < there.bill()["cost_usd"] <= 0.4


def test_a_budget_below_one_image_sends_nothing(desk: Desk, provider: Serving) -> None:
    with provider(CENT) as there:
        priced_job(desk, there.base_url)
        told = desk.run("run", "job.yaml", "--max-usd", "0.009", "--json")
        assert (told.code, told.summary["owed"]) == (4, 30)
        assert there.bill()["requests"] == 0


def test_what_is_known_to_be_too_little_asks_nobody_anything(desk: Desk) -> None:
    priced_job(desk, "http://127.0.0.1:9/v1", "budget: {usd: 0.001}\n")
    told = desk.run("run", "job.yaml")
    assert told.code == 4
    assert "budget of $0.001 is used up" in told.out


def test_a_budget_without_a_price_is_refused(desk: Desk, provider: Serving) -> None:
    with provider(CENT) as there:
        priced_job(desk, there.base_url, "model: unheard/of\nbudget: {usd: 5}\n", prices="")
        told = desk.run("run", "job.yaml")
        assert told.code == 78
        assert "unheard/of" in told.out + told.err
        assert "prices:" in told.out + told.err
        assert there.bill()["requests"] == 0
        assert desk.run("run", "job.yaml", "--set", "budget=null").code in {2, 65}
        priced_job(desk, there.base_url, "model: unheard/of\n", prices="")
        assert desk.run("run", "job.yaml", "--limit", "1").code in {0, 3}


def test_the_providers_list_is_price_enough(desk: Desk, provider: Serving) -> None:
    with provider(CENT) as there:
        priced_job(desk, there.base_url, "budget: {usd: 0.05}\n", prices="")
        assert desk.run("run", "job.yaml").code == 4
        assert there.bill()["cost_usd"] == pytest.approx(0.05)


def test_the_embedded_simulator_has_its_price(desk: Desk) -> None:
    desk.write("dear.yaml", "simulator: {latency_s: 0, image_size: 64x64, cost_usd: 0.5}\n")
    desk.write("job.yaml", "provider: ./dear.yaml\nprompts: [a, b, c]\nbudget: {usd: 1}\n")
    told = desk.run("run", "job.yaml", "--json")
    assert (told.code, told.summary["made"], told.summary["cost_usd"]) == (4, 2, 1.0)


def test_lost_requests_count_in_full_in_later_runs_too(desk: Desk, provider: Serving) -> None:
    rules = (FaultRule(fault="cut", prompt="p"),)
    cut = Simulation(latency_s=0, image_size="64x64", cost_usd=0.01, rules=rules)
    with provider(cut) as there:
        priced_job(desk, there.base_url, "budget: {usd: 0.1}\nretry: {max_wait: 0.01}\n")
        told = desk.run("run", "job.yaml", "--json")
        assert told.code == 4
        assert there.bill()["requests"] == 10
        assert desk.run("run", "job.yaml").code == 4
        assert there.bill()["requests"] == 10


def test_a_rerun_has_the_folders_budget(desk: Desk, provider: Serving) -> None:
    refusing = Simulation(
        latency_s=0, image_size="64x64", cost_usd=0.01, rules=(FaultRule(fault="refused"),)
    )
    with provider(refusing) as there:
        priced_job(desk, there.base_url)
        assert desk.run("run", "job.yaml", "--limit", "4").code == 3
    with provider(CENT) as there:
        desk.provider(there.base_url, PRICED)
        assert desk.run("rerun", "out", "--max-usd", "0.02").code == 4
        assert there.bill()["cost_usd"] == pytest.approx(0.02)


@pytest.mark.parametrize("amount", ["-1", "lots", "1e3", "inf", "nan", ""])
def test_an_amount_that_is_none_is_wrong_usage(desk: Desk, amount: str) -> None:
    desk.job(["a"])
    told = desk.run("run", "job.yaml", f"--max-usd={amount}")
    assert told.code == 2
    assert "5 or 2.50" in told.err


def test_the_next_command_keeps_the_ceiling(desk: Desk, provider: Serving) -> None:
    with provider(CENT) as there:
        priced_job(desk, there.base_url)
        told = desk.run("run", "job.yaml", "--max-usd", "$0.05")
        assert told.out.splitlines()[-1] == "next: imagebatch run job.yaml --max-usd 0.05"
