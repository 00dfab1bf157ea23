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
from kill_loop import Witness, accounts, charged, finished_in

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
_OPENED = re.compile(r"\d<(/[^>]*)>")
_RANDOM_NAME = re.compile(r"\.[0-9a-f]{8}\.tmp$")
_WITHIN_S = 30


class Point(NamedTuple):
    """The ``number``-th time (from 1) that a thread makes this call on what lies at ``path``."""

    path: str
    call: str
    number: int


class Sweep:
    """A small job, and the means to kill its run at a chosen point."""

    def __init__(self, desk: Desk, base_url: str, *, is_streamed: bool = False) -> None:
        self._desk = desk
        self._base_url = base_url
        self._saved = desk.folder / "saved"
        self._before: list[dict[str, str]] = []
        more = f"limits: {{concurrency: {N_TASKS - 1}}}\n"
        desk.job([f"p{n}" for n in range(N_TASKS)], base_url=base_url, more=more)
        desk.provider(base_url, f"stream: {str(is_streamed).lower()}\n")

    def points(self) -> list[Point]:
        """Every point there is in an undisturbed run from where :meth:`restore` begins."""
        self.restore()
        log = self._desk.folder / "strace.log"
        words = (f"--trace={CHANGING}", "--decode-fds=path", f"--output={log}")
        assert self._traced(*words) == 0
        return _changing(log.read_text().splitlines(), below=str(self._desk.out))

    def save(self, killed_at: Point) -> None:
        """Let the folder that a kill leaves be where every run begins."""
        n_before = len(charged(self._base_url))
        self.restore()
        assert self.kill_at(killed_at)
        assert finished_in(self._desk.out)
        self._before = charged(self._base_url)[n_before:]
        shutil.copytree(self._desk.out, self._saved, symlinks=True)

    def restore(self) -> None:
        """Begin again."""
        shutil.rmtree(self._desk.out, ignore_errors=True)
        if self._saved.exists():
            shutil.copytree(self._saved, self._desk.out, symlinks=True)

    def kill_at(self, point: Point) -> bool:
        """Run, and die before that call is made; False where the run never came to it."""
        when = f"--inject={point.call}:signal=KILL:when={point.number}"
        code = self._traced(f"--trace-path={point.path}", when)
        assert code in {0, -9, 137}
        return code != 0

    def check(self, point: Point) -> bool:
        """Begin again, be killed, go on to the end, and reckon with the bill.

        Returns whether the run came to the point: threads do not always meet in the same order.
        """
        n_before = len(charged(self._base_url))
        self.restore()
        witness = Witness(self._desk.out)
        was_killed = self.kill_at(point)
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
        assert told["finished_but_bought_again"] == 0, json.dumps(told)
        assert told["billed_without_record"] <= told["in_flight_at_kills"], json.dumps(told)
        assert told["unlisted"] == told["listed_though_recorded"] == 0, json.dumps(told)
        check_whole(self._desk.out)
        return was_killed

    def _bill_since(self, n_before: int) -> list[dict[str, str]]:
        return [*self._before, *charged(self._base_url)[n_before:]]

    def _traced(self, *words: str) -> int:
        command = [sys.executable, "-m", "pipeline", "run", "job.yaml", "--quiet"]
        return subprocess.run(
            ["strace", "--follow-forks", "--quiet=all", *words, *command],
            cwd=self._desk.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_WITHIN_S,
            check=False,
        ).returncode


def _changing(log: Iterable[str], *, below: str) -> list[Point]:
    """A point for every line that may change something below a folder.

    strace counts for each thread by itself, so whichever thread comes to a number first is met
    there. A line needs a path by which it alone is met: files under random names have none.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    met: set[Point] = set()
    points = []
    for line in log:
        if match := _CALL.match(line):
            thread, call, rest = match.groups()
            arguments = rest.partition(") = ")[0]
            paths = dict.fromkeys(_OPENED.findall(arguments))
            seen.update((thread, path, call) for path in paths)
            at = [Point(path, call, seen[thread, path, call]) for path in paths]
            own = [one for one in at if one not in met and _is_found_again(one.path, below)]
            if own and (call != "openat" or "O_CREAT" in arguments):
                points.append(own[-1])
            met.update(at)
    return points


def _is_found_again(path: str, below: str) -> bool:
    return path.startswith(below) and not _RANDOM_NAME.search(path)


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


def left_by_a_kill(sweep: Sweep) -> None:
    """Begin from a folder whose run died with an image complete, but without its name."""
    names = [one for one in sweep.points() if one.call == "renameat" and "/images" in one.path]
    sweep.save(names[-1])


def test_a_kill_between_an_images_result_and_its_line_loses_nothing(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url)
        points = sweep.points()
        for name, call in (
            ("journal.jsonl", "fdatasync"),
            ("images/000", "renameat"),
            ("images/000", "fsync"),
            ("manifest.jsonl", "write"),
            ("manifest.jsonl", "fdatasync"),
        ):
            point = next(one for one in points if one.path.endswith(name) and one.call == call)
            assert sweep.check(point), point


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
def test_a_kill_at_every_system_call_loses_nothing(
    desk: Desk, provider: Serving, *, is_streamed: bool
) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url, is_streamed=is_streamed)
        points = sweep.points()
        n_killed = sum(map(sweep.check, points))
    assert n_killed > 0.8 * len(points) > 40


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_kill_at_every_system_call_of_a_recovery_loses_nothing(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        sweep = Sweep(desk, there.base_url)
        left_by_a_kill(sweep)
        points = sweep.points()
        n_killed = sum(map(sweep.check, points))
    assert n_killed > 0.8 * len(points) > 30
