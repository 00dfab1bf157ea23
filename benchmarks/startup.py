"""How long it takes until something happens.

    python benchmarks/startup.py              # half a minute
    python benchmarks/startup.py --write      # and the table goes into README.md

Each command is a process of its own, from its start to its exit; `first request` to the moment at
which a server sees the request for the first image, the question for the list of models before it.
Commands take turns; medians are told. `python -c pass` is what no program in Python can beat.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ready_server import Server, png_of
from report import ROOT, put

PYTHON = sys.executable
OURS = [PYTHON, "-m", "pipeline"]


class Timed(Server):
    """Notes when it sees the first request for an image."""

    first_at: float | None = None

    def answer_to(self, request: bytes) -> bytes | memoryview:
        if request.startswith(b"POST") and self.first_at is None:
            self.first_at = time.monotonic()
        return super().answer_to(request)


def main() -> None:
    words = argparse.ArgumentParser(description="How long it takes until something happens.")
    words.add_argument("--rounds", type=int, default=9)
    words.add_argument("--write", action="store_true", help="put the table into README.md")
    asked = words.parse_args()
    table = told(*measured(asked.rounds))
    print(table)
    if asked.write:
        put("startup", table)


def measured(n_rounds: int) -> tuple[dict[str, list[tuple[float, float]]], list[float]]:
    server = Timed(png_of(10_000), None)
    threading.Thread(target=server.serve, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="startup-") as place:
        folder = Path(place)
        prepare(folder, server.listener.getsockname()[1])
        subprocess.run([*OURS, "run", "-q", str(folder / "done.yaml")], check=True, cwd=ROOT)
        commands = {
            "`python -c pass`": [PYTHON, "-c", "pass"],
            "`imagebatch --help`": [*OURS, "--help"],
            "`imagebatch plan`, 24 prompts": [*OURS, "plan", str(folder / "plan.yaml")],
            "`imagebatch run`, nothing left to do": [*OURS, "run", "-q", str(folder / "done.yaml")],
            "`imagebatch run`, one image": [],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        firsts: list[float] = []
        for number in range(n_rounds):
            for name, command in commands.items():
                new = [*OURS, "run", "-q", str(folder / "new.yaml"), "--out", f"{folder}/{number}"]
                server.first_at = None
                start = time.monotonic()
                taken[name].append(timed(command or new))
                if not command and server.first_at:
                    firsts.append(server.first_at - start)
    return taken, firsts


def told(taken: dict[str, list[tuple[float, float]]], firsts: list[float]) -> str:
    rows = ["| what | ms | CPU ms |", "|---|---|---|"]
    for name, times in taken.items():
        wall, cpu = (statistics.median(one) * 1e3 for one in zip(*times, strict=True))
        rows.append(f"| {name} | {wall:.0f} | {cpu:.0f} |")
    first_ms = statistics.median(firsts) * 1e3
    rows.append(f"| of it until the first request for an image | {first_ms:.0f} |  |")
    return "\n".join(rows)


def prepare(folder: Path, port: int) -> None:
    (folder / "p.yaml").write_text(f"base_url: http://127.0.0.1:{port}/v1\nmodel: m\n")
    for name, n in (("plan", 24), ("done", 24), ("new", 1)):
        prompts = "".join(f"  - prompt {number}\n" for number in range(n))
        (folder / f"{name}.yaml").write_text(
            f"provider: ./p.yaml\noutput: {{dir: {folder}/{name}}}\nprompts:\n{prompts}"
        )


def timed(command: list[str]) -> tuple[float, float]:
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
