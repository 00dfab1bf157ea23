"""Every way a run can end has its exit code, says what to do, and spends nothing it need not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import check_whole

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

INSTANT = Simulation(latency_s=0, image_size="64x64")


def always(fault: str, **settings: Any) -> Simulation:
    rules = (FaultRule(fault=fault),)
    return Simulation(latency_s=0, image_size="64x64", rules=rules, **settings)


def test_wrong_words_are_2(desk: Desk) -> None:
    desk.job(["a"])
    for words in (
        (),
        ("fly",),
        ("run",),
        ("run", "job.yaml", "--bogus"),
        ("run", "job.yaml", "--limit", "0"),
        ("run", "job.yaml", "--set", "samples"),
        ("run", "job.yaml", "--max-runtime", "soon"),
        ("status", "nowhere"),
        ("status", "."),
        ("rerun", "nowhere"),
        ("rerun", "."),
    ):
        ended = desk.run(*words)
        assert ended.code == 2, words
        assert ended.err.startswith("imagebatch: ")
        assert not ended.out
    assert [p.name for p in desk.folder.iterdir()] == ["job.yaml"]


def test_a_bad_job_is_65_with_every_fault_at_its_place(desk: Desk) -> None:
    desk.write("job.yaml", "promts: [a]\nsamples: many\n")
    ended = desk.run("run", "job.yaml")
    assert ended.code == 65
    lines = ended.err.splitlines()
    assert any(line.startswith("job.yaml:1:1: promts: ") for line in lines)
    assert any(line.startswith("job.yaml:2:") for line in lines)
    assert "did you mean `prompts`" in ended.err
    assert [p.name for p in desk.folder.iterdir()] == ["job.yaml"]


def test_prompt_files_are_read_to_their_end_before_anything_is_sent(
    desk: Desk, provider: Serving
) -> None:
    with provider(INSTANT) as there:
        good = [json.dumps({"prompt": f"p{n}"}) for n in range(100)]
        desk.write("p.jsonl", "\n".join([*good, *(["{}"] * 30)]))
        desk.job("{file: p.jsonl}", base_url=there.base_url)
        ended = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 0
    assert ended.code == 65
    lines = ended.err.splitlines()
    assert lines[0].startswith("p.jsonl:101")
    assert len(lines) == 21
    assert "30" in lines[-1]
    assert not desk.out.exists()


@pytest.mark.parametrize("junk", [bytes(range(256)) * 9, b"\x00", b"", b"[1, 2", b"- a\n", b"!!x"])
def test_junk_for_a_job_is_65(desk: Desk, junk: bytes) -> None:
    (desk.folder / "job.yaml").write_bytes(junk)
    ended = desk.run("run", "job.yaml")
    assert ended.code == 65
    assert "job.yaml" in ended.err
    assert desk.run("plan", ".").code == desk.run("plan", "none.yaml").code == 65


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("unauthorized", 77, "key"),
        ("no_credit", 77, "credit"),
        ("forbidden_model", 77, "may not use this model"),
        ("no_model", 78, "cannot serve this model"),
        ("redirect", 78, "redirect"),
        ("daily_quota", 4, "daily quota"),
    ],
)
def test_an_answer_that_stops_the_run_is_never_retried(
    desk: Desk, provider: Serving, fault: str, code: int, says: str
) -> None:
    with provider(always(fault)) as there:
        more = "limits: {concurrency: 3}\n"
        desk.job([f"p{n}" for n in range(50)], base_url=there.base_url, more=more)
        ended = desk.run("run", "job.yaml")
        assert 1 <= there.bill()["requests"] <= 3
    assert ended.code == code
    assert says in ended.out
    assert "owed 50" in ended.out
    assert ended.out.splitlines()[-1] == "next: imagebatch run job.yaml"
    assert not desk.lines


def test_a_firewalls_page_is_tried_once_more_and_is_69(desk: Desk, provider: Serving) -> None:
    with provider(always("firewall")) as there:
        more = "limits: {concurrency: 1}\nretry: {max_wait: 0.01}\n"
        desk.job(["a", "b", "c"], base_url=there.base_url, more=more)
        ended = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] <= 4
    assert ended.code == 69
    assert ended.summary["owed"] == 3
    assert "firewall" in ended.summary["reason"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/v1", "https://no-such-host.invalid/v1"])
def test_a_provider_that_cannot_be_reached_is_69_and_settles_nothing(desk: Desk, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    desk.job(["a", "b"], base_url=url.format(port=port))
    ended = desk.run("run", "job.yaml", "--json")
    assert ended.code == 69
    assert ended.summary["owed"] == 2
    assert "cannot be reached" in ended.summary["reason"]
    assert not desk.lines


def test_tls_that_fails_at_the_first_call_is_69(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url.replace("http:", "https:"))
        ended = desk.run("run", "job.yaml")
    assert ended.code == 69
    assert not desk.lines


def test_the_breaker_stops_after_failures_in_a_row(desk: Desk, provider: Serving) -> None:
    with provider(always("server_error")) as there:
        more = "limits: {concurrency: 2}\nretry: {attempts: 1}\nstop: {failures_in_a_row: 5}\n"
        desk.job([f"p{n}" for n in range(40)], base_url=there.base_url, more=more)
        ended = desk.run("run", "job.yaml", "--json")
        assert 5 <= there.bill()["requests"] <= 7
    assert ended.code == 4
    assert 5 <= ended.summary["failed"] <= 6
    assert ended.summary["failed"] + ended.summary["owed"] == 40
    assert "5 tasks in a row" in ended.summary["reason"]


def test_refusals_do_not_trip_the_breaker(desk: Desk, provider: Serving) -> None:
    with provider(always("refused")) as there:
        more = "stop: {failures_in_a_row: 5}\n"
        desk.job([f"p{n}" for n in range(12)], base_url=there.base_url, more=more)
        ended = desk.run("run", "job.yaml", "--json")
    assert ended.code == 3
    assert ended.summary["failed_by_why"] == {"refused": 12}


def test_a_wait_beyond_a_quarter_of_an_hour_stops_at_once_and_says_until_when(
    desk: Desk, provider: Serving
) -> None:
    with provider(always("throttled", retry_after_s=3600)) as there:
        desk.job(["a", "b", "c"], base_url=there.base_url, more="limits: {concurrency: 2}\n")
        ended = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] <= 2
    assert ended.code == 4
    assert ended.summary["owed"] == 3
    assert ended.summary["elapsed_s"] < 5
    assert "until 20" in ended.summary["reason"]


def test_max_runtime_stops_and_the_next_run_goes_on(desk: Desk, provider: Serving) -> None:
    slow = Simulation(latency_s=0.15, latency_p99_s=0.2, image_size="64x64")
    with provider(slow) as there:
        prompts = [f"p{n}" for n in range(30)]
        desk.job(prompts, base_url=there.base_url, more="limits: {concurrency: 2}\n")
        ended = desk.run("run", "job.yaml", "--max-runtime", "0.5s", "--json")
        assert ended.code == 4
        assert 0 < ended.summary["made"] < 30
        assert ended.summary["next"] == "imagebatch run job.yaml"
        assert desk.run("run", "job.yaml", "--set", "limits.concurrency=30").code == 0
        assert there.bill()["requests"] == 30
    check_whole(desk.out)


@pytest.mark.parametrize("out", ["job.yaml/below", "/proc/nowhere"])
def test_an_output_that_cannot_be_written_is_73_before_any_request(
    desk: Desk, provider: Serving, out: str
) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        ended = desk.run("run", "job.yaml", "--out", out)
        assert ended.code == 73
        assert there.bill()["requests"] == 0
    assert "--out" in ended.err


def test_the_folder_of_another_job_is_73_unless_adopted(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        desk.run("run", "job.yaml")
        desk.job(["b"], base_url=there.base_url, more="name: another\n")
        ended = desk.run("run", "job.yaml")
        assert ended.code == 73
        assert "--adopt" in ended.err
        desk.write("mine/thesis.tex", "years of work")
        assert desk.run("run", "job.yaml", "--out", "mine").code == 73
        assert there.bill()["requests"] == 1
        assert desk.run("run", "job.yaml", "--adopt").code == 0
        assert desk.run("run", "job.yaml", "--out", "mine", "--adopt").code == 0
    assert (desk.folder / "mine/thesis.tex").read_text() == "years of work"
    assert len(desk.lines) == 2


def test_a_damaged_manifest_is_74_and_names_the_way_out(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        desk.job(["a", "b", "c"], base_url=there.base_url)
        desk.run("run", "job.yaml")
        manifest = desk.out / "manifest.jsonl"
        lines = manifest.read_bytes().splitlines(keepends=True)
        manifest.write_bytes(lines[0] + b"{half a li\n" + lines[2])
        ended = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 3
    assert ended.code == 74
    assert "verify --repair" in ended.err


FULL = """
import resource, sys
from pipeline.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_takes_no_more_is_74_and_what_was_made_stays(
    desk: Desk, provider: Serving
) -> None:
    """Pictures of 64 kB and a file size limit of 20 kB stand in for a full disk."""
    big = Simulation(latency_s=0, images="prebuilt", prebuilt_bytes=64_000)
    with provider(INSTANT) as small, provider(big) as there:
        desk.job(["a", "b"], base_url=small.base_url)
        desk.run("run", "job.yaml")
        desk.job(["a", "b", "c", "d", "e"], base_url=there.base_url)
        ended = subprocess.run(
            [sys.executable, "-B", "-c", FULL, "run", "job.yaml", "--json"],
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert there.bill()["requests"] <= 3
        assert ended.returncode == 74, ended.stderr
        assert "Traceback" not in ended.stderr
        told = json.loads(ended.stdout.splitlines()[-1])
        assert (told["event"], told["made"], told["owed"]) == ("summary", 2, 3)
        assert desk.run("run", "job.yaml").code == 0
    check_whole(desk.out)


def test_checks_come_in_order_input_lock_output_then_the_first_request(
    desk: Desk, provider: Serving
) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        desk.write("bad.yaml", "prompts: []\noutput: {dir: job.yaml/x}\n")
        assert desk.run("run", "bad.yaml").code == 65
        desk.provider("https://there.invalid/v1", "api_key_env: IMAGEBATCH_TEST_KEY\n")
        assert desk.run("run", "bad.yaml", "--provider", "there.yaml").code == 65
        assert desk.run("run", "job.yaml", "--out", "job.yaml/x").code in {73, 77}
        assert there.bill()["requests"] == 0


def test_failures_before_the_run_are_told_to_programs_too(desk: Desk) -> None:
    desk.job(["a"], base_url="https://there.invalid/v1")
    desk.provider("https://there.invalid/v1", "api_key_env: IMAGEBATCH_TEST_KEY\n")
    for code, words in {
        2: ("rerun", "nowhere"),
        65: ("run", "nowhere.yaml"),
        73: ("run", "job.yaml", "--provider", "simulator", "--out", "job.yaml/x"),
        77: ("run", "job.yaml"),
        78: ("run", "job.yaml", "--provider", "nobody"),
    }.items():
        ended = desk.run(*words, "--json")
        assert ended.code == code
        assert len(ended.objects) == 1
        assert ended.summary["reason"] in ended.err
    wrong = desk.run("run", "--json")
    assert (wrong.code, wrong.summary["exit_code"]) == (2, 2)
