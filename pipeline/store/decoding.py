"""Decodes an image to its last pixel, for ``verify: decode``; the only import of Pillow in a run.

What the structure cannot show, a damaged scan of a JPEG for one, shows here. It costs some ten
milliseconds a megapixel, in a thread; nothing that is decoded is kept.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_PIXELS = 256_000_000
"""The most that is decoded of one file, all its frames together."""

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
}
# What Pillow's decoders raise over broken files.
_DAMAGES = (OSError, SyntaxError, ValueError, LookupError, ArithmeticError, TypeError, MemoryError)


def problem_of(file: BinaryIO, media_type: str) -> str | None:
    """What is wrong with the image in ``file``, None if it decodes.

    A type that this Pillow cannot decode, and SVG, which has no pixels, pass.
    """
    from PIL import Image  # noqa: PLC0415 - nobody else pays for it

    Image.init()
    form = _FORMATS.get(media_type)
    if form not in Image.OPEN:
        return None
    bomb = Image.DecompressionBombError
    try:
        with Image.open(file, formats=(form,)) as picture:
            _decode(picture)
    except (*_DAMAGES, bomb, EOFError, struct.error, zlib.error) as error:
        return f"the image does not decode: {str(error) or type(error).__name__}"
    return None


def _decode(picture: Picture) -> None:
    n_left = MOST_PIXELS
    for frame in range(getattr(picture, "n_frames", 1)):
        n_left -= picture.width * picture.height
        if n_left < 0:
            return
        picture.seek(frame)
        picture.load()
