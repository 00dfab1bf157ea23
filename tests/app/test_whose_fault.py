"""Through the real command: what stops a run, what stops one model of it, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

TWO_MODELS = "matrix: {model: [gone/one, there/two]}\nlimits: {concurrency: 1}\n"


def without_a_model(fault: str) -> Simulation:
    """The first request meets it: the axis begins with the model that is not to be had."""
    return Simulation(latency_s=0, image_size="64x64", rules=(FaultRule(fault=fault, request=1),))


@pytest.mark.parametrize(("fault", "why"), [("no_model", "model"), ("forbidden_model", "auth")])
def test_a_job_of_several_models_goes_on_without_one(
    desk: Desk, provider: Serving, fault: str, why: str
) -> None:
    with provider(without_a_model(fault)) as server:
        desk.job(["one", "two"], base_url=server.base_url, more=TWO_MODELS)
        ended = desk.run("run", "job.yaml", "--json")
        assert ended.code == 3
        assert (ended.summary["made"], ended.summary["failed_by_why"]) == (2, {why: 2})
        (told,) = [one for one in ended.objects if one["event"] == "left_out"]
        assert told["model"] == "gone/one"
        assert server.bill()["requests"] == 3
        again = desk.run("run", "job.yaml")
        assert (again.code, server.bill()["requests"]) == (0, 5)


def test_who_watches_is_told_which_model_is_left_out_and_what_to_do(
    desk: Desk, provider: Serving
) -> None:
    with provider(without_a_model("no_model")) as server:
        desk.job(["one", "two"], base_url=server.base_url, more=TWO_MODELS)
        ended = desk.run("run", "job.yaml")
    assert "the run goes on without gone/one" in ended.err
    assert "imagebatch models" in ended.err


def test_a_rerun_of_several_models_goes_on_without_one_too(desk: Desk, provider: Serving) -> None:
    broken = Simulation(latency_s=0, image_size="64x64", faults={"bad_request": 1.0})
    with provider(broken) as server:
        desk.job(["one", "two"], base_url=server.base_url, more=TWO_MODELS)
        assert desk.run("run", "job.yaml").code == 3
    with provider(without_a_model("no_model")) as server:
        desk.provider(server.base_url)
        ended = desk.run("rerun", "out", "--provider", "./there.yaml", "--json")
    assert ended.code == 3
    assert (ended.summary["made"], ended.summary["failed_by_why"]) == (2, {"model": 2})


def test_a_daily_quota_stops_with_the_time_of_its_reset(desk: Desk, provider: Serving) -> None:
    quota = Simulation(latency_s=0, faults={"daily_quota": 1.0})
    with provider(quota) as server:
        desk.job(["one", "two"], base_url=server.base_url)
        ended = desk.run("run", "job.yaml")
    assert ended.code == 4
    assert "00:00 UTC" in ended.err
