"""YAML as values with places: what is read how, and what is refused before it can hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.job.notation import Faulted, document_in, text_of

if TYPE_CHECKING:
    from pipeline.errors import Fault
    from pipeline.job.document import Document

NONCHARACTERS = "".join(map(chr, range(0xFDD0, 0xFDF0)))  # refused: no text has them
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=NONCHARACTERS))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN
    | st.sampled_from(
        ["yes", "off", "010", "1e3", "16:9", ".inf", "0o7", "~", "2026-11-22", "1_0"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


def read(text: str | bytes) -> Document:
    return document_in(text.encode() if isinstance(text, str) else text, "job.yaml")


def refusal(text: str | bytes) -> Fault:
    """The one fault of a text that cannot be read."""
    with pytest.raises(Faulted) as caught:
        read(text)
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16:9", "16:9"),
        ("2026-11-22", "2026-11-22"),
        ("12", 12),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("10_000", 10000),
        ("1.5e3", 1500.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'yes'", "yes"),
        ("y", "y"),
        ("a red fox", "a red fox"),
        ("|-\n    two\n    lines", "two\nlines"),
        ("a\u2028b", "a\u2028b"),
    ],
)
def test_plain_words_mean_what_editors_take_them_for(text: str, value: Any) -> None:
    assert read(f"key: {text}\n").value == {"key": value}


@pytest.mark.parametrize(
    "word", ["yes", "No", "ON", "off", "010", ".inf", ".NaN", "1e999", "9" * 30]
)
def test_words_that_readers_disagree_about_are_faults_that_say_how_to_write_them(word: str) -> None:
    (fault,) = read(f"a: 1\nkey: {word}\n").faults
    assert (fault.line, fault.col, fault.key) == (2, 1, "key")


def test_switches_take_yes_and_no() -> None:
    document = read("limits: {adaptive: off}\nstream: yes\n")
    assert document.value == {"limits": {"adaptive": False}, "stream": True}
    assert not document.faults


def test_every_key_has_its_place() -> None:
    places = read("a: 1\nb:\n  c: 2\n  d:\n    - x\n    - {e: 3}\n").places
    assert {path: place[1:] for path, place in places.items()} == {
        ("a",): (1, 1),
        ("b",): (2, 1),
        ("b", "c"): (3, 3),
        ("b", "d"): (4, 3),
        ("b", "d", 0): (5, 7),
        ("b", "d", 1): (6, 7),
        ("b", "d", 1, "e"): (6, 8),
    }


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_separators_inside_text_do_not_count_as_lines(separator: str) -> None:
    document = read(f'a: "x{separator}y"\nb: x{separator}y\nc: 1\n')
    assert document.value == {"a": f"x{separator}y", "b": f"x{separator}y", "c": 1}
    assert document.places["c",].line == 3


def test_a_repeated_key_is_a_fault_at_its_second_place() -> None:
    document = read("a: 1\nb: 2\na: 3\n")
    assert [str(fault) for fault in document.faults] == [
        "job.yaml:3:1: a: is given twice, first in line 1: keep one"
    ]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "empty"),
        ("# nothing\n", 1, "empty"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tag"),
        ("a: 1\nb: !secret x\n", 2, "tag"),
        ("a: 1\nb: *nowhere\n", 2, "nowhere"),
        ("a: 1\nb: &self [*self]\n", 2, "self"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", 3, "write the keys out"),
        ("a: 1\nb: {{prompt}}\n", 2, "quotes"),
        ("a: 1\nb: [1, 2\nc: 3\n", 2, "never closed"),
        ("a: 1\nb: 'open\nc: 3\n", 2, "quote is never closed"),
        ("a: 1\nb: x: y\n", 2, "in one line"),
        ("a: 1\nb\nc: 2\n", 2, "a colon and a space"),
        ("a: 1\n\tb: 2\n", 2, "tabs"),
        ("a: 1\nb: x\x07\n", 2, "control character"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        (b"a: 1\nb: \xed\xa0\xbd\n", 2, "UTF-8"),
        ("a: 1\nb: " + "[" * 65 + "]" * 65, 2, "64 levels"),
        ("a: 1\nb: " + "[" * 100_000, 2, "64 levels"),
        ("a: 1\nb: " + "{a: " * 100_000, 2, "64 levels"),
    ],
)
def test_what_cannot_be_read_is_one_fault_at_its_line(text: str, line: int, what: str) -> None:
    fault = refusal(text)
    assert fault.line == line
    assert what in fault.what


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases repeat" in refusal("\n".join(levels)).what


def test_an_alias_is_read_as_what_it_stands_for() -> None:
    document = read("a: &a {x: 1}\nb: [*a, *a]\n")
    assert document.value["b"] == [{"x": 1}, {"x": 1}]


def test_64_levels_are_read() -> None:
    assert read("[" * 64 + "]" * 64).value


@given(st.dictionaries(PLAIN.filter(lambda key: key != "<<"), VALUES))
def test_what_is_written_is_read_back(mapping: dict[str, Any]) -> None:
    document = read(text_of(mapping))
    assert not document.faults
    assert document.value == mapping


@given(st.binary() | st.text(alphabet="ab:-[]{}&*!|>'\"#\n\t ,?%@").map(str.encode))
def test_no_bytes_make_the_reader_crash(data: Any) -> None:
    try:
        read(data)
    except Faulted:
        return
