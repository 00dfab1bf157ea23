"""How long anything holds up the event loop while large images arrive.

    python benchmarks/stalls.py              # 256 images of 8 MB, 64 at once; half a minute
    python benchmarks/stalls.py --write      # and the table goes into README.md

The command runs in this process, with every callback of its loop timed. `held`: from the start of a
callback to its end; `blocked`: the same, of those alone in which the thread itself gave up the
processor, for a disk, a lock or the interpreter's own (the others were put aside by the kernel, in
favour of the server or of whoever else is on the machine); `worked`: the CPU time within it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import ROOT, put

sys.path.insert(0, str(ROOT))  # this repository, whatever is installed
from pipeline import cli

HERE = Path(__file__).parent
seen: list[tuple[float, float, float]] = []


def main() -> None:
    words = argparse.ArgumentParser(description="How long anything holds up the event loop.")
    words.add_argument("--size", type=int, default=8_000_000, help="bytes")
    words.add_argument("--at-once", type=int, default=64)
    words.add_argument("--images", type=int, default=256)
    words.add_argument("--durability", choices=("power", "process"), default="power")
    words.add_argument("--write", action="store_true", help="put the table into README.md")
    asked = words.parse_args()
    run_callback = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        n_given_up = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        start, cpu = time.perf_counter(), time.thread_time()
        run_callback(handle)
        held_s, worked_s = time.perf_counter() - start, time.thread_time() - cpu
        has_given_up = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > n_given_up
        seen.append((held_s, held_s * has_given_up, worked_s))

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(prefix="stalls-") as place:
        run(Path(place), asked)
    said = f"{asked.images} images of {asked.size / 1e6:g} MB, {asked.at_once} at once, "
    table = f"{said}`{asked.durability}`: {len(seen):,} callbacks.\n\n{told()}"
    print(table)
    if asked.write:
        put("stalls", table)


def run(folder: Path, asked: argparse.Namespace) -> None:
    server = subprocess.Popen(
        [sys.executable, str(HERE / "ready_server.py"), str(asked.size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    port = int(server.stdout.readline())
    (folder / "p.yaml").write_text(f"base_url: http://127.0.0.1:{port}/v1\nmodel: m\n")
    job = {
        "provider": "./p.yaml",
        "limits": {"concurrency": asked.at_once},
        "output": {"dir": f"{folder}/out", "durability": asked.durability},
        "prompts": [f"prompt {number}" for number in range(asked.images)],
    }
    (folder / "job.yaml").write_text(json.dumps(job))
    os.sync()
    code = cli.main(["run", "-q", str(folder / "job.yaml")])
    server.stdin.close()
    server.wait()
    if code:
        raise SystemExit(code)


def told() -> str:
    rows = ["| ms | longest | over 20 | over 10 | over 5 |", "|---|---|---|---|---|"]
    for name, times in zip(("held", "blocked", "worked"), zip(*seen, strict=True), strict=True):
        over = (str(sum(time_s > ms / 1e3 for time_s in times)) for ms in (20, 10, 5))
        rows.append(f"| {name} | {max(times) * 1e3:.1f} | {' | '.join(over)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
