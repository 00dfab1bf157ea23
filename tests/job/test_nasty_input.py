"""The nastiest jobs, each in a process of its own: soon refused, at little cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from commands import ROOT

from pipeline.core.simulation import Simulation
from pipeline.provider.simulator.server import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.provider.simulator.server import Listening

MOST_S, MOST_BYTES = 10, 300 * 1000**2
KEY = "sk-nasty-0123456789abcdef"
# Between us and the command: what it took is known of this one's children, and of nobody else's.
APART = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "pipeline", *sys.argv[1:]], capture_output=True)
took = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "code": done.returncode, "out": done.stdout.decode(), "err": done.stderr.decode(),
    "cpu_s": took.ru_utime + took.ru_stime, "bytes": took.ru_maxrss * 1024,
}))
"""
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 60))
STRANGER = "{base_url: 'https://stranger.invalid/v1', model: m, api_key_env: SECRET}"
ESCAPES = """
output: {path: "../../{{id}}.png"}
references: [../../etc/passwd, "/dev/zero", "~/.ssh/id_rsa"]
name: ../../outside
"""
ENVIRONMENT = """
prompts: ["${SECRET} {{env.SECRET}}"]
template: "{{env.SECRET}} {{$SECRET}} {{prompt.__class__}}"
"""
UNKNOWN = "".join(f"k{n}: 1\n" for n in range(15_000))
NASTY = {
    "ten thousand bad rows": (
        "prompts: {file: p.jsonl}\n",
        b'{"prompt": 3, "id": [], "x": "\\ud800"}\n' * 10_000,
        "10000 faults, the first 20 shown",
    ),
    "a bomb of aliases": (f"a0: &a0 [x]\n{BOMB}prompts: *a59\n", b"", "aliases repeat"),
    "nesting": ("prompts: " + "[" * 1_000_000, b"", "64 levels"),
    "a row that nests": ("prompts: {file: p.jsonl}\n", b"[" * 4_000_000, "64 levels"),
    "keys that nobody knows": (f"prompts: [a]\n{UNKNOWN}", b"", "15000 faults"),
    "ways out": (f"prompts: [a]{ESCAPES}", b"", "stays inside the output folder"),
    "the environment": (ENVIRONMENT, b"", "unknown name `{{env.SECRET}}`"),
    "a stranger's host": (f"prompts: [a]\nprovider: {STRANGER}\n", b"", "for this machine only"),
}


@pytest.fixture(scope="module")
def there() -> Iterator[Listening]:
    with in_a_thread(lambda: listening(Simulation(latency_s=0))) as server:
        yield server


@pytest.mark.parametrize("name", NASTY)
def test_the_nastiest_are_refused_soon_and_without_a_trace(
    tmp_path: Path, there: Listening, name: str
) -> None:
    text, rows, told = NASTY[name]
    home = tmp_path / "home"
    home.mkdir()
    profile = f"base_url: {there.base_url}\nmodel: m\napi_key_env: SECRET\n"
    (home / "there.yaml").write_text(profile)
    (home / "job.yaml").write_text(text)
    (home / "p.jsonl").write_bytes(rows)
    before = sorted(tmp_path.rglob("*"))
    words = ["run", "job.yaml"]
    words += [] if "provider:" in text else ["--provider", "there.yaml"]
    done = subprocess.run(
        [sys.executable, "-c", APART, *words],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SECRET": KEY, "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    took = json.loads(done.stdout)
    assert took["code"] == (78 if "stranger" in name else 65), took["err"]
    assert told in took["err"]
    assert "nothing was sent, nothing was written" in took["err"]
    assert "Traceback" not in took["err"]
    assert KEY not in took["err"] + took["out"]
    assert len(took["err"]) < 20_000
    assert took["cpu_s"] < MOST_S
    assert took["bytes"] < MOST_BYTES
    assert there.bill()["requests"] == 0
    assert sorted(tmp_path.rglob("*")) == before
