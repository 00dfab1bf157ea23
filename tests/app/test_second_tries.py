"""A second try after a lost reply, by the provider's bill: once with a header, more without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from commands import next_event

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

N = 80
KEYED = "Idempotency-Key"
CACHE = "X-OpenRouter-Cache"
QUICK = "retry: {attempts: 5, max_wait: 0.05, lost: 3}\n"


def playing(header: str | None, **settings: Any) -> Simulation:
    plan: dict[str, Any] = {"latency_s": 0.05, "latency_p99_s": 0.1, "image_size": "32x32"}
    return Simulation(**{**plan, "idempotency_header": header, "cost_usd": 0.04, **settings})


def named(header: str | None) -> str:
    return f"idempotency_header: {header}\n" if header else ""


@pytest.mark.parametrize("header", [KEYED, CACHE, None])
def test_cut_replies_and_a_kill_charge_no_image_twice(
    desk: Desk, provider: Serving, header: str | None
) -> None:
    with provider(playing(header, faults={"cut": 0.05})) as there:
        prompts = [f"prompt {n}" for n in range(N)]
        desk.job(prompts, base_url=there.base_url, more=QUICK + "limits: {concurrency: 16}\n")
        desk.provider(there.base_url, named(header))
        with desk.started("run", "job.yaml", "--json") as process:
            for _ in range(N // 3):
                next_event(process, "made")
            process.kill()
            process.wait()
        told = desk.run("run", "job.yaml", "--json")
        bill = there.bill()
    assert (told.code, told.summary["made"], told.summary["owed"]) == (0, N, 0)
    assert len(bill["prompts"]) == N
    if header:
        assert set(bill["prompts"].values()) == {1}
        assert (bill["billed"], bill["cost_usd"]) == (N, pytest.approx(0.04 * N))
        assert bill["replayed"] >= 5
    else:
        assert bill["billed"] > N
        assert bill["replayed"] == 0


@pytest.mark.parametrize("header", [KEYED, CACHE])
def test_samples_of_one_prompt_are_images_of_their_own(
    desk: Desk, provider: Serving, header: str
) -> None:
    """Where two of them shared a key, the second would be a replay of the first."""
    with provider(playing(header, faults={"cut": 0.2})) as there:
        desk.job(["a fox"], base_url=there.base_url, more=f"{QUICK}samples: 40\n")
        desk.provider(there.base_url, named(header))
        assert desk.run("run", "job.yaml").code == 0
        bill = there.bill()
    assert (bill["billed"], len(desk.lines)) == (40, 40)
    assert bill["replayed"] == bill["by_fault"]["cut"] > 0
    assert bill["requests"] == 40 + bill["replayed"]


@pytest.mark.parametrize("header", [KEYED, CACHE])
def test_an_answer_without_image_is_asked_anew(desk: Desk, provider: Serving, header: str) -> None:
    """A replay of the words would bring words again."""
    words_first = (FaultRule(fault="text_only", request=1),)
    with provider(playing(header, rules=words_first)) as there:
        desk.job(["a"], base_url=there.base_url, more=QUICK)
        desk.provider(there.base_url, named(header))
        told = desk.run("run", "job.yaml", "--json")
        bill = there.bill()
    assert (told.code, told.summary["made"]) == (0, 1)
    assert (bill["requests"], bill["replayed"]) == (2, 0)
    assert desk.lines[0]["answers"] == 2


@pytest.mark.parametrize("header", [KEYED, CACHE])
def test_a_rerun_asks_anew_and_its_second_try_is_free(
    desk: Desk, provider: Serving, header: str
) -> None:
    rules = (FaultRule(fault="text_only", request=1), FaultRule(fault="cut", request=2))
    with provider(playing(header, rules=rules)) as there:
        desk.job(["a"], base_url=there.base_url, more="retry: {no_image: 1, max_wait: 0.05}\n")
        desk.provider(there.base_url, named(header))
        assert desk.run("run", "job.yaml").code == 3
        assert desk.run("rerun", "out").code == 0
        bill = there.bill()
    assert (bill["requests"], bill["replayed"]) == (3, 1)
    assert bill["billed"] == 2  # the words, and the image once


@pytest.mark.parametrize("header", [KEYED, CACHE])
def test_what_one_run_lost_for_good_the_next_is_given(
    desk: Desk, provider: Serving, header: str
) -> None:
    """The line says `lost`; the image was made and charged, and is still there to be had."""
    always_cut = playing(header, rules=(FaultRule(fault="cut", request=1),))
    with provider(always_cut) as there:
        desk.job(["a"], base_url=there.base_url, more="retry: {lost: 1}\n")
        desk.provider(there.base_url, named(header))
        assert desk.run("run", "job.yaml").code == 3
        assert desk.lines[0]["why"] == "lost"
        assert desk.run("run", "job.yaml").code == 0
        bill = there.bill()
    assert (bill["billed"], bill["replayed"]) == (1, 1)


def test_a_proxy_that_gave_up_is_no_answer(desk: Desk, provider: Serving) -> None:
    gave_up = (FaultRule(fault="gateway_timeout", attempt=1),)
    with provider(playing(KEYED, rules=gave_up)) as there:
        desk.job(["a", "b"], base_url=there.base_url, more=QUICK)
        desk.provider(there.base_url, named(KEYED))
        assert desk.run("run", "job.yaml").code == 0
        assert there.bill()["billed"] == 2


def test_an_image_that_was_deleted_is_given_again(desk: Desk, provider: Serving) -> None:
    with provider(playing(KEYED)) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        desk.provider(there.base_url, named(KEYED))
        assert desk.run("run", "job.yaml").code == 0
        (desk.out / desk.lines[0]["images"][0]["file"]).unlink()
        assert desk.run("verify", "out", "--repair").code == 0
        assert desk.run("run", "job.yaml").code == 0
        bill = there.bill()
    assert (bill["requests"], bill["billed"], bill["replayed"]) == (3, 2, 1)


LOSING = "timeouts: {idle: 0.3, total: 0.6}\nretry: {attempts: 5, max_wait: 0.01, lost: 3}\n"


@pytest.mark.parametrize(
    ("fault", "stream", "why"),
    [
        ("cut", "false", "lost"),
        ("cut", "true", "lost"),
        ("stall", "false", "lost"),
        ("hang", "false", "lost"),
        ("gateway_timeout", "false", "server_error"),
        ("keep-alives", "true", "lost"),
    ],
)
def test_what_may_be_billed_has_its_own_number_of_tries_and_is_counted_everywhere(
    desk: Desk, provider: Serving, fault: str, stream: str, why: str
) -> None:
    """Idle and total deadline, cuts, and a proxy that gave up waiting."""
    rules = () if fault == "keep-alives" else (FaultRule(fault=fault),)
    slow = {"latency_s": 30, "latency_p99_s": 31, "keep_alive_s": 0.05}
    settings: dict[str, Any] = {} if rules else slow
    with provider(playing(None, rules=rules, **settings)) as there:
        more = f"{LOSING}params: {{stream: {stream}}}\n"
        desk.job(["a"], base_url=there.base_url, more=more)
        told = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == 3
        text = desk.run("run", "job.yaml", "--set", "retry.lost=1")
        assert there.bill()["requests"] == 4
    assert (told.code, text.code) == (3, 3)
    assert told.summary["failed_by_why"] == {why: 1}
    assert told.summary["maybe_billed"] == told.summary["maybe_billed_in_all"] == 3
    assert "maybe billed 1 (4 over all runs)" in text.out
    assert [line["maybe_billed"] for line in desk.lines] == [3, 1]
    assert desk.run("status", "out", "--json").objects[0]["maybe_billed"] == 4
    assert "maybe billed 4" in desk.run("status", "out").out
