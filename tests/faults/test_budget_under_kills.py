"""Kills, faults and prices at random: the provider's bill never exceeds the ceiling."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from commands import check_whole, ended

from pipeline.core.simulation import Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

N_TASKS = 40
FAULTS = [
    *("cut", "stall", "hang", "reset", "gateway_timeout", "server_error", "throttled", "refused"),
    *("text_only", "html", "half_json", "cut_image", "empty_image", "dropped_image"),
    *("error_in_200", "draft_first", "same_twice", "unfinished"),
]
ROUNDING_USD = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is drawn for one folder and its runs."""

    simulation: Simulation
    listed_usd: float
    ceiling_usd: float
    concurrency: int
    durability: str
    is_streamed: bool
    n_kills: int

    @classmethod
    def drawn(cls, chance: random.Random) -> Case:
        price_usd = chance.choice([0.001, 0.01, 0.039, 0.25])
        n_images = chance.choice([1, 1, 1, 2])
        faults = {one: round(chance.uniform(0.02, 0.12), 3) for one in chance.sample(FAULTS, 4)}
        return cls(
            simulation=Simulation(
                seed=chance.randrange(1000),
                latency_s=chance.choice([0.0, 0.02, 0.1]),
                latency_p99_s=0.3,
                image_size="64x64",
                cost_usd=price_usd,
                images_per_reply=n_images,
                faults=faults,
            ),
            listed_usd=price_usd * n_images * chance.choice([1, 1, 1.5]),
            ceiling_usd=round(price_usd * n_images * chance.uniform(0.5, 1.2 * N_TASKS), 6),
            concurrency=chance.choice([1, 4, 16, 64]),
            durability=chance.choice(["power", "process"]),
            is_streamed=chance.random() < 0.5,
            n_kills=chance.randint(0, 3),
        )


def lay_out(desk: Desk, case: Case, base_url: str) -> None:
    settings = {
        "limits": {"concurrency": case.concurrency},
        "budget": {"usd": case.ceiling_usd},
        "retry": {"max_wait": 0.02, "attempts": 4, "lost": 3, "no_image": 2},
        "timeouts": {"idle": 0.3, "total": 1},
        "stop": {"failures_in_a_row": 1000},
    }
    desk.job([f"p{n}" for n in range(N_TASKS)], base_url=base_url)
    job = (desk.folder / "job.yaml").read_text()
    job = job.replace("{dir: out}", f"{{dir: out, durability: {case.durability}}}")
    desk.write("job.yaml", job + "".join(f"{k}: {json.dumps(v)}\n" for k, v in settings.items()))
    prices = f"prices: {{simulator/painter: {{image: {case.listed_usd}}}}}\n"
    desk.provider(base_url, prices + f"stream: {str(case.is_streamed).lower()}\n")


def play(desk: Desk, provider: Serving, seed: int) -> None:
    chance = random.Random(seed)
    case = Case.drawn(chance)
    with provider(case.simulation) as there:
        lay_out(desk, case, there.base_url)
        for _ in range(case.n_kills):
            with desk.started("run", "job.yaml", "--json") as process:
                assert process.stdout
                for _ in range(chance.randint(0, 12)):
                    process.stdout.readline()
                time.sleep(chance.uniform(0, 0.1))
                process.kill()
        with desk.started("run", "job.yaml", "--json") as process:
            last = ended(process, within_s=60)
        bill = _settled(there)
        assert bill["cost_usd"] <= case.ceiling_usd + ROUNDING_USD, (seed, case, bill)
        assert last.code in {0, 3, 4}, (seed, case, last)
        if last.code == 4:
            assert "budget" in last.summary["reason"]
        check_whole(desk.out)


def _settled(there: Any) -> dict[str, Any]:
    """The bill, once what a dead client had sent has been read as well."""
    bill: dict[str, Any] = {}
    while bill != (bill := there.bill()):
        time.sleep(0.3)
    return bill


@pytest.mark.parametrize("seed", range(4))
def test_the_bill_stays_below_the_ceiling(desk: Desk, provider: Serving, seed: int) -> None:
    play(desk, provider, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_the_bill_stays_below_the_ceiling_in_a_hundred_folders(
    desk: Desk, provider: Serving, seed: int
) -> None:
    play(desk, provider, seed)
