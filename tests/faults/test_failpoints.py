"""Killed at every call of the protocol, and again at every call of the recovery that follows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from exploring import ram, summed_up
from promises import Known, broken_promises
from story import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
N_SHARES = 4


@dataclass(frozen=True, slots=True)
class Reaper:
    """Has the story told by processes that do not live to its end."""

    victim: subprocess.Popen[bytes]
    room: Path

    @property
    def root(self) -> Path:
        return self.room / "out"

    def begin(self) -> None:
        """A new folder; nobody has said anything."""
        shutil.rmtree(self.room, ignore_errors=True)
        self.root.mkdir(parents=True)

    def told(self, *, at: int = 0, is_before: bool = False) -> bool:
        """Whether the story was told to its end, for which it must not be killed ``at`` a call."""
        return self._lived("tell", at, is_before=is_before)

    def opened(self, *, at: int = 0, is_before: bool = False) -> bool:
        """Whether the folder was opened and closed."""
        return self._lived("open", at, is_before=is_before)

    @property
    def said(self) -> list[Mark]:
        """What was said before the end."""
        diary = self.room / "diary"
        lines = diary.read_bytes().splitlines() if diary.exists() else ()
        return [Mark(**orjson.loads(line)) for line in lines]

    @property
    def n_calls(self) -> int:
        """How many calls the last that lived made."""
        return int((self.room / "n_calls").read_text())

    def _lived(self, what: str, at: int, *, is_before: bool) -> bool:
        asked = {"root": str(self.root), "diary": str(self.room / "diary"), "what": what}
        assert self.victim.stdin
        assert self.victim.stdout
        self.victim.stdin.write(orjson.dumps(asked | {"at": at, "is_before": is_before}) + b"\n")
        self.victim.stdin.flush()
        status = int(self.victim.stdout.readline())
        assert status in {0, signal.SIGKILL}
        return status == 0


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    with ram() as room, _victim() as victim:
        reaper = Reaper(victim, room / "room")
        reaper.begin()
        yield reaper


@contextmanager
def _victim() -> Iterator[subprocess.Popen[bytes]]:
    ways = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    with subprocess.Popen(
        [sys.executable, str(HERE / "victim.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ways},
    ) as victim:
        try:
            yield victim
        finally:
            victim.kill()


def test_a_kill_at_some_of_the_calls(reaper: Reaper) -> None:
    whole, n_calls = _whole(reaper)
    assert n_calls > 300
    assert not summed_up(_killed(reaper, whole, range(1, n_calls + 1, 17)))


@pytest.mark.long
@pytest.mark.parametrize("share", range(N_SHARES))
def test_a_kill_at_every_call(reaper: Reaper, share: int) -> None:
    whole, n_calls = _whole(reaper)
    assert not summed_up(_killed(reaper, whole, range(1 + share, n_calls + 1, N_SHARES)))


def test_a_kill_at_some_calls_and_again_at_some_of_the_recovery(reaper: Reaper) -> None:
    whole, n_calls = _whole(reaper)
    assert not summed_up(_killed_twice(reaper, whole, range(130, n_calls, 97), step=9))


@pytest.mark.long
@pytest.mark.parametrize("share", range(N_SHARES))
def test_a_kill_at_every_few_calls_and_again_at_every_one_of_the_recovery(
    reaper: Reaper, share: int
) -> None:
    whole, n_calls = _whole(reaper)
    at = range(3 + 9 * share, n_calls, 9 * N_SHARES)
    assert not summed_up(_killed_twice(reaper, whole, at, step=1))


def _whole(reaper: Reaper) -> tuple[list[Mark], int]:
    """All that is said where nobody is killed, and with how many calls."""
    assert reaper.told()
    return reaper.said, reaper.n_calls


def _killed(reaper: Reaper, whole: Sequence[Mark], calls: range) -> Iterator[str]:
    for at in calls:
        for is_before in (True, False):
            reaper.begin()
            assert not reaper.told(at=at, is_before=is_before)
            for broken in broken_promises(reaper.root, _known(reaper, whole)):
                yield f"killed {'before' if is_before else 'after'} call {at}: {broken}"


def _killed_twice(
    reaper: Reaper, whole: Sequence[Mark], calls: range, *, step: int
) -> Iterator[str]:
    for at in calls:
        reaper.begin()
        assert not reaper.told(at=at)
        killed = reaper.room.with_name(f"killed-{at}")
        reaper.room.rename(killed)
        for again in range(1, 1_000, step):
            shutil.copytree(killed, reaper.room)
            has_lived = reaper.opened(at=again)
            for broken in broken_promises(reaper.root, _known(reaper, whole), goes_on=False):
                yield f"killed after call {at}, again after call {again}: {broken}"
            shutil.rmtree(reaper.room)
            if has_lived:
                break
        shutil.rmtree(killed)


def _known(reaper: Reaper, whole: Sequence[Mark]) -> Known:
    said = reaper.said
    coming = tuple(whole[len(said) :][:1])
    return Known(said=said, coming=coming, safe=said, is_killed=True, is_ordered=True)
