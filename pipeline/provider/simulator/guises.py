"""Whole images in odd guises: what gateways really send, and a client has to read."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pybase64

from pipeline.provider.simulator.png import png_of
from pipeline.provider.simulator.said import Layout, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Alter = Callable[[Said], Said]

_PREFIX = b"data:image/png;base64,"
_LINE = 76


def _each(change: Callable[[bytes], bytes]) -> Alter:
    """The same words with every data URL changed."""

    def alter(said: Said) -> Said:
        return replace(said, images=tuple(map(change, said.images)))

    return alter


def _laid_out(layout: Layout) -> Alter:
    def alter(said: Said) -> Said:
        return replace(said, layout=layout)

    return alter


def _base64_of(url: bytes) -> bytes:
    return url[url.index(b",") + 1 :]


def _bare(said: Said) -> Said:
    bare = _each(_base64_of)(said)
    return replace(bare, layout=Layout.SINGULAR)


def _url_safe(url: bytes) -> bytes:
    return _PREFIX + _base64_of(url).translate(bytes.maketrans(b"+/", b"-_"))


def _unpadded(url: bytes) -> bytes:
    return url.rstrip(b"=")


def _wrapped(url: bytes) -> bytes:
    """In lines, as MIME has it; the images go out as they are, so the escape is written here."""
    text = _base64_of(url)
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return _PREFIX + b"\\n".join(lines)


def _with_parameters(url: bytes) -> bytes:
    return b"DATA:image/png;charset=binary;BASE64," + _base64_of(url)


def _converted(kind: str, url: bytes) -> bytes:
    """The picture in another format, labelled as a PNG all the same."""
    from PIL import Image  # noqa: PLC0415 - only where it is asked for

    target = io.BytesIO()
    with Image.open(io.BytesIO(pybase64.b64decode(_base64_of(url)))) as picture:
        picture.save(target, kind, quality=80)
    return _PREFIX + pybase64.b64encode(target.getvalue())


def _one_pixel(_: bytes) -> bytes:
    return _PREFIX + pybase64.b64encode(png_of(b"\xff\x80\x00", 1))


def _with_draft(said: Said) -> Said:
    """A smaller draft before every image: the last one is final."""
    drafts = map(partial(_converted, "WEBP"), said.images)
    pairs = zip(drafts, said.images, strict=True)
    return replace(said, images=tuple(image for pair in pairs for image in pair))


def _repeated(said: Said) -> Said:
    return replace(said, images=tuple(image for image in said.images for _ in range(2)))


def _unfinished(said: Said) -> Said:
    return replace(said, finish_reason=None, native_finish_reason=None, is_ended=False)


def _cut_by_length(said: Said) -> Said:
    return replace(said, finish_reason="length", native_finish_reason="MAX_TOKENS")


GUISES: Mapping[str, Alter] = {
    "as_parts": _laid_out(Layout.PARTS),
    "as_markdown": _laid_out(Layout.MARKDOWN),
    "as_bare_base64": _bare,
    "as_text_url": _laid_out(Layout.TEXT_URL),
    "url_safe": _each(_url_safe),
    "unpadded": _each(_unpadded),
    "wrapped": _each(_wrapped),
    "odd_data_url": _each(_with_parameters),
    "as_jpeg": _each(partial(_converted, "JPEG")),
    "as_webp": _each(partial(_converted, "WEBP")),
    "one_pixel": _each(_one_pixel),
    "draft_first": _with_draft,
    "same_twice": _repeated,
    "unfinished": _unfinished,
    "cut_by_length": _cut_by_length,
}
"""How each guise changes what the model says."""
