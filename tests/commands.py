"""The command as a person has it: a process of its own, real files, real signals."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from leaks import leaks_in

from pipeline.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pytest

    from pipeline.core.simulation import Simulation
    from pipeline.provider.simulator.server import Listening

Serving: TypeAlias = "Callable[[Simulation], AbstractContextManager[Listening]]"

ROOT = Path(__file__).parents[1]
_NOT_INHERITED = ("IMAGEBATCH_", "NO_COLOR", "FORCE_COLOR", "KNOXCHAT", "OPENROUTER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """Whatever a command says, it tells no key."""
        assert leaks_in(self.out + self.err) == []

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

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.out = folder / "out"
        self._patch = patch
        self._capture = capture
        patch.chdir(folder)
        for name in os.environ:
            if name.startswith(_NOT_INHERITED):
                patch.delenv(name)
        patch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))

    def environ(self, **variables: str) -> None:
        """Export these."""
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def provider(self, base_url: str, more: str = "") -> None:
        """``there.yaml``: a profile of a server that is not simulated, as far as we know."""
        self.write("there.yaml", f"base_url: {base_url}\nmodel: simulator/painter\n{more}")

    def job(self, prompts: str | list[str], *, base_url: str | None = None, more: str = "") -> None:
        """``job.yaml`` with these prompts; ``base_url`` is asked, else the embedded simulator."""
        listed = prompts if isinstance(prompts, str) else json.dumps(prompts)
        if base_url:
            self.provider(base_url)
        provider = "provider: ./there.yaml\n" if base_url else ""
        self.write("job.yaml", f"{provider}prompts: {listed}\noutput: {{dir: out}}\n{more}")

    def run(self, *words: str, stdin: str = "") -> Ended:
        """A command until its end, in this process."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capture.readouterr()
        code = main(words)
        told = self._capture.readouterr()
        return Ended(code=code, out=told.out, err=told.err)

    @contextmanager
    def started(self, *words: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """A command in a process of its own, killed at the end if it still goes on."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            **{**streams, "stderr": subprocess.PIPE, **how},
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def run_apart(self, *words: str, **how: Any) -> Ended:
        """A command until its end, in a process of its own."""
        with self.started(*words, **how) as process:
            return ended(process)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The manifest of ``out``, every line."""
        return lines_of(self.out)


def ended(process: subprocess.Popen[str], *, within_s: float = 30) -> Ended:
    """Wait for a command's end; whatever it says, it is no traceback."""
    out, err = process.communicate(timeout=within_s)
    assert "Traceback" not in (err or ""), err
    return Ended(code=process.returncode, out=out or "", err=err or "")


def next_event(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """The next event of that name on stdout."""
    assert process.stdout
    for line in iter(process.stdout.readline, ""):
        told: dict[str, Any] = json.loads(line)
        if told["event"] == name:
            return told
    raise AssertionError(f"no event {name!r}")


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that no pipe tells of."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The manifest of an output folder."""
    return [json.loads(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]


def newest(out: Path) -> dict[str, dict[str, Any]]:
    """What holds of each id."""
    return {line["id"]: line for line in lines_of(out)}


def check_whole(out: Path, *, n_waiting: int = 0) -> None:
    """The manifest and the files agree, and nothing unnamed lies about.

    ``n_waiting``: images that are parts still, for want of room for their lines.
    """
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
    assert len(list((out / ".state/parts").iterdir())) == n_waiting
    assert {p.name for p in out.iterdir()} <= {
        ".state",
        "images",
        "job.yaml",
        "manifest.jsonl",
        "metadata.jsonl",
    }
