"""The command as a person has it: a process of its own, real files, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
KEY = "sk-made-up-4f1d0c2b9a8e7765"
LIVES_ON = ("IMAGEBATCH_", "NO_COLOR", "FORCE_COLOR", "KNOXCHAT", "OPENROUTER", "PYTHONDONT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Every line of stdout as the JSON object it must be."""
        objects = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(one, dict) for one in objects)
        return objects

    @property
    def summary(self) -> dict[str, Any]:
        """The last object, which tells how the run ended."""
        last = self.objects[-1]
        assert last["event"] == "summary"
        assert last["exit_code"] == self.code
        return last


class Desk:
    """A person's folder and shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def job(self, prompts: str | list[str], *, base_url: str | None = None, more: str = "") -> None:
        """``job.yaml`` with these prompts; ``base_url`` is asked, else the embedded simulator."""
        listed = prompts if isinstance(prompts, str) else json.dumps(prompts)
        provider = ""
        if base_url:
            provider = "provider: ./there.yaml\n"
            self.write("there.yaml", f"base_url: {base_url}\nmodel: painter\n")
        self.write("job.yaml", f"{provider}prompts: {listed}\noutput: {{dir: out}}\n{more}")

    @asynccontextmanager
    async def started(self, *words: str, stdin: int | None = None) -> AsyncIterator[Process]:
        """A command that goes on; it is killed at the end if it still does."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(LIVES_ON)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pipeline",
            *words,
            cwd=self.folder,
            env=inherited
            | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": _compiled()}
            | self.environ,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def run(self, *words: str, stdin: str | None = None) -> Ended:
        """A command until its end; whatever it says, it is no traceback."""
        how = None if stdin is None else asyncio.subprocess.PIPE
        async with self.started(*words, stdin=how) as process:
            return await ended(process, stdin)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The manifest of ``out``, every line."""
        return lines_of(self.folder / "out")


async def ended(process: Process, stdin: str | None = None, *, within_s: float = 60) -> Ended:
    """Wait for a command's end."""
    async with asyncio.timeout(within_s):
        out, err = await process.communicate(None if stdin is None else stdin.encode())
    assert process.returncode is not None
    told = Ended(code=process.returncode, out=out.decode(), err=err.decode())
    assert "Traceback" not in told.err, told.err
    return told


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The manifest of an output folder."""
    return [json.loads(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]


def newest(out: Path) -> dict[str, dict[str, Any]]:
    """What holds of each id."""
    return {line["id"]: line for line in lines_of(out)}


def check_whole(out: Path) -> None:
    """The manifest and the files agree, and nothing unnamed lies about."""
    named: Counter[str] = Counter()
    for line in newest(out).values():
        for image in line["images"]:
            content = (out / image["file"]).read_bytes()
            assert sha256(content).hexdigest() == image["sha256"]
            assert len(content) == image["bytes"]
            named[image["file"]] += 1
    there = {str(p.relative_to(out)) for p in (out / "images").rglob("*") if p.is_file()}
    assert there == set(named)
    assert set(named.values()) <= {1}
    assert not list((out / ".state/parts").iterdir())
    assert {p.name for p in out.iterdir()} <= {
        ".state",
        "images",
        "job.yaml",
        "manifest.jsonl",
        "metadata.jsonl",
    }


def _compiled() -> str:
    """Where bytecode is kept between commands: they start in half the time."""
    return str(Path(tempfile.gettempdir()) / f"imagebatch-bytecode-{os.getuid()}")
