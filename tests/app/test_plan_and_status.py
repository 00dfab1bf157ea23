"""What a run would do, and how a folder stands: both look, neither touches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from commands import ended, next_event, until
from PIL import Image

from pipeline.app import catalog
from pipeline.core.simulation import FaultRule, Simulation
from pipeline.provider.catalog import Catalog, Model

if TYPE_CHECKING:
    from commands import Desk, Serving

REFUSING = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="refused", prompt="no"),)
)


def test_plan_sends_nothing_writes_nothing_and_needs_no_key(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        more = "matrix: {style: [oil, ink, pencil]}\nsamples: 2\ntemplate: '{{prompt}} {{style}}'\n"
        more += "limits: {concurrency: 8, requests_per_minute: 24}\n"
        desk.job(["a fox", "a city"], base_url=there.base_url, more=more)
        desk.provider(there.base_url, "api_key_env: IMAGEBATCH_TEST_KEY\n")
        told = desk.run("plan", "job.yaml")
        plan = desk.run("plan", "job.yaml", "--json").summary
        assert there.bill() == there.bill() | {"requests": 0, "by_status": {}}
    assert told.code == 0
    assert not desk.out.exists()
    assert "12 new · 0 made · 0 failed" in told.out
    assert "style 3" in told.out
    assert "2 samples" in told.out
    assert "at least 30.0 s" in told.out
    assert "a fox oil" in told.out
    assert "images/000/000000-a-fox-oil-" in told.out
    assert " free" in told.out
    assert (plan["tasks"], plan["new"], plan["to_send"]) == (12, 12, 12)
    assert plan["axes"] == {"style": 3}
    assert plan["at_the_limits_s"] == 30


def test_plan_counts_new_made_and_failed_after_a_run(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "b", "no"], base_url=there.base_url)
        desk.run("run", "job.yaml")
        desk.job(["a", "c", "d", "no"], base_url=there.base_url)
        told = desk.run("plan", "job.yaml")
        plan = desk.run("plan", "job.yaml", "--json").summary
        assert there.bill()["requests"] == 3
        assert desk.run("run", "job.yaml", "--json").summary["requests"] == plan["to_send"] == 2
    assert "2 new · 1 made · 1 failed (refused 1)" in told.out
    assert "\nnext to send:\n" in told.out
    assert [one["prompt"] for one in plan["first"]] == ["c", "d"]


def test_plan_with_nothing_left_to_send_shows_what_the_job_asks_for(
    desk: Desk, provider: Serving
) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "no"], base_url=there.base_url)
        desk.run("run", "job.yaml")
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert (plan["to_send"], [one["prompt"] for one in plan["first"]]) == (0, ["a", "no"])


def test_plan_says_where_the_disk_is_too_small(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.job(["a", "b"])
    assert desk.run("plan", "job.yaml", "--json").summary["disk_lacks_bytes"] == 0
    monkeypatch.setattr("pipeline.app.plan.LIKELY_IMAGE_BYTES", 10**18)
    told = desk.run("plan", "job.yaml")
    assert told.code == 0
    assert ": too little by about " in told.out
    assert desk.run("plan", "job.yaml", "--json").summary["disk_lacks_bytes"] > 10**17


def test_plan_tells_of_the_files_a_run_then_writes(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        more = "output: {dir: out, path: '{{row}}/{{slug}}-{{sample}}.{{ext}}'}\n"
        prompts = "[{id: x, prompt: A fox!}, {id: y, prompt: Zürich}]"
        desk.provider(there.base_url)
        desk.write("job.yaml", f"provider: ./there.yaml\nprompts: {prompts}\n{more}")
        plan = desk.run("plan", "job.yaml", "--json").summary
        desk.run("run", "job.yaml")
    files = [line["images"][0]["file"] for line in desk.lines]
    assert sorted(files) == sorted(first["file"] for first in plan["first"])


PRICES = "prices: {a: {image: 0.039}, b: {image: 0.13}, free: {image: 0}}\n"


@pytest.mark.parametrize(
    ("models", "text", "usd", "most"),
    [
        (["a"], "$0.078 (the profile's prices) if each takes one try", 0.078, 0.39),
        (["a", "b"], "$0.338 (the profile's prices) if each takes one try", 0.338, 1.69),
        (["free"], "$0.00 (the profile's prices)", 0, 0),
    ],
)
def test_plan_tells_the_price_the_profile_knows(
    desk: Desk, models: list[str], text: str, usd: float, most: float
) -> None:
    desk.job(["x", "y"], base_url="https://nobody.invalid", more=f"matrix: {{model: {models}}}\n")
    desk.provider("https://nobody.invalid", PRICES)
    assert f"price: {text}\n" in desk.run("plan", "job.yaml").out
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert (plan["price"], plan["price_source"]) == (text, "the profile's prices")
    assert (plan["price_low_usd"], plan["price_high_usd"]) == (usd, usd)
    assert plan["price_most_usd"] == most


def test_plan_says_of_how_many_tasks_nobody_knows_the_price(desk: Desk) -> None:
    more = "matrix: {model: [a, c, d]}\nretry: {attempts: 1}\n"
    desk.job(["x", "y"], base_url="https://nobody.invalid", more=more)
    desk.provider("https://nobody.invalid", PRICES)
    plan = desk.run("plan", "job.yaml", "--json").summary
    unknown = "price unknown for 4 of 6 tasks (model c, and 1 more)"
    assert plan["price"] == f"$0.078 (the profile's prices); {unknown}"
    assert (plan["price_high_usd"], plan["price_unknown"]) == (0.078, 4)
    desk.provider("https://nobody.invalid")
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert plan["price"].startswith("unknown for 6 of 6 tasks (model a, and 2 more); ")
    assert plan["price_low_usd"] is plan["price_high_usd"] is plan["price_source"] is None


@pytest.mark.parametrize(
    ("pricing", "text"),
    [
        ({"image_output": 0.04}, "$0.04 (catalog of nobody.invalid, 20"),
        ({"image_output": 0.04, "request": 0.01}, "$0.05 (catalog of nobody.invalid, 20"),
        ({"request": 0.01, "prompt": 1}, "$0.01-$0.0101 (catalog of nobody.invalid, 20"),
        ({"image_output": 0, "request": 0}, "$0.00 (catalog of nobody.invalid, 20"),
        ({"image_output": 0.00003}, "unknown for 1 of 1 task (model m); "),  # that of a token
        ({"image_output": 0.04, "prompt": 3, "completion": 2.5}, "$0.04-$0.0503 (catalog"),
        ({"prompt": 0, "completion": 0}, "unknown for 1 of 1 task (model m); "),
        ({"image_output": 0, "completion": 3}, "unknown for 1 of 1 task (model m); "),
        ({}, "unknown for 1 of 1 task (model m); "),
    ],
)
def test_plan_takes_the_price_from_a_kept_list_of_models_and_asks_nobody(
    desk: Desk, pricing: dict[str, float], text: str
) -> None:
    base_url = "https://nobody.invalid"
    desk.job(["x"], base_url=base_url, more="model: m\n")
    listed = Catalog(models=(Model(id="vendor/m", also=("m",), prices=pricing),))
    catalog.keep(listed, base_url, None)
    assert f"\nprice: {text}" in desk.run("plan", "job.yaml").out


def test_a_token_price_is_an_images_where_its_tokens_are_known(desk: Desk) -> None:
    base_url, model = "https://nobody.invalid", "google/gemini-2.5-flash-image"
    desk.job(["x"], base_url=base_url, more=f"model: {model}\n")
    listed = Model(id=model, prices={"image_output": 0.00003})
    catalog.keep(Catalog(models=(listed,)), base_url, None)
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert plan["price_low_usd"] == plan["price_high_usd"] == 0.0387


def test_where_profile_and_list_differ_the_price_is_a_range(desk: Desk) -> None:
    base_url = "https://nobody.invalid"
    desk.job(["x"], base_url=base_url, more="matrix: {model: [a, m]}\n")
    desk.provider(base_url, PRICES)
    models = tuple(Model(id=name, prices={"image_output": 0.5}) for name in ("a", "m"))
    catalog.keep(Catalog(models=models), base_url, None)
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert plan["price_source"].startswith("the profile's prices; catalog of nobody.invalid, 20")
    assert (plan["price_low_usd"], plan["price_high_usd"]) == (0.539, 1)


def test_a_simulated_price_says_that_it_is_simulated(desk: Desk) -> None:
    desk.job(["x", "y"])
    assert "price: $0.00 (simulated)\n" in desk.run("plan", "job.yaml").out
    simulator = "provider: {simulator: {cost_usd: 0.5, images_per_reply: 2, image_size: 64x64}}\n"
    desk.job(["x", "y"], more=f"{simulator}limits: {{concurrency: 1}}\n")
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert plan["price_low_usd"] == plan["price_high_usd"] == 2
    assert desk.run("run", "job.yaml", "--json").summary["cost_usd"] == 2
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert (plan["price"], plan["price_high_usd"]) == ("$0.00 (nothing to send)", 0)


def test_a_frozen_job_with_input_images_can_be_planned_in_its_folder(
    desk: Desk, provider: Serving
) -> None:
    with provider(REFUSING) as there:
        desk.job(["a fox"], base_url=there.base_url, more="references: in/photo.png\n")
        (desk.folder / "in").mkdir()
        Image.new("RGB", (8, 8)).save(desk.folder / "in/photo.png")
        assert desk.run("run", "job.yaml").code == 0
        plan = desk.run("plan", "out/job.yaml", "--out", "out", "--json").summary
    assert (plan["made"], plan["new"]) == (1, 0)


def test_status_tells_of_a_run_while_it_goes_on_and_afterwards(
    desk: Desk, provider: Serving
) -> None:
    hanging = Simulation(
        latency_s=0,
        image_size="64x64",
        cost_usd=0.5,
        rules=(FaultRule(fault="hang", prompt="slow"), FaultRule(fault="refused", prompt="no")),
    )
    with provider(hanging) as there:
        prompts = ["quick", "no", "slow 1", "slow 2"]
        desk.job(prompts, base_url=there.base_url, more="stop: {grace_term: 0.1}\n")
        with desk.started("run", "job.yaml", "--json") as process:

            def now() -> dict[str, Any]:
                return desk.run("status", "out", "--json").objects[0]

            until((desk.out / "manifest.jsonl").exists)
            until(lambda: (now()["made"], now()["failed"], now()["in_flight"]) == (1, 1, 2))
            assert (now()["running"], now()["running_pid"]) == (True, process.pid)
            text = desk.run("status", "out")
            assert f"pid {process.pid}" in text.out
            assert "in flight 2, the oldest for " in text.out
            assert ", simulator/painter: slow 1\n" in text.out
            out = now()["in_flight_requests"]
            assert [one["prompt"] for one in out] == ["slow 1", "slow 2"]
            assert {one["model"] for one in out} == {"simulator/painter"}
            assert all(0 <= one["for_s"] < 60 for one in out)
            process.terminate()
            assert ended(process).code == 143
    told = desk.run("status", "out", "--json")
    assert told.code == 0
    (status,) = told.objects
    whole = {"made": 1, "failed": 1, "owed": 2, "in_flight": None, "running": False}
    assert (status["in_flight_requests"], status["lanes"]) == ([], [])
    assert status == status | whole
    assert status["maybe_billed"] == 2
    assert {one["attempt"] for one in status["maybe_billed_requests"]} == {1}
    assert "never answered, so maybe billed: task " in desk.run("status", "out").out
    assert status["cost_usd"] == 0.5
    assert status["by_why"] == {"refused": 1}
    text = desk.run("status", "out")
    assert text.code == 0
    for words in ("made 1 of 4", "failed 1: refused 1", "owed 2", "$0.50", "maybe billed", "p95"):
        assert words in text.out


def test_status_watches_until_the_run_ends(desk: Desk, provider: Serving) -> None:
    slow = Simulation(latency_s=0.2, latency_p99_s=0.3, image_size="64x64")
    with provider(slow) as there:
        more = "limits: {concurrency: 1}\n"
        desk.job([f"p{n}" for n in range(10)], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            watched = desk.run("status", "out", "--watch", "--json")
            assert ended(process).code == 0
    assert watched.code == 0
    first, last = watched.objects[0], watched.objects[-1]
    assert first["running"]
    assert not last["running"]
    assert last["made"] == 10


def test_status_reads_a_folder_without_its_hidden_part(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        desk.run("run", "job.yaml")
    copy = desk.folder / "copy"
    copy.mkdir()
    (copy / "manifest.jsonl").write_bytes((desk.out / "manifest.jsonl").read_bytes())
    told = desk.run("status", "copy", "--json")
    assert (told.code, json.loads(told.out)["made"]) == (0, 2)
    assert [p.name for p in copy.iterdir()] == ["manifest.jsonl"]
