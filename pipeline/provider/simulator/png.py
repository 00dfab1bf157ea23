"""PNG files, written plainly: some three times faster than an encoder that tries every filter."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME = 12  # length, type and checksum around a chunk's content


def png_of(pixels: bytes, width: int, *, level: int = 1) -> bytes:
    """A PNG of 8-bit RGB ``pixels``, row after row; ``level``: zlib's, 0 stores."""
    stride = width * 3
    rows = [pixels[at : at + stride] for at in range(0, len(pixels), stride)]
    packed = zlib.compress(b"\0" + b"\0".join(rows), level)
    return _framed(width, len(rows), packed)


def padded(png: bytes, n_bytes: int) -> bytes:
    """``png`` grown to ``n_bytes`` by a chunk that viewers skip; as it is if that is too short."""
    room = n_bytes - len(png) - _FRAME
    if room < 0:
        return png
    end = len(png) - _FRAME
    return png[:end] + _chunk(b"paDd", bytes(room)) + png[end:]


def _framed(width: int, height: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)
