"""A JSON document that broke off, up to its last whole value, with its brackets closed.

What a reply said before it broke is worth reading: a whole image may be in it, and it is paid.
"""

from __future__ import annotations

import re

MOST_BYTES = 1 << 20
_DEEPEST = 1_000  # what parsers take
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+|"', re.DOTALL)
_CLOSERS = {b"{": b"}", b"[": b"]"}


def mended(text: bytes) -> bytes | None:
    """``text`` cut behind its last whole value and closed; None where nothing is whole.

    A number or word at the very end is no whole value: there might have been more of it.
    """
    text = text[:MOST_BYTES]
    open_: list[bytes] = []
    best: tuple[int, int] | None = None  # its end, and how many brackets are open there
    before = b""
    for token in _TOKEN.finditer(text):
        word, end = token.group(), token.end()
        if word == b'"':  # the string in which it broke off
            break
        if word in _CLOSERS:
            open_.append(_CLOSERS[word])
            if len(open_) > _DEEPEST:
                break
        elif word in {b"}", b"]"} and (not open_ or open_.pop() != word):
            return None
        is_closed = end < len(text) or word.endswith((b'"', b"}", b"]"))
        if is_closed and _is_whole_value(word, before, open_):
            best = end, len(open_)
        before = word
    if best is None:
        return None
    end, n_open = best  # whatever was closed since would have been a whole value itself
    return text[:end] + b"".join(reversed(open_[:n_open]))


def _is_whole_value(word: bytes, before: bytes, open_: list[bytes]) -> bool:
    if word in {b":", b",", b"{", b"["}:
        return False
    is_in_list = bool(open_) and open_[-1] == b"]"
    return word in {b"}", b"]"} or is_in_list or before == b":"
