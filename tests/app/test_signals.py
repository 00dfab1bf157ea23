"""A run that is interrupted, ended or killed: nothing is lost, nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import check_whole, ended, lines_of, next_event, until

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

UNHURRIED = Simulation(latency_s=0.1, latency_p99_s=0.2, image_size="64x64")
HANGING = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="hang", prompt="slow"),)
)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_gone(pid: int, within_s: float = 3) -> bool:
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], within_s)[0])
    finally:
        os.close(watch)


def heeds_signals(pid: int) -> bool:
    """Whether the command has begun: Python itself does not catch SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if "SigCgt" in line).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def has_open(pid: int, name: str) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if str(link.readlink()).endswith(name):
                return True
    return False


def test_the_first_interrupt_drains_says_what_is_left_and_how_to_go_on(
    desk: Desk, provider: Serving
) -> None:
    with provider(UNHURRIED) as there:
        more = "limits: {concurrency: 4}\n"
        desk.job([f"p{n}" for n in range(40)], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            process.send_signal(signal.SIGINT)
            told = ended(process)
        sent = there.bill()["requests"]
        assert told.code == told.summary["exit_code"] == 130
        assert told.summary["made"] == sent == len(desk.lines)  # every reply in flight was kept
        assert told.summary["owed"] == 40 - sent > 0
        assert told.summary["next"] == "imagebatch run job.yaml"
        assert any(one["event"] == "draining" for one in told.objects)
        assert "stopping: interrupted" in told.err
        check_whole(desk.out)
        assert desk.run("run", "job.yaml").code == 0
        assert there.bill()["requests"] == 40
    check_whole(desk.out)


def test_a_second_interrupt_ends_it_at_once(desk: Desk, provider: Serving) -> None:
    with provider(HANGING) as there:
        desk.job(["quick", "slow 1", "slow 2"], base_url=there.base_url)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            process.send_signal(signal.SIGINT)
            assert next_event(process, "draining")["in_flight"] == 2
            process.send_signal(signal.SIGINT)
            told = ended(process, within_s=5)
    assert told.code == 130
    assert (told.summary["made"], told.summary["owed"]) == (1, 2)
    assert told.summary["maybe_billed"] == 2
    check_whole(desk.out)


@pytest.mark.parametrize(("number", "grace"), [(signal.SIGTERM, "term"), (signal.SIGINT, "int")])
def test_the_drain_is_as_long_as_the_job_says(
    desk: Desk, provider: Serving, number: signal.Signals, grace: str
) -> None:
    with provider(HANGING) as there:
        more = f"stop: {{grace_{grace}: 0.4}}\n"
        desk.job(["quick", "slow"], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            process.send_signal(number)
            assert next_event(process, "draining")["grace_s"] == 0.4
            told = ended(process, within_s=5)
    assert told.code == CODES[number]
    assert told.summary["owed"] == 1


def test_an_interrupt_during_a_long_retry_after_ends_at_once(desk: Desk, provider: Serving) -> None:
    resting = Simulation(latency_s=0, retry_after_s=600, rules=(FaultRule(fault="throttled"),))
    with provider(resting) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        with desk.started("run", "job.yaml", "--json") as process:
            assert next_event(process, "waiting")["wait_s"] == 600
            process.send_signal(signal.SIGINT)
            told = ended(process, within_s=5)
        assert there.bill()["requests"] <= 2
    assert told.code == 130
    assert told.summary["owed"] == 2
    assert "asks to wait 10 min" in told.err


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("after_s", [0.0, 0.4])
def test_a_signal_during_start_up_is_a_clean_end(
    desk: Desk, number: signal.Signals, after_s: float
) -> None:
    """Whatever the run is at: imports, reading, the folder, the simulator's start, requests."""
    desk.job([f"p{n}" for n in range(500)], more="limits: {concurrency: 2}\n")
    with desk.started("run", "job.yaml", "--json") as process:
        until(lambda: heeds_signals(process.pid))
        time.sleep(after_s)
        process.send_signal(number)
        told = ended(process, within_s=10)
    assert told.code == told.summary["exit_code"] == CODES[number]
    if desk.out.exists():
        assert not (desk.out / ".state/lock").read_bytes()
        check_whole(desk.out)


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_waiting_for_the_lock_is_a_clean_end(
    desk: Desk, provider: Serving, number: signal.Signals
) -> None:
    with provider(HANGING) as there:
        desk.job(["quick", "slow"], base_url=there.base_url, more="stop: {grace_term: 0.1}\n")
        with desk.started("run", "job.yaml", "--json") as first:
            next_event(first, "made")
            locked = desk.run("run", "job.yaml", "--json")
            assert locked.code == locked.summary["exit_code"] == 75
            assert f"pid {first.pid}" in locked.err
            with desk.started("run", "job.yaml", "--wait", "60") as second:
                until(lambda: has_open(second.pid, ".state/lock"))
                second.send_signal(number)
                assert ended(second, within_s=5).code == CODES[number]
            status = json.loads(desk.run("status", "out", "--json").out)
            assert (status["running"], status["running_pid"]) == (True, first.pid)
            first.terminate()
            assert ended(first, within_s=5).code == 143


def test_wait_waits_for_the_other_run_and_goes_on_from_there(desk: Desk, provider: Serving) -> None:
    with provider(UNHURRIED) as there:
        more = "limits: {concurrency: 2}\n"
        desk.job([f"p{n}" for n in range(12)], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as first:
            next_event(first, "made")
            second = desk.run("run", "job.yaml", "--wait", "30", "--json")
            assert ended(first).code == 0
        assert there.bill()["requests"] == 12
    assert second.err.count(f"waiting up to 30 s for another run (pid {first.pid} on ") == 1
    assert (second.code, second.summary["made"], second.summary["requests"]) == (0, 12, 0)


@pytest.mark.parametrize("how", ["end", "interrupt", "kill"])
def test_the_embedded_simulator_ends_with_its_run(desk: Desk, how: str) -> None:
    desk.job([f"p{n}" for n in range(8 if how == "end" else 500)])
    with desk.started("run", "job.yaml", "--json") as process:
        next_event(process, "made")
        (child,) = children_of(process.pid)
        if how != "end":
            process.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
        told = ended(process)
    assert told.code == {"end": 0, "interrupt": 130, "kill": -signal.SIGKILL}[how]
    assert has_gone(child)


@pytest.mark.parametrize("n_made", [1, 9, 23])
def test_a_killed_run_asks_for_nothing_again_that_was_acknowledged(
    desk: Desk, provider: Serving, n_made: int
) -> None:
    concurrency, n_tasks = 6, 40
    fast = Simulation(latency_s=0.03, latency_p99_s=0.1, image_size="64x64")
    with provider(fast) as there:
        more = f"limits: {{concurrency: {concurrency}}}\n"
        desk.job([f"p{n}" for n in range(n_tasks)], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as process:
            for _ in range(n_made):
                next_event(process, "made")
            process.kill()
            ended(process)
        kept = {line["prompt"] for line in lines_of(desk.out)}
        assert n_made <= len(kept) < n_tasks
        status = json.loads(desk.run("status", "out", "--json").out)
        assert (status["made"], status["stale"]) == (len(kept), True)
        again = desk.run("run", "job.yaml", "--json")
        summary = again.summary
        taken_over = n_tasks - len(kept) - summary["made_now"]
        assert 0 <= taken_over <= concurrency
        assert summary["requests"] == n_tasks - len(kept) - taken_over
        assert summary["maybe_billed_in_all"] <= concurrency
        assert ("taken over" in again.err) == bool(taken_over)
        assert there.bill()["requests"] <= n_tasks + concurrency
    assert (again.code, summary["made"]) == (0, n_tasks)
    assert len(desk.lines) == len({line["id"] for line in desk.lines}) == n_tasks
    check_whole(desk.out)
