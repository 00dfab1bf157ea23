"""Bytes that should be JSON as a value of bounded depth, or as nothing.

A parser of ours would rather refuse than read what JSON forbids, and a provider that writes NaN or
half a surrogate pair has sent, and charged, its image all the same: once more, then, leniently.
What nests deeper than any reply does is emptied there, so that nothing that walks over a value, or
writes it down, can run out of stack.
"""

from __future__ import annotations

import re

import orjson

DEEPEST = 64
"""How many lists and objects may stand within each other."""

_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_NO_NUMBER = re.compile(r"(?<=[:\[,\s])(?:-?Infinity|NaN)(?=[\s,\]}])")


def parsed(data: bytes | str) -> object | None:
    """The JSON value, or None: also where strings hold what JSON or UTF-8 forbid."""
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        return _parsed_leniently(text)
    return value if _is_surely_shallow(data) else _shallow(value)


def _is_surely_shallow(data: bytes | str) -> bool:
    """Whether there are not even enough brackets to nest too deep: as in any usual reply."""
    if isinstance(data, str):
        return data.count("[") + data.count("{") < DEEPEST
    return data.count(b"[") + data.count(b"{") < DEEPEST


def _parsed_leniently(text: str) -> object | None:
    """Once more, without lone surrogates, and without numbers that are none, as Python writes."""
    text = _NO_NUMBER.sub("null", _LONE_SURROGATE.sub("\\\\ufffd", text))
    try:
        value: object = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return _shallow(value)


def _shallow(value: object) -> object:
    """``value``, whatever lies too deep in it emptied."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(DEEPEST - 1):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return value
    for one in level:
        one.clear()
    return value
