"""Text that is an image, and documents that broke off."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.provider.image import Inspector, Look
from pipeline.provider.mend import mended
from pipeline.provider.svg import size_of


def look_at(text: str) -> Look:
    inspector = Inspector(allows_svg=True)
    for byte in text.encode():
        inspector.feed(bytes([byte]))
    return inspector.look()


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"width": "30", "height": "20"}, (30, 20)),
        ({"width": "30px", "height": "1in"}, (30, 96)),
        ({"width": "100%", "height": "100%", "viewBox": "0 0 24 12"}, (24, 12)),
        ({"viewBox": "-5,-5,10.4,20"}, (10, 20)),
        ({"width": "7"}, (7, 150)),
        ({"width": "1e999", "height": "-4"}, (1 << 30, 150)),
        ({"width": "wide", "viewBox": "0 0 x"}, (300, 150)),
    ],
)
def test_the_size_of_a_drawing(attributes: dict[str, str], size: tuple[int, int]) -> None:
    assert size_of(attributes) == size


@pytest.mark.parametrize(
    "text",
    [
        "<svg xmlns='http://www.w3.org/2000/svg' width='3' height='4'></svg>",
        "\ufeff<?xml version='1.0'?>\n<!-- made --><svg width='3' height='4'><g/></svg>\n",
        "<svg:svg xmlns:svg='http://www.w3.org/2000/svg' width='3' height='4'/>",
        "<!DOCTYPE svg PUBLIC 'a' 'b'><svg width='3' height='4'>a &amp; b</svg><!-- end -->",
    ],
)
def test_a_drawing_is_whole_where_its_root_ends(text: str) -> None:
    seen = look_at(text)
    assert seen.problem is None
    assert (seen.media_type, seen.width, seen.height) == ("image/svg+xml", 3, 4)


@pytest.mark.parametrize(
    "text",
    [
        "<svg width='3' height='4'><g></svg>",
        "<svg width='3' height='4'><g/>",
        "<?xml version='1.0'?><html><body/></html>",
        "<svg width='3' height='4'/><svg/>",
        "<!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg width='3' height='4'>&a;</svg>",
    ],
)
def test_other_text_is_no_drawing(text: str) -> None:
    assert look_at(text).problem


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
        lambda deeper: (
            st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=3), deeper, max_size=3)
        ),
    ),
    st.integers(0, 200),
)
def test_what_is_left_of_a_document_says_nothing_it_did_not_say(value: object, end: int) -> None:
    text = json.dumps({"x": value}).encode()
    left = mended(text[:end])
    if left is not None:
        assert is_within(json.loads(left), {"x": value})


def is_within(part: object, whole: object) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_within(part[key], whole[key]) for key in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(is_within, part, whole))
    return part == whole


def test_a_document_is_cut_behind_its_last_whole_value() -> None:
    assert mended(b'{"a":[{"b":"c"},{"d":"e') == b'{"a":[{"b":"c"}]}'
    assert mended(b'{"a":1,"b":12') == b'{"a":1}'
    assert mended(b'{"a":"\\"[{') is None
    assert mended(b'{"a":1]') is None
