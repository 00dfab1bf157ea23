"""A job of 1,000 to 1,000,000 tiny tasks: planned, run, killed, resumed, finished, gone on with.

    python benchmarks/scale.py                 # 1,000, 10,000 and 100,000: some five minutes
    python benchmarks/scale.py 1000000         # half an hour and more; needs some 6 GB of disk
    python benchmarks/scale.py --write         # the same, the table put into benchmarks/README.md

The embedded provider in its cheap mode (a PNG of 256 bytes, at once) is a process of its own, each
command is another, measured from its start to its exit; `peak` is what the kernel says of it
(ru_maxrss), without the process that reads part of a long manifest for it. The run is killed with
SIGKILL when half of its lines are there; `first request` is from the start of the next run until
the provider has one more, asked every 10 ms, for that run and for the first one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from report import put

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = tuple(int(one) for one in sys.argv[1:] if one != "--write") or (1_000, 10_000, 100_000)
PROFILE = "simulator: {cheap: true, prebuilt_bytes: 256}\n"
AT_ONCE = 64  # memory is to grow with the tasks alone
SAID: list[str] = []
LINE = "A small picture of thing number {}, in the rain\n"


@dataclass(kw_only=True)
class Took:
    seconds: float
    cpu_s: float
    peak_mb: float
    first_s: float | None = None


def main() -> None:
    say("| tasks | what | seconds | first request | CPU s | peak MB | images/s |")
    say("|---|---|---|---|---|---|---|")
    for n_tasks in SIZES:
        with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
            measure(Path(folder), n_tasks, server)
    if "--write" in sys.argv:
        put("scale", "\n".join(SAID))


def say(line: str) -> None:
    print(line, flush=True)
    SAID.append(line)


def measure(folder: Path, n_tasks: int, server: Server) -> None:
    job, out, prompts = folder / "job.yaml", folder / "out", folder / "prompts.txt"
    with prompts.open("w") as file:
        file.writelines(map(LINE.format, range(n_tasks)))
    (folder / "there.yaml").write_text(
        f"base_url: {server.base_url}\nmodel: m\nlimits: {{concurrency: {AT_ONCE}}}\n"
    )
    job.write_text(
        f"provider: ./there.yaml\noutput: {{dir: {out}, durability: process}}\n"
        "prompts: {file: prompts.txt}\n"
    )
    manifest = out / "manifest.jsonl"
    row(n_tasks, "plan, all new", command("plan", job))

    def is_half_there() -> bool:
        return manifest.exists() and manifest.stat().st_size >= n_tasks * n_bytes_a_line / 2

    n_bytes_a_line = 1_000
    killed = command("run", job, server=server, kill_when=is_half_there)
    n_made = sum(1 for _ in manifest.open("rb"))
    row(n_tasks, f"run, killed after {n_made:,}", killed, n_made)
    row(n_tasks, "run again, to its end", command("run", job, server=server), n_tasks - n_made)
    row(n_tasks, "run, nothing left", command("run", job))
    row(n_tasks, "plan, nothing left", command("plan", job))
    with prompts.open("a") as file:
        file.write(LINE.format(n_tasks))
    row(n_tasks, "run, one more prompt", command("run", job, server=server), 1)
    n_lines = len({json.loads(line)["id"] for line in manifest.open("rb")})
    n_rows = sum(1 for _ in (out / "metadata.jsonl").open("rb"))
    assert n_lines == n_rows == n_tasks + 1, f"{n_lines} lines and {n_rows} rows"


def command(
    word: str,
    job: Path,
    *,
    server: Server | None = None,
    kill_when: Callable[[], bool] | None = None,
) -> Took:
    before = server.n_requests() if server else 0
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", word, "-q", str(job)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first_s = None
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        if server and first_s is None and server.n_requests() > before:
            first_s = time.monotonic() - start
        if kill_when and kill_when():
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    took_s = time.monotonic() - start
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {0, -signal.SIGKILL}, f"{word}: {process.returncode}"
    cpu_s = usage.ru_utime + usage.ru_stime
    return Took(seconds=took_s, cpu_s=cpu_s, peak_mb=usage.ru_maxrss / 1024, first_s=first_s)


def row(n_tasks: int, what: str, took: Took, n_images: int = 0) -> None:
    first = "" if took.first_s is None else f"{took.first_s:.2f}"
    rate = f"{n_images / took.seconds:.0f}" if n_images > 1 else ""
    say(
        f"| {n_tasks:,} | {what} | {took.seconds:.2f} | {first} | {took.cpu_s:.2f} "
        f"| {took.peak_mb:.0f} | {rate} |"
    )


class Server:
    """The embedded provider in its cheap mode, and how many requests it had."""

    def __init__(self, folder: Path) -> None:
        (folder / "cheap.yaml").write_text(PROFILE)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "simulate", "--port", "0", "--json",
             "--profile", str(folder / "cheap.yaml")],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout
        self.base_url = json.loads(self._process.stdout.readline())["base_url"]

    def n_requests(self) -> int:
        with urllib.request.urlopen(self.base_url.replace("/v1", "/bill")) as bill:
            return int(json.load(bill)["requests"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


main()
