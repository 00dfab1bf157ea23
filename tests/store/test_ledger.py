"""The ledger is the fold of the lines: the newest of an id holds, money adds up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeping import failed, made, pictured, record, task

from pipeline.core.model import Outcome, Why
from pipeline.errors import BadUsage
from pipeline.store.ledger import AllBut, Ledger
from pipeline.store.record import line_of


def _outcome(number: int, why: Why | None) -> Outcome:
    return made(task(number)) if why is None else failed(task(number), why)


_MADE, _FAILED = record(made(task(1))), record(failed(task(1)))
_OF_LATER_VERSIONS = {"aspect_ratio", "image_size", "seed", "keep", "maybe_billed"} | {
    "orphaned",
    "warnings",
    "references",
    "unpriced",
    "answers",
}


def _without(said: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != name}


_GAPS = [
    *(_without(_FAILED, name) for name in _FAILED if name not in _OF_LATER_VERSIONS),
    *(_MADE | {"images": [_without(pictured("a.png"), name)]} for name in pictured("")),
    *(_FAILED | {name: 7.5} for name in _FAILED if name not in {"cost_usd", "latency_s"}),
    _MADE | {"images": []},
    _FAILED | {"why": None},
    _FAILED | {"why": "made"},
    _FAILED | {"orphaned": [{"file": "a.png"}]},
    _FAILED | {"references": [{"path": "a.png"}]},
    _FAILED | {"keep": "some"},
]


def _noted(outcomes: list[Outcome]) -> Ledger:
    ledger = Ledger()
    for offset, outcome in enumerate(outcomes):
        ledger.note(offset * 1000, line_of(record(outcome))[:-1])
    return ledger


_HISTORIES = st.lists(st.tuples(st.integers(0, 9), st.none() | st.sampled_from(Why)), max_size=40)


@given(_HISTORIES)
def test_the_newest_line_of_an_id_holds(history: list[tuple[int, Why | None]]) -> None:
    ledger = _noted([_outcome(number, why) for number, why in history])
    newest = dict(history)
    for number in range(10):
        word = ledger.word_of(task(number).id)
        why = newest.get(number)
        assert word == (None if number not in newest else "made" if why is None else str(why))
        assert ledger.owes(task(number).id) == (
            number not in newest or (why is not None and not why.is_final)
        )
    counts = ledger.counts()
    assert counts.made == list(newest.values()).count(None)
    assert counts.failed == len(newest) - counts.made
    assert counts.made + counts.failed == len(ledger.ids())


@given(_HISTORIES)
def test_offsets_point_at_the_newest_lines(history: list[tuple[int, Why | None]]) -> None:
    ledger = _noted([_outcome(number, why) for number, why in history])
    newest = {number: (place * 1000, why) for place, (number, why) in enumerate(history)}
    refused = {offset for offset, why in newest.values() if why is Why.REFUSED}
    assert set(ledger.offsets_of_made()) == {at for at, why in newest.values() if why is None}
    assert set(ledger.offsets_of_failed()) == {at for at, why in newest.values() if why}
    assert set(ledger.offsets_of_failed(["refused"])) == refused


@given(_HISTORIES)
def test_money_adds_up_over_all_lines(history: list[tuple[int, Why | None]]) -> None:
    ledger = _noted([_outcome(number, why) for number, why in history])
    assert ledger.cost_usd == pytest.approx(0.039 * len(history))
    assert ledger.n_lines == ledger.n_cost_known == len(ledger.latencies_s) == len(history)


def test_tasks_that_are_not_wanted_any_more_are_not_counted() -> None:
    ledger = _noted([made(task(1)), made(task(2)), failed(task(3)), failed(task(4))])
    counts = ledger.counts(without=[task(2).id, task(4).id, "nobody"])
    assert (counts.made, counts.failed_by_why) == (1, {"refused": 1})


def test_all_but_a_few_may_be_unwanted() -> None:
    ledger = _noted([made(task(1)), made(task(2)), failed(task(3)), failed(task(4))])
    unwanted = AllBut(ids={task(1).id, task(3).id, "not there yet"}, n_others=2)
    counts = ledger.counts(without=unwanted)
    assert (counts.made, counts.failed_by_why, len(unwanted)) == (1, {"refused": 1}, 2)
    assert [one for one in ledger.ids() if one in unwanted] == [task(2).id, task(4).id]


def test_a_made_task_whose_file_made_way_holds_no_more() -> None:
    ledger = _noted([made(task(1)), made(task(2))])
    way = {"file": "a.png", "moved_to": ".state/orphans/a.png"}
    orphaned = [way | {"id": task(1).id}, way | {"id": None}, way | {"id": "nobody"}, way]
    ledger.note(2000, line_of(record(made(task(3)), orphaned=orphaned)))
    assert ledger.owes(task(1).id)
    assert ledger.counts().made == len(ledger.ids()) == 2
    assert list(ledger.offsets_of_made()) == [1000, 2000]
    assert ledger.offset_of_made(task(1).id) is None
    assert ledger.offset_of_made(task(3).id) == 2000
    assert ledger.n_lines == ledger.n_cost_known == 3


def test_a_reason_that_a_later_version_wrote_is_kept_and_tried_again() -> None:
    ledger = Ledger()
    ledger.note(0, line_of(record(failed(task(1)), why="sleepy")))
    assert ledger.counts().failed_by_why == {"sleepy": 1}
    assert ledger.owes(task(1).id)
    ledger.check_whys(["sleepy"])


def test_an_unknown_reason_is_told_with_what_is_there() -> None:
    ledger = _noted([failed(task(1)), failed(task(2), Why.LOST), failed(task(3))])
    with pytest.raises(BadUsage, match=r"--why refusd: no such reason.*refused 2, lost 1"):
        ledger.check_whys(["lost", "refusd"])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"id":"a","status":"made"}',
        b'{"id":"a","status":"odd","why":"refused","images":[]}',
        b'{"id":"a","status":"failed","why":null,"images":[]}',
        b"\x00\x00\x00",
        b'{"id":"\xff"}',
        *map(line_of, _GAPS),
    ],
)
def test_what_is_no_record_is_refused_and_changes_nothing(line: bytes) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match=r".*"):
        ledger.note(0, line)
    assert ledger.counts().made == ledger.n_lines == len(ledger.ids()) == 0


@pytest.mark.parametrize("name", sorted(_OF_LATER_VERSIONS))
def test_what_later_versions_added_may_be_missing(name: str) -> None:
    ledger = Ledger()
    ledger.note(0, line_of(_without(_MADE, name)))
    assert ledger.counts().made == 1


def test_the_last_run_is_known_by_its_images_and_its_times() -> None:
    ledger = Ledger()
    for run, started in (("a", "01"), ("b", "03"), ("b", "02")):
        outcome = failed(task(1), started_at=started, finished_at=started)
        ledger.note(0, line_of(record(outcome, run=run)))
    assert ledger.last
    assert (ledger.last.run, ledger.last.started_at, ledger.last.finished_at) == ("b", "02", "03")
