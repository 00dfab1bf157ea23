"""How long `imagebatch verify` takes over images of 1.5 MB, and over a long manifest.

    python benchmarks/verify.py            # about a minute; writes 1 GB below the temporary folder

One PNG is drawn at random and copied, so that reading, hashing and decoding are those of real
images; the figures are those of a warm file cache.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

N_IMAGES = 680
N_LINES = 1_000_000
ONE = {
    "id": "", "status": "made", "why": None, "index": 0, "sample": 0, "prompt": "a sunset " * 8,
    "model": "m", "served_model": "m", "params": {}, "vars": {}, "meta": {}, "images": [],
    "text": "Here is your image.", "detail": None, "attempts": 1, "request_id": "gen-1",
    "usage": {"total_tokens": 1300}, "cost_usd": 0.039, "provider": "knox",
    "started_at": "2026-11-22T14:00:00.123Z", "finished_at": "2026-11-22T14:00:08.333Z",
    "latency_s": 8.21, "run": "r1", "aspect_ratio": None, "image_size": None, "seed": None,
    "keep": "all", "maybe_billed": 0, "orphaned": [], "warnings": [], "references": [],
}  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        images(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        lines(Path(folder))


def images(root: Path) -> None:
    """A folder of PNGs, about 1 GB."""
    rng = random.Random(1)
    # Noise of six bits compresses like a picture does: 1024 by 1024 come to about 1.5 MB.
    picture = Image.frombytes("L", (1024, 1024), rng.randbytes(1 << 20)).point(lambda v: v & 0x0F)
    picture = Image.merge("RGB", [picture, picture.rotate(90), picture.rotate(180)])
    drawn = io.BytesIO()
    picture.save(drawn, "PNG")
    content = drawn.getvalue()
    image = {
        "file": "", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        "media_type": "image/png", "width": 1024, "height": 1024,
    }  # fmt: skip
    (root / "images").mkdir()
    (root / ".state").mkdir()
    with (root / "manifest.jsonl").open("w") as manifest:
        for number in range(N_IMAGES):
            file = f"images/{number:06}.png"
            (root / file).write_bytes(content)
            said = ONE | {
                "id": f"{number:020x}",
                "index": number,
                "images": [image | {"file": file}],
            }
            manifest.write(json.dumps(said, separators=(",", ":")) + "\n")
    n_bytes = N_IMAGES * len(content)
    alone(content)
    report(f"{N_IMAGES} images of {len(content) / 1e6:.2f} MB, {n_bytes / 1e9:.2f} GB", root)


def alone(content: bytes) -> None:
    """What one image costs in one thread."""
    start = time.perf_counter()
    for _ in range(50):
        hashlib.sha256(content).hexdigest()
    hashed = time.perf_counter()
    for _ in range(50):
        Image.open(io.BytesIO(content)).load()
    decoded = time.perf_counter()
    print(f"one image: SHA-256 {(hashed - start) * 20:.1f} ms, decoding "
          f"{(decoded - hashed) * 20:.1f} ms")  # fmt: skip


def lines(root: Path) -> None:
    """A long manifest of failures: nothing but lines to look at."""
    (root / ".state").mkdir()
    with (root / "manifest.jsonl").open("w") as manifest:
        for number in range(N_LINES):
            said = ONE | {"id": f"{number:020x}", "index": number, "status": "failed"}
            said["why"] = "refused"
            manifest.write(json.dumps(said, separators=(",", ":")) + "\n")
    report(f"{N_LINES:,} lines, {(root / 'manifest.jsonl').stat().st_size / 1e9:.2f} GB", root)


def report(what: str, root: Path) -> None:
    start = time.monotonic()
    words = ["verify", "--json", str(root)]
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        *_, last = process.stdout
        _, _, usage = os.wait4(process.pid, 0)
    summary = json.loads(last)
    took_s = time.monotonic() - start
    cpu_s = usage.ru_utime + usage.ru_stime
    assert not summary["findings"].keys() - {"job", "metadata"}, summary
    print(
        f"{what}: {took_s:.1f} s, {cpu_s:.1f} s of CPU on {os.cpu_count()} cores,"
        f" peak {usage.ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
