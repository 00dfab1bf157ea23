"""The same from Python: in a script, in a running loop, and outcome by outcome."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import check_whole, lines_of

from pipeline import Failed, Made, load_job, run, stream
from pipeline.core.simulation import FaultRule, Simulation
from pipeline.errors import BadJob, BadOutput, NotAllowed

if TYPE_CHECKING:
    from commands import Desk, Serving

REFUSING = Simulation(
    latency_s=0.05, image_size="64x64", rules=(FaultRule(fault="refused", prompt="no"),)
)


def test_a_script_gets_a_report(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "no"], base_url=there.base_url)
        report = run(load_job("job.yaml"))
        assert (report.made, report.failed, report.owed, report.exit_code) == (1, 1, 0, 3)
        assert report.stop is None
        assert report.output.resolve() == desk.out.resolve()
        assert run(load_job(Path("job.yaml"))).made == 1
        assert there.bill()["requests"] == 2
    check_whole(desk.out)


async def test_a_notebook_gets_one_too(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        assert run(load_job("job.yaml")).made == 2


async def test_outcomes_come_one_by_one_with_their_files(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["a", "b", "no"], base_url=there.base_url)
        outcomes = [outcome async for outcome in stream(load_job("job.yaml"))]
        assert [outcome async for outcome in stream(load_job("job.yaml"))] == []
        assert there.bill()["requests"] == 3
    made = [outcome for outcome in outcomes if isinstance(outcome, Made)]
    (failed,) = (outcome for outcome in outcomes if isinstance(outcome, Failed))
    assert {outcome.task.prompt for outcome in made} == {"a", "b"}
    assert all((desk.out / str(outcome.images[0].file)).is_file() for outcome in made)
    assert (failed.task.prompt, str(failed.why)) == ("no", "refused")


async def test_leaving_early_stops_and_lands_what_is_in_flight(
    desk: Desk, provider: Serving
) -> None:
    with provider(REFUSING) as there:
        more = "limits: {concurrency: 3}\n"
        desk.job([f"p{n}" for n in range(30)], base_url=there.base_url, more=more)
        outcomes = stream(load_job("job.yaml"))
        async for _ in outcomes:
            break
        await outcomes.aclose()
        sent = there.bill()["requests"]
        assert sent <= 9
        assert len(lines_of(desk.out)) == sent
        assert not (desk.out / ".state/lock").read_bytes()
        await asyncio.to_thread(run, load_job("job.yaml"))
        assert there.bill()["requests"] == 30
    check_whole(desk.out)


async def test_cancelling_the_reader_stops_the_run_too(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        more = "limits: {concurrency: 3}\n"
        desk.job([f"p{n}" for n in range(30)], base_url=there.base_url, more=more)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                async for _ in stream(load_job("job.yaml")):
                    pass
        sent = there.bill()["requests"]
        await asyncio.sleep(0.2)
        assert there.bill()["requests"] == sent < 30
    assert len(lines_of(desk.out)) == sent


async def test_errors_are_raised_with_their_kind(desk: Desk, provider: Serving) -> None:
    desk.write("bad.yaml", "prompts: 7\n")
    with pytest.raises(BadJob, match=r"bad\.yaml:1"):
        load_job("bad.yaml")
    desk.job(["a"])
    desk.write("job.yaml", "prompts: [a]\noutput: {dir: job.yaml/x}\n")
    with pytest.raises(BadOutput):
        run(load_job("job.yaml"))
    with pytest.raises(BadOutput):
        _ = [outcome async for outcome in stream(load_job("job.yaml"))]
    with provider(Simulation(rules=(FaultRule(fault="unauthorized"),))) as there:
        desk.job(["a"], base_url=there.base_url)
        with pytest.raises(NotAllowed, match="key"):
            _ = [outcome async for outcome in stream(load_job("job.yaml"))]
        report = await asyncio.to_thread(run, load_job("job.yaml"))
        assert isinstance(report.stop, NotAllowed)
        assert report.exit_code == 77
