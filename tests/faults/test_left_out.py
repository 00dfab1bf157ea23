"""Each step of the protocol is needed: leave one out, and the states show what it was for."""

from __future__ import annotations

import random
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from crash_states import kills, states
from exploring import interrupted, recorded, violations
from promises import JOURNAL, MANIFEST
from story import brief, first

from pipeline.store import commit, log, recovery
from pipeline.store.attempts import Attempts
from pipeline.store.durable import ORPHANS, PARTS, Disk
from pipeline.store.journal import Journal
from pipeline.store.log import Log
from pipeline.store.publication import published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from crash_states import State
    from recorder import Recorder

    from pipeline.store.attempts import Attempt, Result

Patch = pytest.MonkeyPatch


def _is_part(path: str) -> bool:
    return path.startswith(f"{PARTS}/")


def _is_directory_of_images(path: str) -> bool:
    return path.startswith("images")


def _is_journal(path: str) -> bool:
    return path.startswith(JOURNAL)


def _is_manifest(path: str) -> bool:
    return path == MANIFEST


@pytest.mark.parametrize(
    ("swallows", "what"),
    [
        (_is_part, "is lost|is not what|not there"),
        (_is_directory_of_images, "not there"),
        (_is_journal, "no line names it|is not listed"),
        (_is_manifest, "is lost"),
    ],
    ids=["fsync(part)", "fsync(directory)", "sync(journal)", "sync(manifest)"],
)
def test_a_sync_that_is_left_out_is_caught(swallows: Callable[[str], bool], what: str) -> None:
    _shows(what, _shuffled(recorded(acts=[brief], swallows=swallows)))


def test_without_any_left_out_nothing_is_broken() -> None:
    assert not [*violations(_shuffled(recorded(acts=[brief]))[:60], goes_on=False)]


def test_a_new_directory_whose_name_is_not_synced_is_caught(monkeypatch: Patch) -> None:
    def made_only(disk: Disk, at: int, way: tuple[str, ...]) -> int:
        with Patch.context() as patch:
            patch.setattr(Disk, "_sync_directory", lambda disk, fd: None)
            return make(disk, at, way)

    make = Disk._make
    monkeypatch.setattr(Disk, "_make", made_only)
    _shows("names images/000/000000.png, which is not there", _shuffled(recorded(acts=[brief])))


def test_a_line_before_its_image_has_its_name_is_caught(monkeypatch: Patch) -> None:
    @contextmanager
    def line_first(disk: Disk, results: Sequence[Result]) -> Iterator[None]:
        yield
        with published(disk, results):
            pass

    monkeypatch.setattr(commit, "published", line_first)
    _shows("names images/000/.*, which is not there", _shuffled(recorded(acts=[brief])))


def test_a_result_after_its_image_has_its_name_is_caught(monkeypatch: Patch) -> None:
    waiting: list[Callable[[], None]] = []

    @contextmanager
    def result_last(disk: Disk, results: Sequence[Result]) -> Iterator[None]:
        with published(disk, results):
            while waiting:
                waiting.pop()()
            yield

    def later(self: Journal, results: Sequence[Result]) -> None:
        waiting.append(lambda: note(self, results))

    note = Journal.results
    monkeypatch.setattr(Journal, "results", later)
    monkeypatch.setattr(commit, "published", result_last)
    _shows("lies there, and no line names it", kills(recorded(acts=[brief])))


def test_an_intent_that_is_not_written_is_caught(monkeypatch: Patch) -> None:
    def keep_to_oneself(self: Journal, attempt: Attempt) -> None:
        self.attempts.send(attempt)

    monkeypatch.setattr(Journal, "send", keep_to_oneself)
    monkeypatch.setattr(Journal, "heard", lambda self, attempt, request_id: None)
    _shows("was sent, has no line, and is not listed", kills(recorded(acts=[brief])))


def test_an_id_that_is_not_written_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Journal, "heard", lambda self, attempt, request_id: None)
    _shows("is listed as None, and was heard as", kills(recorded(acts=[brief])))


def test_an_ending_that_is_not_written_is_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Journal, "back", lambda self, attempt, **how: None)
    _shows("are listed, though they were answered", kills(recorded(acts=[first])))


def test_no_recovery_is_caught(monkeypatch: Patch) -> None:
    recorder = recorded(acts=[brief])
    monkeypatch.setattr(recovery, "recover", lambda disk, manifest, ledger: (Attempts(), 0))
    _shows("lies there, and no line names it|is to be bought again", kills(recorder))


def test_a_torn_end_that_is_cut_without_a_copy_is_caught(monkeypatch: Patch) -> None:
    recorder = recorded(acts=[brief])
    for module in (log, recovery):
        monkeypatch.setattr(module, "set_aside", lambda disk, name, torn: None)
    _shows("the torn end was thrown away", _shuffled(recorder))


def test_a_torn_end_that_is_cut_before_it_is_copied_is_caught(monkeypatch: Patch) -> None:
    def cut_first(self: Log, *, sound: int) -> None:
        if sound < self.size:
            torn = [*log.pieces(self.fd, sound)]
            self._disk.truncate(self.fd, sound)
            log.set_aside(self._disk, self._name, torn)
            self.size = sound
        anchor(self, sound=sound)

    recorder = recorded(acts=[brief])
    torn = [state for state in _shuffled(recorder) if _is_torn(state)]
    anchor = Log.anchor
    monkeypatch.setattr(Log, "anchor", cut_first)
    _shows("the torn end was thrown away", interrupted(torn[:3]))


def test_a_displaced_image_that_is_not_moved_is_caught(monkeypatch: Patch) -> None:
    """The new image takes its name, and the old one, though paid for, is gone."""
    rename = Disk.rename
    monkeypatch.setattr(
        Disk,
        "rename",
        lambda disk, name, to: None if ORPHANS in to else rename(disk, name, to),
    )
    _shows("names .state/orphans/.*, which is not there", [*kills(recorded())][::-9])


def test_a_journal_that_is_not_whole_when_it_takes_the_old_ones_place_is_caught(
    monkeypatch: Patch,
) -> None:
    recorder = recorded(acts=[brief], swallows=lambda path: path == f"{JOURNAL}.tmp")
    _shows("was sent, has no line, and is not listed", _shuffled(recorder))


def _is_torn(state: State) -> bool:
    return any(
        path == MANIFEST and content and not content.endswith(b"\n")
        for path, _, content in state.tree
    )


def _shuffled(recorder: Recorder) -> list[State]:
    found = [*states(recorder, is_thorough=False)]
    random.Random(1).shuffle(found)
    return found


def _shows(what: str, found: Iterable[State]) -> None:
    """Some state has this broken; the words are printed, so that a person can look (``-s``)."""
    told = violations(found, goes_on=False)
    shown = next((broken for broken in told if re.search(what, broken)), None)
    assert shown, f"no state shows it: {what}"
    sys.stdout.write(f"{shown}\n")
