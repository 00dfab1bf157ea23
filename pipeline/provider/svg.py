"""Whether text is a whole SVG image, and its size in CSS pixels; see :mod:`.image` for the rest.

An SVG is well-formed XML whose root is ``svg``. Nothing is drawn, nothing is loaded. A document
that declares entities is none of ours: they are how a few bytes become gigabytes. Nor is one that
a browser would run: scripts, handlers of events, and HTML within the drawing
(https://www.w3.org/TR/SVG2/interact.html#ScriptContentElements).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SVG = "image/svg+xml"
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:svg\b|\?xml|!--|!DOCTYPE\s+svg)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*([0-9.]+(?:e[0-9]+)?)\s*(px|pt|pc|in|cm|mm)?\s*", re.IGNORECASE)
_PIXELS = {"px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4}
_UNSAID = (300, 150)  # https://www.w3.org/TR/css-sizing-3/#default-sizing
_PIECE_BYTES = 65_536
_LONGEST_SIDE = 1 << 30
MOST_BYTES = 8 << 20
"""Of one drawing: a parser goes back to the start of a tag whenever more of it comes."""
_ACTIVE = frozenset({"script", "foreignobject", "iframe", "embed", "object", "handler", "listener"})
_NOT_IN_A_SCHEME = re.compile(r"[\x00-\x20\x7f-\xa0]+")
_RUNS = re.compile(
    r"(?:java|vb|live)script:|data:(?!image/(?:png|jpe?g|gif|webp|avif)\b)", re.IGNORECASE
)


def may_be_svg(head: bytes) -> bool:
    """Whether a file that starts like this could be one."""
    return _START.match(head) is not None


def size_of(attributes: dict[str, str]) -> tuple[int, int]:
    """Width and height of a root element: its own, its ``viewBox``'s, or what browsers take."""
    said = [_pixels(attributes.get(name, "")) for name in ("width", "height")]
    box = [_pixels(part) for part in re.split(r"[\s,]+", attributes.get("viewBox", "").strip())]
    drawn = box[2:] if len(box) == 4 else [None, None]
    width, height = (
        own or boxed or unsaid for own, boxed, unsaid in zip(said, drawn, _UNSAID, strict=True)
    )
    return width, height


def walk(
    note_size: Callable[[int, int], None], note_end: Callable[[], None]
) -> Generator[int, memoryview, bool]:
    """Parse as the bytes come; ends only where they are no SVG. See :mod:`.image` for walks."""
    root = _Root(note_size, note_end)
    n_left = MOST_BYTES
    while True:
        piece = bytes((yield -_PIECE_BYTES))
        n_left -= len(piece)
        if n_left < 0:
            return False
        try:
            root.parser.Parse(piece, False)  # False: not the last piece, for all we know
        except (expat.ExpatError, _NotOurs, ValueError):
            return False


class _NotOurs(Exception):
    """Well-formed, and yet not to be taken."""


class _Root:
    """Follows the root element from its start to its end."""

    def __init__(self, note_size: Callable[[int, int], None], note_end: Callable[[], None]) -> None:
        self._note_size = note_size
        self._note_end = note_end
        self._depth = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ProcessingInstructionHandler = self._refuse  # style sheets can be programs
        # Recent ones otherwise wait for more before they look at the last bytes.
        at_once = getattr(self.parser, "SetReparseDeferralEnabled", None)
        if at_once:
            at_once(False)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        if name.lower() in _ACTIVE or any(map(_is_active, attributes.items())):
            raise _NotOurs
        if not self._depth:
            if name != "svg":
                raise _NotOurs
            self._note_size(*size_of(attributes))
        self._depth += 1

    def _end(self, _: str) -> None:
        self._depth -= 1
        if not self._depth:
            self._note_end()

    def _refuse(self, *_: object) -> None:
        raise _NotOurs


def _is_active(attribute: tuple[str, str]) -> bool:
    """Whether a browser would run what this attribute says, or what an animation makes of it."""
    name, value = attribute
    if name.rpartition(" ")[2].lower().startswith("on"):
        return True
    return ":" in value and _RUNS.search(_NOT_IN_A_SCHEME.sub("", value)) is not None


def _pixels(text: str) -> int | None:
    length = _LENGTH.fullmatch(text)
    if not length:
        return None
    try:
        pixels = float(length[1]) * _PIXELS[(length[2] or "px").lower()]
    except ValueError:
        return None
    return max(1, round(min(pixels, _LONGEST_SIDE))) if pixels > 0 else None
