"""Server-sent events: bytes in, events out, any split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.provider.sse import Events

STREAM = (
    b": OPENROUTER PROCESSING\n\n"
    b'data: {"a": 1}\n\n'
    b"event: x\r\ndata:two\r\n\r\n"
    b"data: three\ndata: lines\n\n"
    b": ping\n\nid: 7\nretry: 3\n\n"
    b"data: snowman \xe2\x98\x83\n\n"
    b"data: [DONE]"
)
EXPECTED = [b'{"a": 1}', b"two", b"three\nlines", "snowman ☃".encode(), b"[DONE]"]


def read(chunks: list[bytes]) -> list[bytes]:
    events = Events()
    return [*(data for chunk in chunks for data in events.feed(chunk)), *events.close()]


def test_every_way_of_writing_an_event_is_read() -> None:
    assert read([STREAM]) == EXPECTED


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_the_split_of_the_bytes_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert read([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EXPECTED


@pytest.mark.parametrize("rest", [b"", b"\n", b"\n\n", b"\r\n\r\n"])
def test_a_last_event_counts_however_it_ends(rest: bytes) -> None:
    assert read([b"data: last" + rest]) == [b"last"]
