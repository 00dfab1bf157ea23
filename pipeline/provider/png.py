"""Whether a PNG is whole: its chunks, as they pass, whatever pieces they come in.

An image has hundreds of chunks (libpng writes 8 KiB each), so that this loop is among the few that
decide what an image costs: it looks at each chunk once, where it lies.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_SIGNATURE_BYTES = 8
_WHATEVER_COMES = -(1 << 62)
_HEAD = Struct(">I4s")
_CHECK = Struct(">I")
_SIZE = Struct(">II")
_HEADER_BYTES = 13


def walk(cover: Callable[[int, int], None]) -> Generator[int, memoryview, bool]:
    """A walk as ``image`` wants it: asks for bytes, returns whether the end came and was sound.

    ``cover`` is given width and height.
    """
    yield _SIGNATURE_BYTES
    chunks = _Chunks(cover)
    rest = b""
    while chunks.is_whole is None:
        piece = yield _WHATEVER_COMES
        rest = chunks.feed(memoryview(rest + piece) if rest else piece)
    return chunks.is_whole


class _Chunks:
    """Length, type, content, CRC, up to IEND (https://www.w3.org/TR/png/#5Chunk-layout).

    ``is_whole``: None as long as the end has not come.
    """

    def __init__(self, cover: Callable[[int, int], None]) -> None:
        self.is_whole: bool | None = None
        self._cover = cover
        self._kind: bytes | None = None  # of the chunk under way
        self._left = 0  # of its content
        self._crc = 0

    def feed(self, piece: memoryview) -> bytes:
        """Look at a piece; what is too short to be looked at comes back, for the next one."""
        at, n, kind, left, crc = 0, len(piece), self._kind, self._left, self._crc
        while self.is_whole is None:
            if kind is None:
                if n - at < _HEAD.size:
                    break
                left, kind = _HEAD.unpack_from(piece, at)
                if kind == b"IHDR" and not self._is_noted(piece, at, left):
                    kind = None
                    break
                at, left, crc = at + 4, left + 4, 0  # the type is checked with the content
            here = piece[at : at + left]
            crc = crc32(here, crc)
            at += len(here)
            left -= len(here)
            if left or n - at < _CHECK.size:
                break
            if _CHECK.unpack_from(piece, at)[0] != crc or kind == b"IEND":
                self.is_whole = _CHECK.unpack_from(piece, at)[0] == crc
            at += _CHECK.size
            kind = None
        self._kind, self._left, self._crc = kind, left, crc
        return bytes(piece[at:])

    def _is_noted(self, piece: memoryview, at: int, n_bytes: int) -> bool:
        """Note the size in the header at ``at``, if it is as long as one; False: more must come."""
        if n_bytes != _HEADER_BYTES:
            return True
        if len(piece) - at < _HEAD.size + _SIZE.size:
            return False
        self._cover(*_SIZE.unpack_from(piece, at + _HEAD.size))
        return True
