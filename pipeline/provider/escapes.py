"""The ways in which a character may be written within a JSON string or a URL."""

from __future__ import annotations

import re

LONGEST_ESCAPE = 6
ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|[^u])|%[0-9A-Fa-f]{2}")
WITHIN = re.compile(rb"\\(?:[/n]|u002[bBfF]|u003[dD])|%(?:2[bBfF]|3[dD])")
"""Those that may stand for a character of base64."""
HALF = re.compile(rb"(?:\\(?:u(?:00?[23]?)?)?|%[23]?)\Z")
"""The beginning of one of those, at the end of what has come."""


def unescaped(escape: bytes) -> bytes:
    """The character an escape stands for; those outside Latin-1 become one that ends a run."""
    if escape.startswith(b"%"):
        return bytes([int(escape[1:], 16)])
    if escape[1] == ord("u"):
        code = int(escape.removeprefix(b"\\u"), base=16)
        return bytes([code]) if code < 256 else b"\x00"
    return {b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}.get(escape, escape[1:])
