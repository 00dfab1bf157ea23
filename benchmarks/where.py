"""Where the CPU time of an image goes, through the whole command.

    python benchmarks/where.py            # both sizes; a minute
    python benchmarks/where.py --write    # and the table goes into README.md

The command runs in this process, once as it is and once under a profiler. *all* is what the first
took, all threads, without its start (a run of one image); the rows below are the shares of what the
profiler saw of the loop's thread, of everything but its start. It counts what a call into C takes
truly and makes Python's own calls dearer than they are, by a half or so.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from report import ROOT, put

SIZES = {"1.5 MB": (1_500_000, 400), "1 kB": (1_000, 4_000)}
C_CALLS = {
    "sha256": ("HASH' objects",),
    "CRC-32 of the PNG's chunks": ("crc32",),
    "base64": ("b64decode",),
    "receiving": ("'recv' of",),
    "sending": ("'send' of", "'sendmsg' of"),
    "waiting for the network": ("'poll' of",),
    "files: open, rename, close, and waiting for the interpreter after them": ("posix.",),
}
LAYERS = {
    "files: write": "durable.py_with_room",
    "ours, `provider`": "pipeline/provider",
    "ours, `engine` and `limit`": "pipeline/(engine|limit)",
    "ours, `store`": "pipeline/store",
    "ours, the rest": "pipeline/",
    "aiohttp and what it needs": "site-packages/",
    "asyncio": "asyncio/",
}
ELSE = "else of Python and its built-ins"


def main() -> None:
    words = argparse.ArgumentParser(description="Where the time of an image goes.")
    words.add_argument("--write", action="store_true", help="put the table into README.md")
    words.add_argument("--child", nargs=3, metavar=("PROFILE", "JOB", "IS_PROFILED"))
    asked = words.parse_args()
    if asked.child:
        child(*asked.child)
        return
    table = told({name: measured(*size) for name, size in SIZES.items()})
    print(table)
    if asked.write:
        put("where", table)


def told(columns: dict[str, tuple[float, Counter[str]]]) -> str:
    rows = [
        f"| | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        f"| all, ms of CPU an image | {' | '.join(f'{ms:.2f}' for ms, _ in columns.values())} |",
    ]
    names = sorted(
        {name for _, shares in columns.values() for name in shares},
        key=lambda name: -max(shares[name] for _, shares in columns.values()),
    )
    for name in names:
        shares = (f"{100 * shares[name] / shares.total():.0f} %" for _, shares in columns.values())
        rows.append(f"| {name} | {' | '.join(shares)} |")
    return "\n".join(rows)


def measured(n_bytes: int, n_images: int) -> tuple[float, Counter[str]]:
    """Milliseconds of CPU an image, and the seconds of each layer."""
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/ready_server.py"), str(n_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    port = int(server.stdout.readline())
    with tempfile.TemporaryDirectory(prefix="where-") as place:
        folder = Path(place)
        (folder / "p.yaml").write_text(f"base_url: http://127.0.0.1:{port}/v1\nmodel: m\n")
        start_s, start = ran(folder, "start", 1)
        all_s, _ = ran(folder, "all", n_images)
        _, profile = ran(folder, "profiled", n_images)
        layers = layers_of(profile)
        layers.subtract(layers_of(start))
    server.stdin.close()
    server.stdout.read()
    server.wait()
    return (all_s - start_s) * 1e3 / n_images, Counter({k: max(v, 0) for k, v in layers.items()})


def ran(folder: Path, name: str, n_images: int) -> tuple[float, Path]:
    """Seconds of CPU of a run, and its profile."""
    job = {
        "provider": "./p.yaml",
        "limits": {"concurrency": 64},
        "output": {"dir": str(folder / name)},
        "prompts": [f"prompt {number}" for number in range(n_images)],
    }
    (folder / f"{name}.json").write_text(json.dumps(job))
    profile = folder / f"{name}.profile"
    is_profiled = str(name != "all")
    words = [__file__, "--child", str(profile), str(folder / f"{name}.json"), is_profiled]
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, profile


def child(profile: str, job: str, is_profiled: str) -> None:
    sys.path.insert(0, str(ROOT))
    from pipeline import cli

    profiler = cProfile.Profile()
    if is_profiled == "True":
        profiler.enable()
    code = cli.main(["run", "-q", job])
    profiler.disable()
    profiler.dump_stats(profile)
    sys.exit(code)


def layers_of(profile: Path) -> Counter[str]:
    layers: Counter[str] = Counter()
    for (file, _, function), (_, _, own_s, *_) in pstats.Stats(str(profile)).stats.items():  # type: ignore[attr-defined]
        layers[layer_of(file, function)] += own_s
    return layers


def layer_of(file: str, function: str) -> str:
    if file == "~":
        calls = (n for n, marks in C_CALLS.items() if any(mark in function for mark in marks))
        return next(calls, ELSE)
    place = f"{file}{function}"
    return next((name for name, mark in LAYERS.items() if re.search(mark, place)), ELSE)


if __name__ == "__main__":
    main()
