"""Numbers, money, times and strangers' words, as they are said."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.view.wording import (
    clock,
    count,
    duration,
    money,
    money_between,
    printable,
    rate,
    reasons,
    size,
)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (money(3.2), "$3.20"),
        (money(0), "$0.00"),
        (money(1234.5), "$1,234.50"),
        (money(0.0004), "$0.0004"),
        (money(0.039), "$0.04"),
        (money_between(3.2, 4.0999), "$3.20-$4.10"),
        (money_between(3.2000000000000001, 3.2), "$3.20"),
        (money_between(3.201, 3.2011), "$3.20-$3.21"),
        (money_between(1234.567, 1234.567), "$1,234.567"),
        (money_between(0, 0), "$0.00"),
        (money_between(0, 0.078), "$0.00-$0.078"),
        (money_between(0.0387, 0.045715), "$0.0387-$0.0458"),
        (money_between(0.00003, 0.00003), "$0.00003"),
        (duration(0), "0.0 s"),
        (duration(8.21), "8.2 s"),
        (duration(59.96), "1 min 00 s"),
        (duration(133), "2 min 13 s"),
        (duration(3 * 3600 + 300), "3 h 05 min"),
        (duration(51 * 3600), "2 d 3 h"),
        (clock(9), "0:09"),
        (clock(3733), "1:02:13"),
        (rate(12.34), "12.3 images/s"),
        (rate(0.07), "0.07 images/s (4.2 a minute)"),
        (rate(0), "0.0 images/s"),
        (count(1, "image"), "1 image"),
        (count(1640, "image"), "1,640 images"),
        (count(2, "reply", "replies"), "2 replies"),
        (reasons({"lost": 1, "refused": 10, "none": 0, "auth": 1}), "refused 10, auth 1, lost 1"),
        (size(999), "999 B"),
        (size(36_400_000), "36.4 MB"),
        (size(340_000), "340 kB"),
        (size(84e9), "84.0 GB"),
        (size(7.25e12), "7.2 TB"),
    ],
)
def test_it_is_said_so(told: str, expected: str) -> None:
    assert told == expected


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_range_of_money_holds_what_it_is_of(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    told = [
        float(part.lstrip("$").replace(",", "")) for part in money_between(low, high).split("-")
    ]
    assert told[0] <= low + 1e-3 * (low == high) + 1e-9
    assert told[-1] >= high - 1e-3 * (low == high) - 1e-9


@given(st.text(), st.integers(1, 50))
def test_printable_text_is_one_line_without_control_or_bidi_marks(text: str, at_most: int) -> None:
    told = printable(text, at_most=at_most)
    assert len(told) <= at_most
    assert not {unicodedata.bidirectional(one) for one in told} & {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
    }  # fmt: skip
    assert not {unicodedata.category(one) for one in told} & {"Cc", "Cs", "Zl", "Zp"}


def test_ordinary_words_of_any_language_stay_as_they_are() -> None:
    text = "夕焼け, žluťoučký, غروب, 🌇"
    assert printable(text) == text
