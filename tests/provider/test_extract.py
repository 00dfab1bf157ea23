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


WORDS = st.text(st.sampled_from('abB6s e4,{}[]:\\"\né/'), max_size=40)


@given(
    words=st.lists(st.dictionaries(WORDS, WORDS, max_size=4) | WORDS, max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
def test_a_document_without_images_is_its_own_skeleton(
    words: list[object], cuts: list[int]
) -> None:
    text = orjson.dumps({"said": words})
    scanner = Scanner(is_lines=False)
    for start, end in itertools.pairwise([0, *sorted(cuts), max(cuts, default=0) + len(text)]):
        assert not list(scanner.feed(text[start:end]))
    scanner.close()
    assert scanner.n_runs or scanner.take_skeleton() == text


PICTURES = st.binary(min_size=24, max_size=300).map(lambda raw: base64.b64encode(raw).decode())
SAID = WORDS | PICTURES.map(lambda coded: f"data:image/png;base64,{coded}")
REPLIES: st.SearchStrategy[object] = st.dictionaries(
    st.sampled_from(["b64_json", "url", "image", "id", "a"]) | WORDS,
    st.deferred(lambda: SAID | PICTURES | st.lists(SAID, max_size=3) | REPLIES),
    max_size=4,
)


def spelled(replies: list[object], *, is_lines: bool, has_spaces: bool) -> bytes:
    option = orjson.OPT_INDENT_2 if has_spaces and not is_lines else None
    if not is_lines:
        return orjson.dumps(replies, option=option)
    return b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in replies)


@settings(deadline=None)  # a byte at a time
@given(
    replies=st.lists(REPLIES, max_size=5),
    cuts=st.lists(st.integers(0, 2_000), max_size=20),
    is_lines=st.booleans(),
    has_spaces=st.booleans(),
)
def test_strings_in_one_match_are_read_as_they_are_one_byte_at_a_time(
    *, replies: list[object], cuts: list[int], is_lines: bool, has_spaces: bool
) -> None:
    raw = spelled(replies, is_lines=is_lines, has_spaces=has_spaces)
    within = [cut for cut in cuts if cut < len(raw)]
    whole = scan(raw, [], is_lines=is_lines)
    assert scan(raw, within, is_lines=is_lines) == whole
    assert scan(raw, list(range(len(raw))), is_lines=is_lines) == whole


@pytest.mark.parametrize("n_bytes", [31, 32])
@pytest.mark.parametrize("key", ["url", "URL", "said"])
@pytest.mark.parametrize("between", [":", " : ", ":\n\t"])
def test_the_key_of_the_value_before_is_not_the_key_of_this_one(
    n_bytes: int, key: str, between: str
) -> None:
    value = "A" * n_bytes
    raw = f'{{"url"{between}"short","{key}"{between}"{value}","x"{between}"{value}"}}'.encode()
    runs, skeleton = scan(raw, [])
    assert len(runs) == (n_bytes == 32 and key == "url")
    assert len(runs) or skeleton == raw
