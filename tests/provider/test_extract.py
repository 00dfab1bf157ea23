"""The scanner: images out of a reply's bytes, whatever the split and the spelling."""

from __future__ import annotations

import base64
import itertools
import json
import random
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.provider.extract import Scanner, references_in

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE = random.Random(7).randbytes(1_000)  # every character of the alphabet occurs


def scan(body: bytes, cuts: list[int], *, is_lines: bool = False) -> tuple[dict[int, bytes], bytes]:
    scanner = Scanner(is_lines=is_lines)
    runs: dict[int, bytearray] = {}
    edges = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        for number, piece in scanner.feed(body[start:end]):
            runs.setdefault(number, bytearray()).extend(piece)
    scanner.close()
    assert not scanner.broken_runs
    return {number: bytes(run) for number, run in runs.items()}, bytes(scanner.skeleton)


def plain(text: str) -> str:
    return text


def url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def unpadded(text: str) -> str:
    return text.rstrip("=")


def wrapped(text: str) -> str:
    return "\n".join(text[at : at + 76] for at in range(0, len(text), 76))


def percent_coded(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


SPELLINGS = [plain, url_safe, unpadded, wrapped, percent_coded]


def document(spell: Callable[[str], str], picture: bytes = PICTURE) -> str:
    coded = spell(base64.b64encode(picture).decode())
    return json.dumps(
        {
            "id": "gen-1",
            "said": 'a "quoted" \\ word and base64 as a word',
            "images": [{"image_url": {"url": f"data:image/png;base64,{coded}"}}],
            "b64_json": coded,
            "content": f"![one](data:image/png;charset=x;BASE64,{coded}) and text",
        }
    )


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_every_spelling_gives_the_same_bytes(spell: Callable[[str], str], slash: str) -> None:
    body = document(spell).replace("/", slash).encode()
    runs, skeleton = scan(body, [])
    assert list(runs.values()) == [PICTURE] * 3
    parsed = orjson.loads(skeleton)
    assert parsed["id"] == "gen-1"
    assert parsed["said"] == 'a "quoted" \\ word and base64 as a word'
    assert references_in(parsed["b64_json"]) == [1]
    assert parsed["content"].endswith("and text")


@given(data=st.data())
def test_the_split_of_the_bytes_makes_no_difference(data: st.DataObject) -> None:
    picture = data.draw(st.binary(min_size=24, max_size=300))
    body = document(data.draw(st.sampled_from(SPELLINGS)), picture)
    raw = body.replace("/", data.draw(st.sampled_from(["/", "\\/", "\\u002f"]))).encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=30))
    assert scan(raw, cuts) == scan(raw, []) == scan(raw, list(range(len(raw))))
    assert list(scan(raw, [])[0].values()) == [picture] * 3


@given(junk=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=10))
def test_no_bytes_break_it_and_none_but_runs_are_lost(junk: bytes, cuts: list[int]) -> None:
    scanner = Scanner(is_lines=False)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(junk)], strict=True):
        list(scanner.feed(junk[start:end]))
    scanner.close()
    if not scanner.n_runs:
        assert bytes(scanner.skeleton) == junk[: max([len(junk), *cuts])]


def test_in_a_stream_an_odd_quote_in_a_comment_does_not_swallow_what_follows() -> None:
    coded = base64.b64encode(PICTURE).decode()
    body = f': waiting for "it\n\ndata: {{"url":"data:image/png;base64,{coded}"}}\n\n'.encode()
    runs, _ = scan(body, [], is_lines=True)
    assert runs == {0: PICTURE}


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 100])
def test_a_run_that_stops_in_the_middle_of_a_quantum_is_broken(cut: int) -> None:
    coded = base64.b64encode(PICTURE).decode().rstrip("=")
    scanner = Scanner(is_lines=False)
    list(scanner.feed(f'{{"url":"data:image/png;base64,{coded[:-cut]}'.encode()))
    scanner.close()
    assert scanner.broken_runs == {0}


def test_an_identifier_is_no_image() -> None:
    body = json.dumps({"id": "gen-" + "a" * 60, "fingerprint": "f" * 100}).encode()
    runs, skeleton = scan(body, [])
    assert not runs
    assert skeleton == body


@settings(max_examples=5)
@given(st.integers(1, 9))
def test_memory_does_not_grow_with_the_image(megabytes: int) -> None:
    scanner = Scanner(is_lines=False)
    largest = 0
    list(scanner.feed(b'{"url":"data:image/png;base64,'))
    for _ in range(megabytes * 16):
        for _, piece in scanner.feed(b"QUJD" * 16_384):
            largest = max(largest, len(piece))
    assert largest <= 65_536
    assert len(scanner.skeleton) < 100
