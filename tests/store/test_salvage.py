"""What can still be read of a damaged line: whole records as they were, torn ones not at all."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from keeping import course, task

from pipeline.core.model import Answer, Failed, Why
from pipeline.store.record import line_of, record_of
from pipeline.store.salvage import gap_in, salvaged_from

words = st.text(st.characters(codec="utf-8"), max_size=40)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line as the store writes it; its columns may look like the start of a record."""
    meta = draw(st.dictionaries(st.sampled_from(["id", "note"]), words))
    of = task(draw(st.integers(0, 99)), prompt=draw(words), meta=meta)
    answer = Answer(text=draw(words), detail='{"id":"not one"}')
    outcome = Failed(task=of, why=Why.REFUSED, answer=answer, course=course())
    record: dict[str, Any] = record_of(outcome, files=(), run="r1")
    if draw(st.booleans()):
        image = {"file": "images/a.png", "sha256": "0" * 64, "bytes": 1, "width": 1, "height": 1}
        image["media_type"] = "image/png"
        record |= {"status": "made", "why": None, "images": [image]}
    return line_of(record)


@given(lines())
def test_what_the_store_writes_says_everything(line: bytes) -> None:
    assert gap_in(orjson.loads(line)) is None


@given(st.lists(lines(), min_size=1, max_size=3), st.binary(max_size=8))
def test_lines_that_lost_their_newlines_come_apart_as_they_were(
    glued: list[bytes], before: bytes
) -> None:
    before = before.replace(b"{", b"")
    found = list(salvaged_from(before + b"".join(line[:-1] for line in glued)))
    assert [one.line for one in found] == glued
    assert all(one.is_whole for one in found)


@given(lines(), st.integers(0, 64))
def test_a_line_between_nuls_is_whole(line: bytes, n_nuls: int) -> None:
    (found,) = salvaged_from(bytes(n_nuls) + line[:-1] + bytes(n_nuls))
    assert found.line == line
    assert found.is_whole


@given(lines(), st.data())
def test_a_line_cut_anywhere_holds_no_record(line: bytes, data: st.DataObject) -> None:
    n_bytes = data.draw(st.integers(0, len(line) - 2))
    assert list(salvaged_from(line[:n_bytes])) == []


@given(lines(), st.sampled_from([b"\xff", b"\xe2\x82", b"\0", b"\x1b"]))
def test_what_cannot_be_read_inside_a_text_is_marked(line: bytes, damage: bytes) -> None:
    (found,) = salvaged_from(line[:-1].replace(b'"prompt":"', b'"prompt":"' + damage, 1))
    assert not found.is_whole
    said = orjson.loads(found.line)
    assert said == found.record
    assert said["prompt"].startswith("\ufffd")
    assert "damaged" in said["warnings"][-1]
    as_it_was = orjson.loads(line)
    for name in as_it_was.keys() - {"prompt", "warnings"}:
        assert said[name] == as_it_was[name]


@given(lines(), st.data())
def test_whatever_is_flipped_nothing_is_taken_that_says_less_than_a_record(
    line: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(line) - 2))
    flipped = bytearray(line)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    for found in salvaged_from(bytes(flipped)):
        assert gap_in(orjson.loads(found.line)) is None
