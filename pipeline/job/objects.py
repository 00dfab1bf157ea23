"""JSON lines taken apart, strictly: what is read can be kept as it is."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

import orjson

_MOST_DEPTH = 64
_HALF = "it holds half of a surrogate pair, such as \\ud800, which is no text"
_QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
_EXAMPLE = '{"prompt": "a red fox"}'


class BadLine(Exception):
    """A line whose values cannot be read: of which ``key``, at which ``col`` from 1, if known."""

    def __init__(self, what: str, *, key: str = "", col: int = 0) -> None:
        """``what`` is wrong, in words for a person."""
        super().__init__(what)
        self.key, self.col = key, col


def object_in(line: bytes) -> dict[str, Any]:
    """The JSON object in ``line``, as strictly read as :func:`value_in` does; raises as that."""
    plain = _plain_object(line)
    value = value_in(line) if plain is None else plain
    if not isinstance(value, dict):
        raise BadLine(f"must be an object, such as {_EXAMPLE}")
    return value


def _plain_object(line: bytes) -> dict[str, Any] | None:
    """The same in a fifth of the time, None where that leaves any doubt.

    In a flat object of texts and whole numbers, without a quote inside a text, every quote belongs
    to a key or a value: if there are no more, no key was given twice.
    """
    if b'\\"' in line:
        return None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or not _PLAIN_TYPES.issuperset(map(type, value.values())):
        return None
    n_texts = len(value) + sum([type(one) is str for one in value.values()])
    return value if line.count(b'"') == 2 * n_texts else None


def value_in(line: bytes) -> Any:
    """The JSON in ``line``, strictly: no repeated key, no NaN, all of it can be kept.

    Raises :class:`BadLine`.
    """
    if _is_deep(line):
        raise BadLine(f"nested more than {_MOST_DEPTH} levels deep")
    try:
        value = _JSON.decode(line.decode())
        orjson.dumps(value)  # refuses lone surrogates and more than 64 bits
    except UnicodeDecodeError as bad:
        raise BadLine(not_utf8(bad)) from None
    except json.JSONDecodeError as bad:
        what = f"not JSON: {bad.msg}; every line is an object, such as {_EXAMPLE}"
        raise BadLine(what, col=bad.colno) from None
    except ValueError:
        raise BadLine("not JSON: a number has too many digits") from None
    except orjson.JSONEncodeError as bad:
        is_number = "Integer" in str(bad)
        what = "a number of more than 64 bits: put it in quotes" if is_number else _HALF
        raise BadLine(f"cannot be kept: {what}") from None
    return value


def _is_deep(line: bytes) -> bool:
    """Whether brackets outside of quotes are nested too deeply, be it JSON or not."""
    if line.count(b"[") + line.count(b"{") <= _MOST_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(_QUOTED.sub(b"", line)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > _MOST_DEPTH:
            return True
    return False


def not_utf8(bad: UnicodeDecodeError) -> str:
    """What to say of bytes that are no text."""
    return f"byte {bad.start + 1} is not UTF-8: save the file as UTF-8"


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadLine("is given twice: keep one", key=repeated)
    return keys


def _finite(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise BadLine(f"{text} is no number that JSON can hold")


_JSON = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_finite, parse_float=_finite)
