"""A ready picture of an exact length, for load tests: noise, which no proxy can shrink."""

from __future__ import annotations

import math
from hashlib import shake_128

from pipeline.provider.simulator.png import padded, png_of

_OVERHEAD = 200  # chunks, zlib's frame and room for the padding chunk
_PER_BLOCK = 1.0002  # stored deflate blocks and the filter byte of every row


def prebuilt_png(seed: int, n_bytes: int) -> bytes:
    """A valid PNG of ``n_bytes`` (at least 256), about square, filled with noise."""
    n_pixels = max(1, int((n_bytes - _OVERHEAD) / _PER_BLOCK / 3.1))
    width = max(1, math.isqrt(n_pixels))
    height = max(1, n_pixels // width)
    noise = shake_128(str(seed).encode()).digest(width * height * 3)
    return padded(png_of(noise, width, level=0), n_bytes)
