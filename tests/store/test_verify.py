"""Every kind of damage is found, mended without deleting a paid image, and then made whole."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from commands import check_whole
from damages import DAMAGES, N_TASKS, Hurt

from pipeline.core.simulation import Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk, Serving
    from damages import Damage

_INSTANT = Simulation(latency_s=0, image_size="64x64")
_JOB = """
provider: ./there.yaml
prompts: [a sunset, a city, a river, a mountain]
samples: 2
seed: 7
limits: {concurrency: 1}
output: {dir: out, path: "images/{{sample}}/{{index:06}}-{{id}}.{{ext}}"}
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the healthy folder is kept, once the first test has made it."""
    return tmp_path_factory.mktemp("healthy")


@pytest.fixture
def healthy(desk: Desk, provider: Serving, shelf: Path) -> Desk:
    desk.write("job.yaml", _JOB)
    if not (shelf / "out").exists():
        with provider(_INSTANT) as there:
            desk.provider(there.base_url)
            assert desk.run("run", "job.yaml").code == 0
        desk.out.rename(shelf / "out")
    shutil.copytree(shelf / "out", desk.out)
    return desk


def contents(out: Path) -> set[str]:
    """The SHA-256 of everything that may have been paid for."""
    places = (out / "images", out / ".state/parts", out / ".state/orphans")
    files = [one for place in places for one in place.rglob("*")]
    return {sha256(one.read_bytes()).hexdigest() for one in files if one.is_file()}


def kinds(desk: Desk, *words: str, code: int) -> dict[str, int]:
    told = desk.run("verify", "out", "--json", *words)
    assert told.code == code, told.out
    found: dict[str, int] = told.summary["findings"]
    return found


def test_a_healthy_folder_is_sound(healthy: Desk) -> None:
    before = sorted(healthy.out.rglob("*"))
    told = healthy.run("verify", "out", "--json")
    assert told.code == 0
    assert told.summary["sound"] is True
    assert told.summary["checked_images"] == told.summary["made"] == N_TASKS
    sizes = [one.stat().st_size for one in (healthy.out / "images").rglob("*.png")]
    assert told.summary["checked_bytes"] == sum(sizes)
    assert sorted(healthy.out.rglob("*")) == before


def test_there_are_more_than_thirty_kinds_of_damage() -> None:
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) > 30


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_is_found_and_mended_and_made_whole(
    healthy: Desk, provider: Serving, damage: Damage
) -> None:
    damage.do(Hurt(healthy.out))
    there_before = contents(healthy.out)
    as_it_was = {one: one.lstat().st_mtime_ns for one in healthy.out.rglob("*")}

    assert damage.kind in kinds(healthy, code=3)
    assert {one: one.lstat().st_mtime_ns for one in healthy.out.rglob("*")} == as_it_was

    left = 3 if damage.is_mended_by_the_run else 0
    assert damage.kind in kinds(healthy, "--repair", code=left)
    assert there_before <= contents(healthy.out), "no image was deleted"
    manifest = (healthy.out / "manifest.jsonl").read_bytes()
    assert kinds(healthy, "--repair", code=left).keys() <= {"job"}
    assert (healthy.out / "manifest.jsonl").read_bytes() == manifest, "mended once is mended"

    with provider(_INSTANT) as there:
        healthy.provider(there.base_url)
        told = healthy.run("run", "job.yaml")
        assert told.code == 0, told.err
        assert there.bill()["requests"] == damage.n_owed, "what was sound is not bought again"
    assert kinds(healthy, code=0) == {}
    assert there_before <= contents(healthy.out)
    check_whole(healthy.out)


@pytest.mark.parametrize("seed", range(6))
def test_several_damages_at_once_are_mended(healthy: Desk, provider: Serving, seed: int) -> None:
    mendable = [one for one in DAMAGES if not one.is_mended_by_the_run]
    for damage in random.Random(seed).sample(mendable, 6):
        with suppress(OSError, ValueError, LookupError, TypeError, AssertionError):
            damage.do(Hurt(healthy.out))  # but where an earlier one has left nothing to damage
    there_before = contents(healthy.out)
    assert kinds(healthy, code=3)
    kinds(healthy, "--repair", code=0)
    assert there_before <= contents(healthy.out)
    assert kinds(healthy, code=0) == {}
    with provider(_INSTANT) as there:
        healthy.provider(there.base_url)
        assert healthy.run("run", "job.yaml").code == 0
    assert kinds(healthy, code=0) == {}
    check_whole(healthy.out)
