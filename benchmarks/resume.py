"""How long a run takes to find that nothing is left to do, by the length of its manifest.

    python benchmarks/resume.py            # about a minute; needs some 1.2 GB of disk

A job of 24 prompts is made with the simulator. Then a manifest of up to 1,000,000 lines stands
where its own was: lines of tasks that the job does not want, and the 24 at the end. Each command is
a process of its own, from its start to its exit; `peak` is what the kernel says of it (ru_maxrss),
`together` the most that it and its children held at one time (Linux): the process that reads half
the manifest for it, and for one more image the simulator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_LINES = (100_000, 1_000_000)
N_PROMPTS = 24
PROMPT = "A photograph of a very tall lighthouse on a rocky coast at dusk, with waves breaking"


def main() -> None:
    print("| command | lines | MB | seconds | CPU s | peak MB | together MB |")
    print("|---|---|---|---|---|---|---|")
    for n_lines in N_LINES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), n_lines)


def measure(folder: Path, n_lines: int) -> None:
    job, out = folder / "job.yaml", folder / "out"
    prompts = "".join(f"  - {PROMPT}, {number}\n" for number in range(N_PROMPTS))
    job.write_text(f"output: {{dir: {out}}}\nprompts:\n{prompts}")
    command = [sys.executable, "-m", "pipeline", "run", "-q", str(job)]
    subprocess.run(command, check=True)
    lengthen(out / "manifest.jsonl", n_lines)
    row("run, the first time", command, out, n_lines)
    row("run, again", command, out, n_lines)
    row("status", [sys.executable, "-m", "pipeline", "status", "-q", str(out)], out, n_lines)
    with job.open("a") as more:
        more.write(f"  - {PROMPT}, one more\n")
    row("run, one more image", command, out, n_lines)


def lengthen(manifest: Path, n_lines: int) -> None:
    """Put lines of other tasks, with other files, in front; their files need not be there."""
    own = manifest.read_bytes()
    line = json.loads(own.partition(b"\n")[0])
    with manifest.open("wb") as file:
        for number in range(n_lines - N_PROMPTS):
            line["id"] = f"{number * 0x9E3779B97F4A7C15 % (1 << 80):020x}"
            line["index"] = N_PROMPTS + number
            line["images"][0]["file"] = f"images/{number // 1000:03}/{number:06}-other.png"
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        file.write(own)


def row(name: str, command: list[str], out: Path, n_lines: int) -> None:
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    together = 0.0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        together = max(together, held_mb(process.pid))
        time.sleep(0.01)
    took_s = time.monotonic() - start
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{name} ended with {process.returncode}"
    size_mb = (out / "manifest.jsonl").stat().st_size / 1e6
    cpu_s = usage.ru_utime + usage.ru_stime
    print(
        f"| {name} | {n_lines:,} | {size_mb:.0f} | {took_s:.2f} | {cpu_s:.2f} "
        f"| {usage.ru_maxrss / 1024:.0f} | {together:.0f} |",
        flush=True,
    )


def held_mb(pid: int) -> float:
    """What a process and its children hold in memory now; 0 where nobody tells."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0.0
    return resident * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(map(held_mb, map(int, children)))


main()
