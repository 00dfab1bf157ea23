"""Killed at every system call that changes the output folder, resumed, and reckoned up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from commands import ROOT, check_whole
from kill_loop import Witness, accounts, charged

from pipeline.core.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from commands import Desk, Serving

CHANGING = (
    "write,pwrite64,fsync,fdatasync,ftruncate,openat,mkdir,mkdirat,"
    "rename,renameat,renameat2,unlink,unlinkat,linkat,fallocate"
)
QUICK = Simulation(latency_s=0, image_size="64x64")
N_TASKS = 3
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_WITHIN_S = 30


class Point(NamedTuple):
    """The ``number``-th time (from 1) that a thread makes this call on the folder."""

    call: str
    number: int


class Sweep:
    """A small job, and the means to kill its run at a chosen point."""

    def __init__(self, desk: Desk, base_url: str, *, is_streamed: bool = False) -> None:
        self._desk = desk
        self._base_url = base_url
        self._saved = desk.folder / "saved"
        self._paths: list[str] = []
        self._before: list[dict[str, str]] = []
        more = f"limits: {{concurrency: {N_TASKS - 1}}}\n"
        desk.job([f"p{n}" for n in range(N_TASKS)], base_url=base_url, more=more)
        desk.provider(base_url, f"stream: {str(is_streamed).lower()}\n")

    def points(self) -> list[Point]:
        """Every point there is in an undisturbed run from where :meth:`restore` begins."""
        self.restore()
        assert self._desk.run("run", "job.yaml").code == 0
        out = self._desk.out
        fixed = [path for path in out.rglob("*") if path.is_dir() or path.suffix != ".png"]
        self._paths = [
            f"--trace-path={path}{end}" for path in (out, *fixed) for end in ("", ".tmp")
        ]
        self.restore()
        log = self._desk.folder / "strace.log"
        assert self._traced(f"--trace={CHANGING}", f"--output={log}") == 0
        return _changing(log.read_text().splitlines())

    def save(self, killed_at: Point) -> None:
        """Let the folder that a kill leaves be where every run begins."""
        n_before = len(charged(self._base_url))
        self.restore()
        assert self.kill_at(killed_at)
        self._before = charged(self._base_url)[n_before:]
        shutil.copytree(self._desk.out, self._saved, symlinks=True)

    def restore(self) -> None:
        """Begin again."""
        shutil.rmtree(self._desk.out, ignore_errors=True)
        if self._saved.exists():
            shutil.copytree(self._saved, self._desk.out, symlinks=True)

    def kill_at(self, point: Point) -> bool:
        """Run, and die before that call is made; False where the run never came to it."""
        code = self._traced(f"--inject={point.call}:signal=KILL:when={point.number}")
        assert code in {0, -9, 137}
        return code != 0

    def check(self, point: Point) -> None:
        """Begin again, be killed, go on to the end, and reckon with the bill."""
        n_before = len(charged(self._base_url))
        self.restore()
        witness = Witness(self._desk.out)
        self.kill_at(point)
        witness.look(self._bill_since(n_before), ())
        resumed = self._desk.run("run", "job.yaml", "--json")
        assert resumed.code == 0, (point, resumed.err)
        bill = self._bill_since(n_before)
        witness.look(bill, ())
        status = json.loads(self._desk.run("status", "out", "--json").out)
        counted = accounts(self._desk.out, status.get("maybe_billed_requests", []), bill)
        told: dict[str, Any] = {"at": point, **witness.figures(), **counted}
        assert not witness.flaws, (witness.flaws, told)
        assert told["made"] == told["lines"] == told["files"] == N_TASKS, json.dumps(told)
        assert told["asked_again_though_acknowledged"] == 0, json.dumps(told)
        assert told["billed_without_record"] <= told["in_flight_at_kills"], json.dumps(told)
        assert told["unlisted"] == told["listed_though_recorded"] == 0, json.dumps(told)
        check_whole(self._desk.out)

    def _bill_since(self, n_before: int) -> list[dict[str, str]]:
        return [*self._before, *charged(self._base_url)[n_before:]]

    def _traced(self, *words: str) -> int:
        command = [sys.executable, "-m", "pipeline", "run", "job.yaml", "--quiet"]
        return subprocess.run(
            ["strace", "--follow-forks", "--quiet=all", *self._paths, *words, *command],
            cwd=self._desk.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_WITHIN_S,
            check=False,
        ).returncode


def _changing(log: Iterable[str]) -> list[Point]:
    """Numbered as strace counts, a thread for itself; an ``openat`` counts where it may create."""
    seen: Counter[tuple[str, str]] = Counter()
    points: dict[Point, None] = {}
    for line in log:
        if match := _CALL.match(line):
            thread, call, arguments = match.groups()
            seen[thread, call] += 1
            if call != "openat" or "O_CREAT" in arguments:
                points[Point(call, seen[thread, call])] = None
    return list(points)


@pytest.fixture(autouse=True)
def _strace(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("NOT TESTED: a kill at every system call needs strace")
    tried = subprocess.run(
        ["strace", f"--output={tmp_path / 'tried'}", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"NOT TESTED: strace may not trace here: {tried.stderr.strip()}")


def spread(points: list[Point], number: int) -> list[Point]:
    """As many, from the first to the last."""
    return [points[n * (len(points) - 1) // (number - 1)] for n in range(number)]


def left_by_a_kill(sweep: Sweep) -> None:
    """Begin from a folder whose run died with an image named, but in no line."""
    sweep.save([point for point in sweep.points() if point.call == "renameat"][-1])


def test_a_kill_at_a_few_system_calls_loses_nothing(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url)
        for point in spread(sweep.points(), 5):
            sweep.check(point)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
def test_a_kill_at_every_system_call_loses_nothing(
    desk: Desk, provider: Serving, *, is_streamed: bool
) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url, is_streamed=is_streamed)
        points = sweep.points()
        assert len(points) > 20
        for point in points:
            sweep.check(point)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_kill_at_every_system_call_of_a_recovery_loses_nothing(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url)
        left_by_a_kill(sweep)
        for point in sweep.points():
            sweep.check(point)
