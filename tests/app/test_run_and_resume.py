"""A job becomes images and a manifest; again it costs nothing; what failed can be asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from commands import check_whole, newest
from PIL import Image

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

FIELDS = [
    "id", "status", "why", "index", "sample", "prompt", "model", "served_model", "params", "vars",
    "meta", "images", "text", "detail", "attempts", "request_id", "usage", "cost_usd", "provider",
    "started_at", "finished_at", "latency_s", "run",
]  # fmt: skip
QUICK = Simulation(latency_s=0.02, latency_p99_s=0.05, image_size="96x64", cost_usd=0.04)


def test_a_run_leaves_images_and_lines_that_agree(desk: Desk, provider: Serving) -> None:
    prompts = '["a red fox", {id: city, prompt: a city, district: Shibuya, n: [1, null]}]'
    more = "matrix: {style: [oil, ink]}\ntemplate: '{{prompt}}, {{style}}'\nsamples: 2\nseed: 7\n"
    with provider(QUICK) as there:
        desk.job(prompts, base_url=there.base_url, more=more + "params: {temperature: 1.0}\n")
        first = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 8
        again = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 8
    out = desk.out
    check_whole(out)
    assert first.code == again.code == 0
    assert "made 8 of 8" in first.out
    assert "$0.32" in first.out
    assert not first.err
    assert len(first.out.splitlines()) <= 12
    assert again.summary["made"] == 8
    assert again.summary["requests"] == 0
    lines = desk.lines
    assert [list(line)[: len(FIELDS)] for line in lines] == [FIELDS] * 8
    assert {len(line) for line in lines} == {len(lines[0])}
    city = next(line for line in lines if line["index"] == 3 and line["sample"] == 1)
    assert city["prompt"] == "a city, ink"
    assert city["vars"] == {"style": "ink"}
    assert city["meta"] == {"id": "city", "district": "Shibuya", "n": [1, None]}
    assert city["params"] == {"temperature": 1.0}
    assert city["seed"] == 8
    assert (city["status"], city["why"], city["attempts"]) == ("made", None, 1)
    assert (city["model"], city["served_model"]) == ("simulator/painter", "simulator/painter")
    assert (city["provider"], city["cost_usd"]) == ("there", 0.04)
    assert city["started_at"] < city["finished_at"]
    assert city["started_at"].endswith("Z")
    assert city["latency_s"] > 0
    (image,) = city["images"]
    with Image.open(out / image["file"]) as picture:
        assert picture.size == (image["width"], image["height"])
    assert image["media_type"] == "image/png"
    rows = [json.loads(row) for row in (out / "metadata.jsonl").read_text().splitlines()]
    assert {next(iter(row)) for row in rows} == {"file_name"}
    assert {row["file_name"] for row in rows} == {line["images"][0]["file"] for line in lines}


def test_editing_one_prompt_asks_for_one_image(desk: Desk, provider: Serving) -> None:
    prompts = [f"a house with {n} rooms" for n in range(20)]
    with provider(QUICK) as there:
        desk.job(prompts, base_url=there.base_url)
        desk.run("run", "job.yaml")
        prompts[7] = "a house with a view"
        desk.job(prompts, base_url=there.base_url)
        edited = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 21
        assert set(there.bill()["prompts"].values()) == {1}
    assert edited.summary["made"] == edited.summary["wanted"] == 20
    assert edited.summary["made_now"] == 1
    status = desk.run("status", "out", "--json")
    assert json.loads(status.out)["made"] == 20
    assert json.loads(status.out)["unwanted"] == 1
    assert len(desk.lines) == 21
    check_whole(desk.out)


def test_a_prompt_edited_and_edited_back_is_made_again_where_its_file_made_way(
    desk: Desk, provider: Serving
) -> None:
    path = "output: {dir: out, path: 'images/{{index}}-{{sample}}.{{ext}}'}\n"
    with provider(QUICK) as there:
        desk.provider(there.base_url)
        for n_requests, prompt in enumerate(["one", "two", "one", "one"], start=1):
            desk.write("job.yaml", f"provider: ./there.yaml\nprompts: [{prompt}]\n{path}")
            plan = desk.run("plan", "job.yaml", "--json").objects[-1]
            assert plan["new"] == (n_requests < 4)
            ended = desk.run("run", "job.yaml", "--json")
            assert (ended.code, ended.summary["made"]) == (0, 1)
            assert there.bill()["requests"] == min(n_requests, 3)
            status = json.loads(desk.run("status", "out", "--json").out)
            assert (status["made"], status["owed"], status["failed"]) == (1, 0, 0)
            last = desk.lines[-1]
            assert last["prompt"] == prompt
            (row,) = (desk.out / "metadata.jsonl").read_text().splitlines()
            assert json.loads(row)["prompt"] == prompt
            content = (desk.out / "images/0-0.png").read_bytes()
            assert sha256(content).hexdigest() == last["images"][0]["sha256"]


def test_a_reply_of_two_images_takes_no_name_from_another_task(
    desk: Desk, provider: Serving
) -> None:
    rows = "[{id: a, prompt: one}, {id: a-1, prompt: two}]"
    with provider(replace(QUICK, images_per_reply=2)) as there:
        desk.provider(there.base_url)
        path = "output: {dir: out, path: 'images/{{row}}.{{ext}}'}\n"
        desk.write("job.yaml", f"provider: ./there.yaml\nprompts: {rows}\n{path}")
        assert desk.run("run", "job.yaml").code == 0
        assert desk.run("run", "job.yaml", "--json").summary["made"] == 2
        assert there.bill()["requests"] == 2
    assert sum(len(line["images"]) for line in desk.lines) == 4
    check_whole(desk.out)


@pytest.mark.parametrize(
    "path",
    [
        "images/{{prompt:05}}-{{id}}",
        "{{id:05}}",
        "{{n:05}}-{{id}}",
        "manifest.jsonl/{{id}}",
        "Job.yaml/{{id}}",
        ".STATE/{{id}}",
        "{{long}}{{long}}{{rest}}-{{id}}",
    ],
)
def test_a_path_that_can_name_no_image_is_found_before_anything_is_sent(
    desk: Desk, provider: Serving, path: str
) -> None:
    row = {"prompt": "one", "n": "many", "long": "x" * 100, "rest": "x" * 30}
    with provider(QUICK) as there:
        desk.provider(there.base_url)
        output = json.dumps({"dir": "out", "path": path})
        prompts = json.dumps([row])
        desk.write("job.yaml", f"provider: ./there.yaml\nprompts: {prompts}\noutput: {output}\n")
        for command in ("plan", "run"):
            ended = desk.run(command, "job.yaml")
            assert ended.code == 65
            assert "output.path" in ended.err
        assert there.bill()["requests"] == 0
    assert not desk.out.exists()


def test_run_tries_failures_of_chance_again_and_leaves_refusals_to_rerun(
    desk: Desk, provider: Serving
) -> None:
    """The key, the job and its prompts are no longer needed: the folder holds what was sent."""
    rules = (
        FaultRule(fault="refused", prompt="forbidden"),
        FaultRule(fault="server_error", prompt="unlucky", attempt=1),
    )
    with provider(Simulation(latency_s=0, image_size="64x64", rules=rules)) as there:
        prompts = ["fine", "unlucky 1", "unlucky 2", "forbidden 3", "forbidden 4"]
        rows = [{"prompt": text, "id": f"row-{n}", "of": [n]} for n, text in enumerate(prompts)]
        desk.write("prompts.jsonl", "\n".join(map(json.dumps, rows)))
        desk.job("{file: prompts.jsonl}", base_url=there.base_url, more="retry: {attempts: 1}\n")
        first = desk.run("run", "job.yaml", "--json")
        assert first.code == 3
        assert first.summary["failed_by_why"] == {"refused": 2, "server_error": 2}
        second = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 7
        assert second.code == 3
        assert "failed 2: refused 2" in second.out
        assert second.out.splitlines()[-1] == "next: imagebatch rerun out --why refused"
        (desk.folder / "prompts.jsonl").unlink()
        (desk.folder / "job.yaml").unlink()
        refused = desk.run("rerun", "out", "--why", "refused", "--json")
        assert refused.code == 3
        assert refused.summary["requests"] == 2
        assert there.bill()["requests"] == 9
        row = desk.run("rerun", "out", "--id", "row-4", "--json")
        assert row.summary["requests"] == 1
        task = next(line["id"] for line in desk.lines if line["prompt"] == "forbidden 3")
        both = desk.run("rerun", "out", "--id", f"row-4,{task}", "--json")
        assert both.summary["requests"] == 2
        none = desk.run("rerun", "out", "--why", "lost", "--json")
        assert (none.code, none.summary["requests"]) == (3, 0)
        for words in (("--why", "sulking"), ("--id", "row-9"), ("--id", "row-4,nobody")):
            unknown = desk.run("rerun", "out", *words)
            assert unknown.code == 2
            assert words[0] in unknown.err
        assert there.bill()["requests"] == 12
    line = newest(desk.out)[task]
    assert line["meta"] == {"id": "row-3", "of": [3]}
    assert line["detail"]
    check_whole(desk.out)


def test_rerun_of_everything_that_failed_makes_the_folder_whole(
    desk: Desk, provider: Serving
) -> None:
    rules = (FaultRule(fault="refused", prompt="odd", attempt=1),)
    with provider(Simulation(latency_s=0, image_size="64x64", rules=rules)) as there:
        desk.job(["even", "odd one", "odd two"], base_url=there.base_url)
        assert (desk.run("run", "job.yaml")).code == 3
        again = desk.run("rerun", "out")
        assert again.code == 0
        assert "made 3 of 3" in again.out
        assert there.bill()["requests"] == 5
        assert (desk.run("run", "job.yaml")).code == 0
        assert there.bill()["requests"] == 5
    check_whole(desk.out)


def test_streamed_and_plain_give_the_same_bytes(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["a red fox", "a city"], base_url=there.base_url)
        desk.run("run", "job.yaml", "--out", "plain")
        desk.run("run", "job.yaml", "--out", "streamed", "--set", "params.stream=true")
        desk.provider(there.base_url, "stream: true\n")
        desk.run("run", "job.yaml", "--out", "by-profile")
        assert there.bill()["requests"] == 6
    images = [
        {p.name: p.read_bytes() for p in (desk.folder / out / "images/000").iterdir()}
        for out in ("plain", "streamed", "by-profile")
    ]
    assert len(images[0]) == 2
    assert images[0] == images[1] == images[2]


def test_limit_makes_the_first_tasks_and_is_content_with_them(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        desk.job(["a", "b", "c"], base_url=there.base_url)
        two = desk.run("run", "job.yaml", "--limit", "2")
        assert two.code == 0
        assert "made 2 of 2" in two.out
        assert there.bill()["requests"] == 2
        all_of_them = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 3
    assert all_of_them.summary["made"] == 3


def test_settings_come_from_flags_before_the_environment_before_the_job(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        desk.job(["a"])
        desk.provider(there.base_url)
        desk.environ(IMAGEBATCH_OUT="by env", IMAGEBATCH_PROVIDER="there.yaml")
        assert (desk.run("run", "job.yaml")).code == 0
        assert there.bill()["requests"] == 1
        words = ("--out", "by flag", "--set", "samples=2", "--set", "model=another")
        flagged = desk.run("run", "job.yaml", *words)
        assert there.bill()["requests"] == 3
    assert flagged.out.splitlines()[-1] == "next: imagebatch status 'by flag'"
    assert (desk.folder / "by env/manifest.jsonl").is_file()
    assert {line["model"] for line in newest(desk.folder / "by flag").values()} == {"another"}
    assert not (desk.out).exists()


def test_a_simulated_run_never_passes_for_a_real_one(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["a"], base_url=there.base_url)
        desk.write("sunsets.yaml", "prompts: [a]\nmodel: simulator/painter\n")
        assert (desk.run("run", "sunsets.yaml", "--provider", "there.yaml")).code == 0
        assert (desk.run("run", "sunsets.yaml")).code == 0
    real = newest(desk.folder / "outputs/sunsets")
    simulated = newest(desk.folder / "outputs/sunsets-simulator")
    assert len(real) == len(simulated) == 1
    assert not real.keys() & simulated.keys()
