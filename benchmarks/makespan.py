"""How close a run comes to what nobody can beat, in every kind of weather.

    python benchmarks/makespan.py               # virtual time; some eight minutes
    python benchmarks/makespan.py --http        # six of them over HTTP; a quarter of an hour
    python benchmarks/makespan.py bucket crowd  # only these
    python benchmarks/makespan.py --write       # the table goes into README.md

The scenarios are those of `pipeline/core/scenarios.py`. In virtual time the engine's own pool and
lanes are driven against each scenario's turnstile (`race.py`); nothing is waited for. Over HTTP it
is the whole command, `imagebatch run`, against `imagebatch simulate --scenario`, played so many
times as fast that each takes under a minute, beside virtual time at the same speed.

*ratio*: the time it takes as a multiple of the ideal, in which every request leaves as soon as the
provider lets it in and the last takes as long as the slowest 1 %. *429*: refusals for 1,000
prompts. Medians of five seeds (over HTTP: three) that were not used while the lane was made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from race import race
from report import put

from pipeline.core.scenario import ideal_s, scaled
from pipeline.core.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.scenario import Scenario

SEEDS = (11, 12, 13, 14, 15)
OVER_HTTP = ("known-bucket", "bucket-bare", "minute", "crowd", "outage", "revoked")
IDEAL_S = 45.0
"""How long the ideal takes over HTTP, so that each run takes under a minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How close a run comes to the ideal.")
    parser.add_argument("names", nargs="*", metavar="SCENARIO")
    parser.add_argument("--http", action="store_true", help="the whole command, over HTTP")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many; default: 5")
    arguments = parser.parse_args()
    seeds = SEEDS[: arguments.seeds]
    if arguments.http:
        table = over_http(arguments.names or OVER_HTTP, seeds[:3])
    else:
        table = in_virtual_time(arguments.names or list(SCENARIOS), seeds)
    lines = []
    for line in table:
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        put("makespan-http" if arguments.http else "makespan", "\n".join(lines))


def in_virtual_time(names: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    yield "| scenario | what | hedging: ratio | 429 | sent twice | without: ratio | 429 | lost |"
    yield "|---|---|---|---|---|---|---|---|"
    with ProcessPoolExecutor() as processes:
        yield from processes.map(row_of, names, repeat(seeds))


def row_of(name: str, seeds: Sequence[int]) -> str:
    scenario = SCENARIOS[name]
    hedged = [race(scenario, seed=seed, hedges=True) for seed in seeds]
    plain = [race(scenario, seed=seed) for seed in seeds]
    lost = sum(told.n_lost for told in hedged + plain)
    return (
        f"| {name} | {scenario.what} | {median(told.ratio for told in hedged):.2f} "
        f"| {median(told.refusals_per_thousand for told in hedged):.1f} "
        f"| {median(told.n_twice for told in hedged):.0f} "
        f"| {median(told.ratio for told in plain):.2f} "
        f"| {median(told.refusals_per_thousand for told in plain):.1f} | {lost} |"
    )


def over_http(names: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    yield "| scenario | times as fast | ideal s | HTTP: s | ratio | 429 | virtual: ratio | 429 |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in names:
        scale = round(ideal_s(SCENARIOS[name]) / IDEAL_S, 1)
        scenario = scaled(SCENARIOS[name], scale)
        virtual = [race(scenario, seed=seed, hedges=True) for seed in seeds]
        met = [played(scenario, scale=scale, seed=seed) for seed in seeds]
        took_s, ideal = median(one["elapsed_s"] for one in met), ideal_s(scenario)
        refused = median(one["refused"] for one in met)
        yield (
            f"| {name} | {scale:g} | {ideal:.1f} | {took_s:.1f} | {took_s / ideal:.2f} "
            f"| {1_000 * refused / scenario.n_tasks:.1f} "
            f"| {median(told.ratio for told in virtual):.2f} "
            f"| {median(told.refusals_per_thousand for told in virtual):.1f} |"
        )


def played(scenario: Scenario, *, scale: float, seed: int) -> dict[str, Any]:
    """What `imagebatch run --json` sums up at its end, and the provider's own count of 429s."""
    with tempfile.TemporaryDirectory() as folder:
        return played_in(Path(folder), scenario, scale=scale, seed=seed)


def played_in(folder: Path, scenario: Scenario, *, scale: float, seed: int) -> dict[str, Any]:
    cheap = {"images": "prebuilt", "prebuilt_bytes": 1_000, "bill_prompts": False, "seed": seed}
    (folder / "sky.yaml").write_text(json.dumps({"simulator": cheap}))
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "simulate", "--port", "0", "--json", "--profile",
         str(folder / "sky.yaml"), "--scenario", scenario.name, "--scale", f"{scale:g}"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert server.stdout
        base_url = json.loads(server.stdout.readline())["base_url"]
        summary = run(scenario, folder, base_url)
        return {**summary, "refused": refusals(base_url)}
    finally:
        server.terminate()
        server.wait()


def run(scenario: Scenario, folder: Path, base_url: str) -> dict[str, Any]:
    """One run of the whole command; every endpoint of the scenario is a provider with its key."""
    for number, endpoint in enumerate(scenario.endpoints, start=1):
        limits: dict[str, Any] = {"concurrency": scenario.concurrency}
        if scenario.is_told:
            limits["requests_per_minute"] = endpoint.per_minute
        profile = {
            "base_url": base_url,
            "api_key_env": f"MADE_UP_KEY_{number}",
            "model": "simulator/painter",
            "hedge": True,
            "limits": limits,
        }
        (folder / f"lane{number}.yaml").write_text(json.dumps(profile))
    names = [f"./lane{n}.yaml" for n in range(1, len(scenario.endpoints) + 1)]
    job = {
        "provider": names[0] if len(names) == 1 else names,
        "prompts": {"file": "prompts.txt"},
        "output": {"durability": "process"},
        "limits": {"concurrency": scenario.concurrency * len(names)},
        "retry": {"attempts": 6, "lost": 6},
        "stop": {"failures_in_a_row": 1_000},
    }
    (folder / "job.yaml").write_text(json.dumps(job))
    (folder / "prompts.txt").write_text("".join(f"p{n}\n" for n in range(scenario.n_tasks)))
    keys = {f"MADE_UP_KEY_{n}": f"made-up-{n}" for n in range(1, len(names) + 1)}
    told = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(folder / "job.yaml"), "--json", "-q",
         "--out", str(folder / "out")],
        cwd=folder, env={**os.environ, **keys}, stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    summary: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    assert summary["made"] == scenario.n_tasks, summary
    return summary


def refusals(base_url: str) -> int:
    from urllib.request import urlopen

    with urlopen(f"{base_url.removesuffix('/v1')}/bill") as reply:
        bill: dict[str, Any] = json.load(reply)
    return int(bill["by_status"].get("429", 0))


if __name__ == "__main__":
    main()
