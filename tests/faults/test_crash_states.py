"""Power cut or kill at any instant of a recorded run: nothing acknowledged is lost."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from crash_states import kills, lay_out, states
from exploring import interrupted, ram, recorded, summed_up, violations
from promises import JOURNAL, MANIFEST, broken_by_going_on, broken_promises

from pipeline.store.durable import Durability
from pipeline.store.record import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from promises import Known

N_SHARES = 4


def test_a_sample_of_the_states_that_a_power_cut_or_a_kill_may_leave() -> None:
    found = [*states(recorded(), is_thorough=False)]
    assert len(found) > 3_000
    assert not summed_up(violations(found[::19]))


@pytest.mark.long
@pytest.mark.parametrize("share", range(N_SHARES))
def test_every_state_that_a_power_cut_or_a_kill_may_leave(share: int) -> None:
    found = [*states(recorded())]
    sys.stdout.write(f"{len(found)} states\n")
    assert not summed_up(violations(found[share::N_SHARES]))


def test_without_syncs_a_kill_still_loses_nothing() -> None:
    recorder = recorded(durability=Durability.PROCESS)
    assert not summed_up(violations([*kills(recorder)][::8]))


@pytest.mark.long
def test_without_syncs_no_kill_loses_anything() -> None:
    recorder = recorded(durability=Durability.PROCESS)
    assert not summed_up(violations(kills(recorder)))


def test_some_of_the_states_that_recovery_itself_may_leave_when_it_is_cut_off() -> None:
    found = [*states(recorded(), is_thorough=False)]
    assert not summed_up(violations([*interrupted(found[1_500::700])][::17], goes_on=False))


@pytest.mark.long
@pytest.mark.parametrize("share", range(N_SHARES))
def test_many_of_the_states_that_recovery_itself_may_leave_when_it_is_cut_off(share: int) -> None:
    found = [*states(recorded())][share * 90 :: N_SHARES * 90]
    assert not summed_up(violations(interrupted(found), goes_on=False))


@pytest.mark.parametrize("log", [MANIFEST, JOURNAL])
def test_a_log_cut_within_its_last_lines_after_a_kill(log: str) -> None:
    assert not summed_up(_cut(log, step=61, is_killed=True))


@pytest.mark.parametrize("log", [MANIFEST, JOURNAL])
def test_a_log_cut_within_its_last_lines_after_a_clean_end(log: str) -> None:
    assert not summed_up(_cut(log, step=61, is_killed=False))


@pytest.mark.long
@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("log", [MANIFEST, JOURNAL])
def test_a_log_cut_at_every_byte_of_its_last_three_lines(log: str, *, is_killed: bool) -> None:
    assert not summed_up(_cut(log, step=1, is_killed=is_killed))


def _cut(log: str, *, step: int, is_killed: bool) -> Iterator[str]:
    killed = [*kills(recorded())]
    n_kept = len(killed[-1].known.kept)
    all_kept = next(one for one in killed if len(one.known.kept) == n_kept)
    state = all_kept if is_killed else killed[-1]
    with ram() as room:
        whole = room / "whole"
        whole.mkdir()
        lay_out(state.tree, whole)
        content = (whole / log).read_bytes()
        start = len(content) - sum(map(len, content.splitlines(keepends=True)[-3:]))
        for n_bytes in range(start, len(content), step):
            root = room / "cut"
            shutil.copytree(whole, root)
            (root / log).write_bytes(content[:n_bytes])
            for broken in _broken_by_a_cut(root, log, state.known, is_killed=is_killed):
                yield f"{log} cut to {n_bytes} bytes: {broken}"
            shutil.rmtree(root)


def _broken_by_a_cut(root: Path, log: str, known: Known, *, is_killed: bool) -> Iterator[str]:
    if log == JOURNAL:  # what it lost cannot be listed
        yield from broken_promises(root, replace(known, safe=(), is_killed=False))
    elif is_killed:  # the journal still has all results
        yield from broken_promises(root, known)
    else:  # the journal was written anew, without them: what lost its line is made again
        left = (root / log).read_bytes().split(b"\n")
        said = [mark for mark in known.said if mark.record and line_of(mark.record)[:-1] in left]
        yield from broken_by_going_on(root, replace(known, said=said))
