"""The simulator as a process of its own: it is there for a run and never outlives it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from pipeline.core.simulation import FaultRule, Simulation
from pipeline.errors import Unreachable
from pipeline.provider.simulator import child
from pipeline.provider.simulator.child import running

ROOT = Path(__file__).parents[2]
PARENT = """
import asyncio
from pipeline.core.simulation import Simulation
from pipeline.provider.simulator import child

async def main():
    process = None
    start = child._start
    async def noted(*arguments):
        nonlocal process
        process = await start(*arguments)
        return process
    child._start = noted
    async with child.running(Simulation(latency_s=0)):
        print(process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def has_ended(pid: int, within_s: float) -> bool:
    """Whether the process ends in time, told by the kernel."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], within_s)[0])
    finally:
        os.close(watch)


async def n_models(base_url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/models") as response:
        return len((await response.json())["data"])


async def test_a_child_serves_as_long_as_the_context_lasts() -> None:
    plan = Simulation(rules=(FaultRule(fault="cut", request=9),), faults={"html": 0.1})
    async with running(plan) as base_url:
        assert base_url.startswith("http://127.0.0.1:")
        assert await n_models(base_url) > 3
    with pytest.raises(aiohttp.ClientConnectorError):
        await n_models(base_url)


async def test_a_child_ends_at_once_although_a_request_hangs() -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        async with running(Simulation(faults={"hang": 1.0})) as base_url:
            body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

            async def hanging() -> None:
                with pytest.raises(aiohttp.ClientError):
                    await session.post(f"{base_url}/chat/completions", json=body)

            group.create_task(hanging())
            await n_models(base_url)
            began = loop.time()
        assert loop.time() - began < child._LONGEST_END_S


async def test_settings_that_cannot_be_played_are_told_by_name() -> None:
    with pytest.raises(Unreachable, match="image_size"):
        async with running(Simulation(image_size="large")):
            pass


async def test_a_child_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unreachable, match="cannot be started"):
        async with running(Simulation()):
            pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_its_parent_is_killed(how: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not has_ended(pid, 0)
        parent.send_signal(how)
        parent.wait()
        assert has_ended(pid, 5)


def test_a_child_lets_ctrl_c_pass_and_ends_with_its_stdin() -> None:
    command = [sys.executable, "-m", "pipeline.provider.simulator"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("{}\n")
        process.stdin.flush()
        assert '"port"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert not has_ended(process.pid, 0.2)
        process.stdin.close()
        assert process.wait(5) == 0
