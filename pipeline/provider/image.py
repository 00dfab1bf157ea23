"""What the bytes are: type, size in pixels, whole or cut; judged as they pass, never decoded.

A cut image decodes as base64 without complaint, and Pillow's ``verify`` accepts most cut JPEGs,
so wholeness is read from each format's own structure. A format is a walk: a generator that says
how many bytes it wants next (negative: up to so many, as they come), notes what it learns in a
:class:`Shape`, and returns whether it reached the format's end.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from pipeline.provider import png, svg

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

MOST_PIXELS = 64_000_000
_SNIFF_BYTES = 16
_MOST_META_BYTES = 1 << 20
_ISPE = re.compile(rb"ispe.{4}(.{4})(.{4})", re.DOTALL)
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the bytes are. ``problem`` says why they are not a whole image, None if they are."""

    media_type: str | None
    width: int
    height: int
    n_bytes: int
    sha256: str
    problem: str | None


@dataclass(slots=True)
class Shape:
    """What a walk has learnt so far."""

    width: int = 0
    height: int = 0
    is_whole: bool = False

    def cover(self, width: int, height: int) -> None:
        """A size that the file gives: of several the widest and highest count.

        Which one a decoder believes differs; a small one must not hide a large one.
        """
        self.width, self.height = max(self.width, width), max(self.height, height)


def media_type_of(head: bytes) -> str | None:
    """The type that the first 16 bytes announce, None for anything but an image.

    Text that may be SVG is taken for it; whether it is one shows in its root.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    return svg.SVG if svg.may_be_svg(head) else None


class Inspector:
    """Looks at one image's bytes as they pass."""

    def __init__(self, *, allows_svg: bool = False) -> None:
        """Start before the first byte. ``allows_svg``: text counts as an image too."""
        self._allows_svg = allows_svg
        self._head = b""
        self._n_bytes = 0
        self._hash = sha256()
        self._media_type: str | None = None
        self._shape = Shape()
        self._walk: _Walk | None = None

    @property
    def has_type(self) -> bool:
        """Whether its bytes are an image's, as far as they came."""
        return self._walk is not None

    def feed(self, piece: bytes) -> bytes:
        """The bytes worth keeping: nothing until the type is known, nothing of a non-image."""
        was_undecided = self._n_bytes < _SNIFF_BYTES
        self._n_bytes += len(piece)
        if was_undecided:
            piece = self._head = self._head + piece
            if self._n_bytes < _SNIFF_BYTES:
                return b""
            self._decide()
        if self._walk is None:
            return b""
        self._hash.update(piece)
        self._walk.feed(piece)
        return piece

    def look(self) -> Look:
        """The judgement over all that passed."""
        return Look(
            media_type=self._media_type,
            width=self._shape.width,
            height=self._shape.height,
            n_bytes=self._n_bytes,
            sha256=self._hash.hexdigest(),
            problem=self._problem(),
        )

    def _decide(self) -> None:
        self._media_type = media_type_of(self._head[:_SNIFF_BYTES])
        if self._media_type and (self._allows_svg or self._media_type != svg.SVG):
            self._walk = _Walk(_WALKS[self._media_type](self._shape), self._shape)
        self._head = b""

    def _problem(self) -> str | None:
        shape = self._shape
        if self._media_type is None:
            return "the bytes are not an image" if self._n_bytes else "the image is empty"
        if self._walk is None:
            return "the image is SVG, which is text: `svg: true` in the profile accepts it"
        if shape.width * shape.height > MOST_PIXELS:
            return f"the image has more than {MOST_PIXELS // 1_000_000} megapixels"
        if not shape.is_whole:
            return "the image is cut off or damaged"
        return None if shape.width and shape.height else "the image has no size"


class _Walk:
    """Feeds a generator the bytes it asks for, whatever pieces they come in."""

    def __init__(self, steps: _Steps, shape: Shape) -> None:
        self._steps = steps
        self._shape = shape
        self._wanted = next(steps)
        self._rest = b""
        self._is_over = False

    def feed(self, piece: bytes) -> None:
        if self._is_over:
            return
        pieces = memoryview(self._rest + piece if self._rest else piece)
        while not self._is_over:
            n = min(len(pieces), -self._wanted) if self._wanted < 0 else self._wanted
            if not n or n > len(pieces):
                break
            self._step(pieces[:n])
            pieces = pieces[n:]
        self._rest = bytes(pieces)

    def _step(self, piece: memoryview) -> None:
        try:
            self._wanted = self._steps.send(piece)
        except StopIteration as end:
            self._shape.is_whole = end.value
            self._is_over = True


if TYPE_CHECKING:
    _Steps = Generator[int, memoryview, bool]
    _Skip = Generator[int, memoryview, None]


def _big(raw: bytes | memoryview) -> int:
    return int.from_bytes(raw, "big")


def _little(raw: bytes | memoryview) -> int:
    return int.from_bytes(raw, "little")


def _skip(n_bytes: int) -> _Skip:
    while n_bytes > 0:
        n_bytes -= len((yield -n_bytes))


def _png(shape: Shape) -> _Steps:
    return png.walk(shape.cover)


def _jpeg(shape: Shape) -> _Steps:
    """Segments up to the first scan, then the end marker (ITU-T T.81, annex B)."""
    yield 2
    while True:
        if (yield 1)[0] != 0xFF:
            return False
        marker = 0xFF
        while marker == 0xFF:  # any number of fill bytes
            marker = (yield 1)[0]
        left = _big((yield 2)) - 2
        if marker in _JPEG_SIZE_MARKERS and left >= 5:
            frame = yield 5
            shape.cover(_big(frame[3:5]), _big(frame[1:3]))
            left -= 5
        yield from _skip(left)
        if marker == 0xDA:
            break
    last = b""
    while True:  # within a scan, 0xFF is always followed by 0x00 or a restart marker
        piece = last + bytes((yield -65_536))
        if b"\xff\xd9" in piece:
            return True
        last = piece[-1:]


def _webp(shape: Shape) -> _Steps:
    """A RIFF file as long as it says (https://developers.google.com/speed/webp/docs/riff_container)."""
    n_left = _little((yield 12)[4:8]) - 4
    first = yield 18
    match bytes(first[:4]):
        case b"VP8X":
            shape.width, shape.height = _little(first[12:15]) + 1, _little(first[15:18]) + 1
        case b"VP8L":
            bits = _little(first[9:13])
            shape.width, shape.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            shape.width, shape.height = _little(first[14:16]), _little(first[16:18])
            shape.width, shape.height = shape.width & 0x3FFF, shape.height & 0x3FFF
    yield from _skip(n_left - 18)
    return n_left >= 18


def _gif(shape: Shape) -> _Steps:
    """Blocks up to the trailer (https://www.w3.org/Graphics/GIF/spec-gif89a.txt)."""
    header = yield 13
    shape.cover(_little(header[6:8]), _little(header[8:10]))
    yield from _skip(_n_bytes_of_table(header[10]))
    while True:
        match (yield 1)[0]:
            case 0x3B:
                return True
            case 0x21:
                yield 1
            case 0x2C:
                left, top, width, height = struct.unpack("<4H", (frame := bytes((yield 9)))[:8])
                shape.cover(left + width, top + height)
                yield from _skip(_n_bytes_of_table(frame[8]))
                yield 1
            case _:
                return False
        while n_bytes := (yield 1)[0]:
            yield n_bytes


def _n_bytes_of_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _avif(shape: Shape) -> _Steps:
    """Top-level boxes, the size in ``ispe`` (ISO/IEC 14496-12, 4.2; 23008-12, 6.5.3)."""
    has_pixels = False
    while True:
        shape.is_whole = has_pixels
        head = yield 8
        shape.is_whole = False
        left, kind = _big(head[:4]) - 8, bytes(head[4:])
        if left == -8:  # up to the end of the file, wherever that is
            shape.is_whole = True
            yield from _skip(1 << 62)
        if left == -7:  # the size follows in 64 bits
            left = _big((yield 8)) - 16
        if left < 0:
            return False
        if kind == b"meta" and 0 < left <= _MOST_META_BYTES:
            meta, left = bytes((yield left)), 0
            for size in _ISPE.finditer(meta):
                shape.cover(_big(size[1]), _big(size[2]))
        yield from _skip(left)
        has_pixels = has_pixels or kind == b"mdat"


def _svg(shape: Shape) -> _Steps:
    def note_size(width: int, height: int) -> None:
        shape.width, shape.height = width, height

    def note_end() -> None:
        shape.is_whole = True

    return svg.walk(note_size, note_end)


_WALKS: dict[str, Callable[[Shape], _Steps]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/gif": _gif,
    "image/avif": _avif,
    svg.SVG: _svg,
}
