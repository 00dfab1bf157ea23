"""The main job at its real size: 1,632 prompts, a provider that is unwell, a kill on the way."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import check_whole, ended, next_event

from pipeline.core.simulation import Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

N = 1632
UNWELL = Simulation(
    latency_s=0.2,
    latency_p99_s=0.8,
    image_size="128x128",
    requests_per_minute=3000,
    faults={"server_error": 0.02, "text_only": 0.02, "cut": 0.01},
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_all_are_made_none_twice_whatever_is_killed_on_the_way(
    desk: Desk, provider: Serving
) -> None:
    chance = random.Random(7)
    with provider(UNWELL) as there:
        rows = (json.dumps({"prompt": f"view {n} of the mountain", "n": n}) for n in range(N))
        desk.write("p.jsonl", "\n".join(rows))
        desk.job("{file: p.jsonl}", base_url=there.base_url)
        lost = 0
        for _ in range(4):
            with desk.started("run", "job.yaml", "--json") as process:
                for _ in range(chance.randrange(1, 400)):
                    next_event(process, "made")
                process.kill()
                ended(process)
            lost += 64
        whole = desk.run("run", "job.yaml", "--json")
        bill = there.bill()
        again = desk.run("run", "job.yaml", "--json")
        assert there.bill()["requests"] == bill["requests"]
    assert (whole.code, whole.summary["made"]) == (0, N)
    assert again.summary["requests"] == 0
    assert again.summary["elapsed_s"] < 2
    assert len(desk.lines) == len({line["id"] for line in desk.lines}) == N
    assert sum(bill["prompts"].values()) <= N + lost + bill["by_fault"]["cut"]
    check_whole(desk.out)


def test_memory_does_not_grow_with_the_job(desk: Desk) -> None:
    peaks = {}
    for n in (200, N):
        rows = (json.dumps({"prompt": f"view {n} of the sea", "n": n}) for n in range(n))
        desk.write(f"p{n}.jsonl", "\n".join(rows))
        desk.job(f"{{file: p{n}.jsonl}}")
        with desk.started("run", "job.yaml", "--json", "--out", f"out{n}") as process:
            peak = 0
            assert process.stdout
            for _ in process.stdout:
                peak = max(peak, peak_memory_kib(process.pid) or peak)
            assert ended(process).code == 0
        peaks[n] = peak
    assert peaks[N] < 150 * 1024
    assert peaks[N] < peaks[200] * 1.1


def peak_memory_kib(pid: int) -> int | None:
    with Path(f"/proc/{pid}/status").open() as status:
        line = next((line for line in status if line.startswith("VmHWM")), None)
    return int(line.split()[1]) if line else None
