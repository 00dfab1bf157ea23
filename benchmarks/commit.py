"""What it costs to keep an image: written, synced, named, recorded.

    python benchmarks/commit.py [FOLDER]     # half a minute; FOLDER: on the disk that is meant

The store alone, without a network: images of random bytes through `Folder.keep`, with full syncs
(`power`) and without (`process`), some at once, beside a plain `write_bytes` of the same bytes one
after the other. Rounds take turns, so that a slow moment of the disk meets all of them; the median
of the rounds is told. Between two rounds everything is flushed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Course, Image, Made, Task
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

N_BYTES = 1_500_000
N_IMAGES = 200
N_ROUNDS = 5
PIECE = 256 << 10
CONTENT = os.urandom(N_BYTES)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def main() -> None:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    ways: dict[str, Callable[[Path], None]] = {
        "`write_bytes`, nothing synced": plain,
        "`write_bytes`, then `fsync`": plain_synced,
        "`process`, 32 at once": lambda folder: keep(folder, Durability.PROCESS, 32),
        "`power`, 1 at once": lambda folder: keep(folder, Durability.POWER, 1),
        "`power`, 32 at once": lambda folder: keep(folder, Durability.POWER, 32),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(N_ROUNDS):
        for name, way in ways.items():
            took[name].append(timed(way, place))
    print(f"| {N_BYTES / 1e6:.1f} MB, {N_IMAGES} images | ms an image | CPU ms an image |")
    print("|---|---|---|")
    for name, rounds in took.items():
        wall, cpu = (statistics.median(one) / N_IMAGES * 1e3 for one in zip(*rounds, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")


def timed(way: Callable[[Path], None], place: Path) -> tuple[float, float]:
    folder = Path(tempfile.mkdtemp(prefix="commit-", dir=place))
    os.sync()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        way(folder)
        return time.perf_counter() - wall, time.process_time() - cpu
    finally:
        shutil.rmtree(folder)


def plain(folder: Path) -> None:
    for number in range(N_IMAGES):
        (folder / f"{number:06}.png").write_bytes(CONTENT)


def plain_synced(folder: Path) -> None:
    for number in range(N_IMAGES):
        with (folder / f"{number:06}.png").open("wb") as file:
            file.write(CONTENT)
            file.flush()
            os.fsync(file.fileno())


def keep(folder: Path, durability: Durability, at_once: int) -> None:
    terms = Terms(job="commit", run="r", path_for=name_of, durability=durability)
    with Folder(folder, terms) as store:
        asyncio.run(keep_all(store, at_once))


async def keep_all(store: Folder, at_once: int) -> None:
    numbers = iter(range(N_IMAGES))

    async def work() -> None:
        for number in numbers:
            await keep_one(store, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


async def keep_one(store: Folder, number: int) -> None:
    task = Task(id=f"{number:020x}", index=number, sample=0, prompt="p" * 80, model="m")
    trail = store.begin(task, 1, at="2026-11-22T14:00:00.123Z")
    trail.heard(f"gen-{number}")
    part = trail.part()
    for start in range(0, N_BYTES, PIECE):
        part.write(CONTENT[start : start + PIECE])
        await asyncio.sleep(0)
    image = Image(
        part=part, media_type="image/png", width=1, height=1, n_bytes=N_BYTES, sha256=SHA256
    )
    course = Course(
        attempts=1,
        started_at="2026-11-22T14:00:00.123Z",
        finished_at="2026-11-22T14:00:08.123Z",
        latency_s=8.0,
        cost_usd=0.039,
        provider="p",
    )
    await store.keep(Made(task=task, images=(image,), answer=Answer(), course=course))


def name_of(task: Task, number: int, extension: str) -> str:
    return f"images/{task.index // 1000:03}/{task.index:06}-{number}.{extension}"


if __name__ == "__main__":
    main()
