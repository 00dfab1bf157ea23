"""Peak memory of a whole client process, by image size and how many are in flight.

    python benchmarks/memory.py            # about three minutes; needs the test extra (openai)

A simulator in a process of its own serves prebuilt PNGs. Each client is a process of its own;
its peak is what the kernel says (ru_maxrss). Ours is the whole command: it also hashes, checks,
syncs and writes the manifest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SIZES = ((1_500_000, 64), (8_000_000, 64), (8_000_000, 256))
MOST_FOR_OTHERS = 64  # 256 at 8 MB would need some 3 GB of the others


def main() -> None:
    print("| image | in flight | way | client | peak MB | CPU s per 1,000 | images/s |")
    print("|---|---|---|---|---|---|---|")
    for n_bytes, at_once in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), n_bytes, at_once)


def measure(folder: Path, n_bytes: int, at_once: int) -> None:
    n = max(2 * at_once, 200 if n_bytes < 5e6 else 0)
    profile = folder / "load.yaml"
    profile.write_text(
        f"simulator: {{images: prebuilt, prebuilt_bytes: {n_bytes}, latency_s: 0.05, "
        "latency_p99_s: 0.1, bill_prompts: false}\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "simulate", "--port", "0", "--json",
         "--profile", str(profile)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert server.stdout
        base_url = json.loads(server.stdout.readline())["base_url"]
        for stream in (False, True):
            for client in ("imagebatch", "openai", "aiohttp"):
                if client != "imagebatch" and at_once > MOST_FOR_OTHERS:
                    continue
                row(client, folder, base_url, n=n, at_once=at_once, n_bytes=n_bytes, stream=stream)
    finally:
        server.terminate()
        server.wait()


def row(client: str, folder: Path, base_url: str, **what: int) -> None:
    n, at_once, stream = what["n"], what["at_once"], bool(what["stream"])
    out = Path(tempfile.mkdtemp(dir=folder))
    if client == "imagebatch":
        streams = str(stream).lower()
        (out / "p.yaml").write_text(f"base_url: {base_url}\nmodel: m\nstream: {streams}\n")
        prompts = "".join(f"  - prompt {number}\n" for number in range(n))
        (out / "job.yaml").write_text(
            f"provider: ./p.yaml\nlimits: {{concurrency: {at_once}}}\n"
            f"output: {{dir: {out}/out}}\nprompts:\n{prompts}"
        )
        command = [sys.executable, "-m", "pipeline", "run", "-q", str(out / "job.yaml")]
    else:
        command = [sys.executable, str(HERE / "clients.py"), client, base_url, str(n), str(at_once),
                   str(out), *(["--stream"] if stream else [])]  # fmt: skip
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took_s = time.monotonic() - start
    made = len(list(out.rglob("*.png")))
    assert process.returncode == 0, f"{client} failed"
    assert made == n, f"{client} made {made} of {n}"
    cpu_s = (usage.ru_utime + usage.ru_stime) * 1000 / n
    way = "streamed" if stream else "plain"
    print(
        f"| {what['n_bytes'] / 1e6:g} MB | {at_once} | {way} | {client} "
        f"| {usage.ru_maxrss / 1024:.0f} | {cpu_s:.1f} | {n / took_s:.1f} |",
        flush=True,
    )
    subprocess.run(["rm", "-rf", str(out)], check=True)


main()
