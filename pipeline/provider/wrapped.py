"""Whether base64 goes on behind white space: wrapped lines do, a sentence behind an image does not.

Wrapped lines are all as long as the first. Only the last may be shorter, and then it is padded, or
the base64 is whole with it and the string, or the Markdown around it, ends there.
"""

from __future__ import annotations

import re

_BREAK = rb"(?:[ \t\r\n]|\\[nrt]|\\u000[9aAdD])"
_CHARACTER = rb"(?:[A-Za-z0-9+/=_-]|\\/|\\u002[bBfF]|\\u003[dD]|%(?:2[bBfF]|3[dD]))"
_ONE = re.compile(_CHARACTER)
_NEXT_LINE = re.compile(rb"%b+(%b*)%b*" % (_BREAK, _CHARACTER, _BREAK))
_PADDING = (b"=", b"\\u003d", b"\\u003D", b"%3d", b"%3D")
_ENDS = (b'"', b")", b'\\"')
_SHORTEST_LINE, _LONGEST_LINE = 16, 1024
_LONGEST_ESCAPE = 6


def goes_on(chunk: bytes, at: int, *, line: int, before: int) -> bool | None:
    """Whether the word behind the white space at ``at`` is base64 too; None: more must come.

    ``line``: how long the first line is; ``before``: how many characters of base64 there were.
    """
    if not _SHORTEST_LINE <= line <= _LONGEST_LINE:
        return False
    following = _NEXT_LINE.match(chunk, at)
    if not following:
        return False
    word = following[1]
    n_characters = len(_ONE.sub(b"=", word))
    if n_characters >= line:
        return True
    end = chunk[following.end() : following.end() + _LONGEST_ESCAPE]
    if len(end) < _LONGEST_ESCAPE and not end.startswith((b'"', b")")):
        return None
    if word.endswith(_PADDING):
        return True
    return (before + n_characters) % 4 == 0 and end.startswith(_ENDS)
