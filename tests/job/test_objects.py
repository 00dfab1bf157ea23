"""What is seen of a JSON line at a glance is what a close look finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.job.objects import BadLine, object_in, value_in

_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
_PAIRS = st.lists(st.tuples(st.text(max_size=3) | st.sampled_from("ab"), _VALUES), max_size=5)


def _found(line: bytes, *, closely: bool) -> Any:
    try:
        return value_in(line) if closely else object_in(line)
    except BadLine as bad:
        return (str(bad), bad.key, bad.col)


def _written(pairs: list[tuple[str, Any]], *, is_ascii: bool) -> bytes:
    dumped = (
        f"{json.dumps(k, ensure_ascii=is_ascii)}: {json.dumps(v, ensure_ascii=is_ascii)}"
        for k, v in pairs
    )
    return ("{" + ", ".join(dumped) + "}\n").encode("utf-8", "surrogatepass")


@settings(deadline=None)
@given(_PAIRS)
@example([("a", "x"), ("a", "y")])
@example([("a", 'say "a"'), ("b", "\\")])
@example([("a", 2**64)])
def test_the_quick_look_finds_what_the_close_one_does(pairs: list[tuple[str, Any]]) -> None:
    for is_ascii in (True, False):
        line = _written(pairs, is_ascii=is_ascii)
        assert _found(line, closely=False) == _found(line, closely=True)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"a": 1, "\\u0061": 2}', "is given twice"),
        (b'{"a": "x", "a": "y"}', "is given twice"),
        (b'{"a": 36893488147419103232}', "more than 64 bits"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"a": NaN}', "no number that JSON can hold"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'["a"]', "must be an object"),
    ],
)
def test_what_cannot_be_kept_is_refused(line: bytes, what: str) -> None:
    with pytest.raises(BadLine, match=what):
        object_in(line)
