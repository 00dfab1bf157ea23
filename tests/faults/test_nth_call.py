"""A call fails, any call, once or from then on: the run stops, and nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from crash_states import lay_out, least
from exploring import ram, summed_up
from obstacles import Life, Obstacle, live
from promises import Known, broken_promises
from story import AFTER

from pipeline.errors import DiskTrouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.store.durable import Calls

KINDS = ["open", "write", "rename", "mkdir", "sync", "sync_content", "close", "unlink"]
ROOM_CAN_BE_MADE = ["open", "write", "rename", "mkdir"]
MANY = 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_some_calls_that_fail(kind: str) -> None:
    n_calls = _n_calls(kind)
    step = max(3, n_calls // 5)
    errors = {n: errno.EIO if n % 2 else errno.ENOSPC for n in range(1, n_calls + 1, step)}
    cases = (Obstacle(kind=kind, nth=n, error=e, lasts=n % 4 < 2) for n, e in errors.items())
    assert not summed_up(_flaws(cases))


@pytest.mark.long
@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_that_fails(kind: str, error: str, *, lasts: bool) -> None:
    code = getattr(errno, error)
    cases = (
        Obstacle(kind=kind, nth=n, error=code, lasts=lasts) for n in range(1, _n_calls(kind) + 1)
    )
    assert not summed_up(_flaws(cases))


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_a_quota_that_is_used_up(kind: str) -> None:
    cases = (Obstacle(kind=kind, nth=n, error=errno.EDQUOT, lasts=True) for n in range(9, 40, 11))
    assert not summed_up(_flaws(cases))


def test_a_write_that_fails_halfway_where_the_log_cannot_be_cut_either() -> None:
    """Nobody knows how the log ends: nothing is appended to it any more, and nothing is lost."""
    cases = [_Torn(nth=n) for n in range(5, 60, 5)]
    assert not summed_up(_flaws(cases))
    assert all(case.is_met for case in cases)


@pytest.mark.parametrize("kind", ROOM_CAN_BE_MADE)
def test_a_disk_that_is_full_once_where_room_can_be_made(kind: str) -> None:
    assert not summed_up(_flaws_with_room(kind, step=9))


@pytest.mark.long
@pytest.mark.parametrize("kind", ROOM_CAN_BE_MADE)
def test_a_disk_that_is_full_once_at_any_call_where_room_can_be_made(kind: str) -> None:
    assert not summed_up(_flaws_with_room(kind, step=1))


class _Torn(Obstacle):
    """A write leaves half of its bytes and then fails; no file can be cut from then on."""

    def __init__(self, *, nth: int) -> None:
        super().__init__(kind="write", nth=nth)

    def before(self, calls: Calls) -> Calls:
        cannot = Obstacle(kind="truncate", nth=1, error=errno.EIO, lasts=True)
        with_half = replace(calls, write=lambda fd, content: self._half(calls, fd, content))
        return cannot.before(with_half)

    def _half(self, calls: Calls, fd: int, content: bytes | memoryview) -> int:
        with self.counting:
            self.n_calls += 1
        if self.n_calls == self.nth:
            self.is_met = True
            return calls.write(fd, content[: len(content) // 2])
        if self.n_calls == self.nth + 1:
            raise OSError(self.error, os.strerror(self.error))
        return calls.write(fd, content)


def _n_calls(kind: str) -> int:
    """How many a run makes of them, as far as nothing is in its way."""
    with ram() as root:
        never = Obstacle(kind=kind, nth=MANY)
        assert live(root, never).stop is None
        return never.n_calls


def _flaws(cases: Iterable[Obstacle]) -> Iterator[str]:
    with ram() as room:
        for obstacle in cases:
            root = room / "out"
            root.mkdir()
            for flaw in _flaws_of(obstacle, root, room / "cut"):
                yield f"{errno.errorcode[obstacle.error]} at {obstacle.kind} {obstacle.nth}: {flaw}"
            shutil.rmtree(root)


def _flaws_of(obstacle: Obstacle, root: Path, cut: Path) -> Iterator[str]:
    life = live(root, obstacle)
    n_kept = len(_known(life).kept)
    if life.stop is None and n_kept < len(AFTER):
        yield f"only {n_kept} are kept, and nothing is told"
    if not isinstance(life.stop, DiskTrouble | None):
        yield f"it ended with {life.stop!r}"
    # If the power went now: what was acknowledged was synced before.
    cut.mkdir()
    lay_out(least(life.recorder), cut)
    lost = (flaw for flaw in broken_promises(cut, _known(life, is_killed=False), goes_on=False))
    yield from (f"after a power cut: {flaw}" for flaw in lost)
    shutil.rmtree(cut)
    # And if the obstacle goes away: all is made whole, nothing acknowledged is bought again.
    yield from broken_promises(root, _known(life))


def _known(life: Life, *, is_killed: bool = True) -> Known:
    coming = tuple(life.coming)
    return Known(said=life.said, coming=coming, safe=(), is_killed=is_killed, is_ordered=is_killed)


def _flaws_with_room(kind: str, *, step: int) -> Iterator[str]:
    for nth in range(1, MANY, step):
        with ram() as root:
            obstacle = Obstacle(kind=kind, nth=nth)
            life = live(root, obstacle, is_braced=True)
            if not obstacle.is_met:
                return
            if life.had_room_made and life.stop:
                yield f"{kind} {nth}: {life.stop}"
            if not life.stop and len(_known(life).kept) < len(AFTER):
                yield f"{kind} {nth}: not all is kept"
