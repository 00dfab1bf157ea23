"""Several providers, or several keys: the least busy serves, the others when one is gone."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from commands import check_whole

from pipeline.core.simulation import FaultRule, Simulation
from pipeline.job.limits import overall
from pipeline.job.load import freeze, load_job

if TYPE_CHECKING:
    from commands import Desk, Serving

    from pipeline.provider.simulator.server import Listening

QUICK = {"latency_s": 0.01, "latency_p99_s": 0.02, "image_size": "64x64"}
PROMPTS = [f"p{n}" for n in range(60)]


def serving(stack: ExitStack, provider: Serving, **settings: Any) -> Listening:
    return stack.enter_context(provider(Simulation(**{**QUICK, **settings})))


def pool_job(desk: Desk, servers: dict[str, Listening], more: str = "") -> None:
    for name, server in servers.items():
        desk.write(f"{name}.yaml", f"base_url: {server.base_url}\nmodel: simulator/painter\n")
    named = ", ".join(f"./{name}.yaml" for name in servers)
    desk.write(
        "job.yaml",
        f"provider: [{named}]\nprompts: {json.dumps(PROMPTS)}\noutput: {{dir: out}}\n{more}",
    )


def served_by(desk: Desk) -> Counter[str]:
    return Counter(line["provider"] for line in desk.lines if line["status"] == "made")


def test_all_serve_and_the_manifest_says_who_did(desk: Desk, provider: Serving) -> None:
    with ExitStack() as stack:
        servers = {name: serving(stack, provider) for name in ("a", "b", "c")}
        pool_job(desk, servers, "limits: {concurrency: 6}\n")
        plan = desk.run("plan", "job.yaml")
        assert "a, b, c" in plan.out
        told = desk.run("run", "job.yaml", "--json")
        assert (told.code, told.summary["made"]) == (0, 60)
        assert served_by(desk) == {name: one.bill()["billed"] for name, one in servers.items()}
        assert min(served_by(desk).values()) >= 10
        assert desk.run("run", "job.yaml").code == 0
        assert sum(one.bill()["requests"] for one in servers.values()) == 60
    check_whole(desk.out)


def test_the_plan_names_the_limits_of_each_and_of_all(desk: Desk) -> None:
    for name, limits in (("a", "{concurrency: 8, requests_per_minute: 30}"), ("b", "{}")):
        desk.write(f"{name}.yaml", f"base_url: http://127.0.0.1:9\nmodel: m\nlimits: {limits}\n")
    desk.write(
        "job.yaml", "provider: [./a.yaml, {profile: ./b.yaml, weight: 2}]\nprompts: [cat, dog]\n"
    )
    plan = desk.run("plan", "job.yaml", "--json").summary
    assert [(one["provider"], one["concurrency"], one["weight"]) for one in plan["lanes"]] == [
        ("a", 8, 1.0),
        ("b", 64, 2.0),
    ]
    assert (plan["concurrency"], plan["at_the_limits_s"]) == (72, None)
    told = desk.run("plan", "job.yaml", "--set", "limits.requests_per_minute=6").out
    assert "2 requests, 72 at once, 6 requests a minute: at least 20.0 s\n" in told
    assert "  a: 8 at once, 30 requests a minute\n  b: 64 at once, weight 2\n" in told


def test_one_whose_key_is_revoked_in_the_middle_leaves_its_work_to_the_others(
    desk: Desk, provider: Serving
) -> None:
    revoked = (FaultRule(fault="unauthorized", prompt="p2"),)
    with ExitStack() as stack:
        servers = {
            "a": serving(stack, provider),
            "b": serving(stack, provider, rules=revoked),
            "c": serving(stack, provider),
        }
        pool_job(desk, servers, "limits: {concurrency: 6}\n")
        told = desk.run("run", "job.yaml", "--json")
        assert (told.code, told.summary["made"], told.summary["failed"]) == (0, 60, 0)
        (gone,) = [one for one in told.objects if one["event"] == "provider_left_out"]
        assert gone["provider"] == "b"
        bill = servers["b"].bill()  # it costs no more than was out when the first came back
        assert bill["by_status"]["401"] <= bill["in_flight_peak"] <= 6
        assert desk.run("status", "out", "--json").objects[0]["maybe_billed"] == 0
    check_whole(desk.out)


def test_when_the_last_one_is_gone_the_run_stops_as_with_one(desk: Desk, provider: Serving) -> None:
    with ExitStack() as stack:
        empty = (FaultRule(fault="no_credit"),)
        servers = {name: serving(stack, provider, rules=empty) for name in ("a", "b")}
        pool_job(desk, servers, "limits: {concurrency: 4}\n")
        told = desk.run("run", "job.yaml", "--json")
        assert (told.code, told.summary["owed"]) == (77, 60)
        assert sum(one.bill()["requests"] for one in servers.values()) <= 2 * 4


def test_a_slow_one_gets_less_and_a_heavy_one_more(desk: Desk, provider: Serving) -> None:
    with ExitStack() as stack:
        quick = serving(stack, provider)
        slow = serving(stack, provider, latency_s=0.2, latency_p99_s=0.3)
        pool_job(desk, {"quick": quick, "slow": slow}, "limits: {concurrency: 4}\n")
        assert desk.run("run", "job.yaml").code == 0
        assert served_by(desk)["quick"] > 2 * served_by(desk)["slow"]


def test_each_key_of_a_profile_is_a_provider_of_its_own(desk: Desk, provider: Serving) -> None:
    with ExitStack() as stack:
        there = serving(stack, provider)
        desk.write(
            "keyed.yaml",
            f"base_url: {there.base_url}\nmodel: m\napi_key_env: [KEY_A, KEY_B]\n"
            "limits: {concurrency: 2}\n",
        )
        desk.write("job.yaml", "provider: ./keyed.yaml\nprompts: [a, b, c, d, e, f]\n")
        missing = desk.run("run", "job.yaml")
        assert missing.code == 77
        desk.environ(KEY_A="sk-test-pool-a")
        missing = desk.run("run", "job.yaml")
        assert (missing.code, "KEY_B" in missing.err) == (77, True)
        desk.environ(KEY_B="sk-test-pool-b")
        assert desk.run("run", "job.yaml", "--out", "out").code == 0
        assert set(served_by(desk)) == {"keyed:KEY_A", "keyed:KEY_B"}
        assert there.bill()["in_flight_peak"] <= 4


def test_a_pool_survives_freezing(desk: Desk, provider: Serving) -> None:
    desk.write("a.yaml", "base_url: http://127.0.0.1:9/v1\nmodel: m\nparams: {top_k: 1}\n")
    desk.write("b.yaml", "base_url: http://127.0.0.1:9/v1\nstream: true\n")
    desk.write(
        "job.yaml",
        "provider: [./a.yaml, {profile: ./b.yaml, weight: 2}]\nprompts: [a]\n"
        "params: {temperature: 1}\n",
    )
    job = load_job("job.yaml")
    assert [chosen.name for chosen in job.pool] == ["a", "b"]
    assert [chosen.weight for chosen in job.pool] == [1, 2]
    assert [chosen.profile.stream for chosen in job.pool] == [False, True]
    assert dict(job.params) == {"temperature": 1}
    desk.write("frozen/job.yaml", freeze(job))
    again = load_job("frozen/job.yaml")
    assert again.pool == job.pool
    assert overall(again).concurrency == overall(job).concurrency == 128


@pytest.mark.parametrize(
    ("provider", "code", "what"),
    [
        ("[]", 65, "must not be empty"),
        ("[knox, knocks]", 78, "unknown provider `knocks`"),
        ("[simulator, knox]", 78, "a simulated image never passes for a real one"),
        ("[knox, 3]", 78, "must be a name"),
        ("[{profile: knox, weight: 0}]", 78, "greater than 0"),
        ("[{base_url: 'http://elsewhere.example'}]", 78, "plain http"),
        ("[[knox]]", 78, "must be a name"),
    ],
)
def test_a_mistake_in_a_pool_is_told_at_its_place(
    desk: Desk, provider: str, code: int, what: str
) -> None:
    desk.write("job.yaml", f"prompts: [a]\nprovider: {provider}\n")
    told = desk.run("run", "job.yaml")
    assert (told.code, "job.yaml:2" in told.err) == (code, True), told.err
    assert what in told.err


def test_a_budget_reserves_the_price_of_the_dearest_of_a_pool(
    desk: Desk, provider: Serving
) -> None:
    with ExitStack() as stack:
        cheap = serving(stack, provider, cost_usd=0.01)
        dear = serving(stack, provider, cost_usd=0.03)
        pool_job(desk, {"cheap": cheap, "dear": dear}, "budget: {usd: 0.2}\n")
        told = desk.run("run", "job.yaml", "--json")
        assert told.code == 4
        spent = cheap.bill()["cost_usd"] + dear.bill()["cost_usd"]
        assert 0.17 < spent <= 0.2 + 1e-9
        desk.write("dear.yaml", "base_url: http://127.0.0.1:9/v1\nmodel: unheard/of\n")
        unknown = desk.run("run", "job.yaml", "--out", "new", "--set", "model=unheard/of")
        assert (unknown.code, "unheard/of" in unknown.out + unknown.err) == (78, True)
