"""What a run would do, and how a folder stands: both look, neither touches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from commands import ended, next_event, until

from pipeline.core.simulation import FaultRule, Simulation

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

            until((desk.out / ".state/now.json").exists)
            until(lambda: (now()["made"], now()["failed"], now()["in_flight"]) == (1, 1, 2))
            assert (now()["running"], now()["running_pid"]) == (True, process.pid)
            text = desk.run("status", "out")
            assert f"pid {process.pid}" in text.out
            assert "in flight 2" in text.out
            process.terminate()
            assert ended(process).code == 143
    told = desk.run("status", "out", "--json")
    assert told.code == 0
    (status,) = told.objects
    whole = {"made": 1, "failed": 1, "owed": 2, "in_flight": None, "running": False}
    assert status == status | whole
    assert isinstance(status["maybe_billed"], int)
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
