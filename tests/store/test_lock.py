"""One writer per folder: the second is told who the first is; the lock dies with its process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keeping import terms

from pipeline.errors import Locked
from pipeline.store.folder import Folder
from pipeline.store.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOLDER = """
import sys
from pathlib import Path
from keeping import terms
from pipeline.store.folder import Folder

with Folder(Path(sys.argv[1]), terms()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder until it is told a line."""
    ways = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ways},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_run_is_told_who_the_first_is(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    told = rf"another run \(pid {other.pid} on {socket.gethostname()}, since 2.* UTC\).*--wait 60"
    with pytest.raises(Locked, match=told):
        Folder(tmp_path, terms())
    with pytest.raises(Locked):
        Folder(tmp_path, terms(wait_s=0.3))


def test_waiting_ends_when_the_other_lets_go(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    told: list[str] = []

    def let_go(what: str) -> None:
        told.append(what)
        assert other.stdin
        other.stdin.write("\n")
        other.stdin.flush()

    with Folder(tmp_path, terms(wait_s=20, waits=let_go)):
        assert read_status(tmp_path).running_pid == os.getpid()
    (what,) = told  # once, however often it looked
    assert what.startswith(f"waiting up to 20 s for another run (pid {other.pid} on ")
    assert what.endswith(f": it is writing to {tmp_path}")


def test_who_need_not_wait_is_told_nothing(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    told: list[str] = []
    with pytest.raises(Locked):
        Folder(tmp_path, terms(waits=told.append))
    other.kill()
    other.wait()
    with Folder(tmp_path, terms(wait_s=20, waits=told.append)):
        assert told == []


def test_status_names_the_run_and_does_not_get_in_its_way(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    for _ in range(3):
        standing = read_status(tmp_path)
        assert (standing.running_pid, standing.is_stale) == (other.pid, False)


def test_the_lock_dies_with_its_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    standing = read_status(tmp_path)
    assert (standing.running_pid, standing.is_stale) == (None, True)
    Folder(tmp_path, terms()).close()
    assert not read_status(tmp_path).is_stale


def test_a_folder_that_was_refused_is_not_held(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()), pytest.raises(Locked, match=f"pid {os.getpid()}"):
        Folder(tmp_path, terms())
    Folder(tmp_path, terms()).close()
