"""Killed at any moment: what was acknowledged is there, whole and named; nothing else is."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from keeping import files_in, rows_in, task, terms

from pipeline.store.folder import Folder

_WRITER = """
import asyncio
import sys
from pathlib import Path
from keeping import keep_made, task, terms
from pipeline.store.folder import Folder

async def keep_all(folder, numbers):
    for number in numbers:
        if folder.ledger.owes(task(number).id):
            await keep_made(folder, number, b"x" * 50_000)
            print(number, flush=True)

async def main():
    with Folder(Path(sys.argv[1]), terms(run=sys.argv[2])) as folder:
        async with asyncio.TaskGroup() as group:
            for lane in range(4):
                group.create_task(keep_all(folder, range(lane, 100_000, 4)))

asyncio.run(main())
"""


def test_a_loop_of_kills_loses_nothing_and_names_nothing_that_is_not_there(tmp_path: Path) -> None:
    rng = random.Random(7)
    ways = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    acknowledged: list[int] = []
    for life in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), f"r{life}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ways},
        ) as process:
            assert process.stdout
            acknowledged.append(int(process.stdout.readline()))
            time.sleep(rng.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    assert len(set(acknowledged)) == len(acknowledged), "nothing made was made again"
    with Folder(tmp_path, terms(run="last")) as folder:
        assert not any(folder.ledger.owes(task(number).id) for number in acknowledged)
    records = rows_in(tmp_path / "manifest.jsonl")
    named = {image["file"]: image["sha256"] for record in records for image in record["images"]}
    assert len(records) == len(named) == len({record["id"] for record in records})
    assert len(records) - len(acknowledged) <= 5 * 4
    assert {name for name in files_in(tmp_path) if name.startswith("images/")} == set(named)
    for name, sha256 in named.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha256
    assert not list((tmp_path / ".state/parts").iterdir())
