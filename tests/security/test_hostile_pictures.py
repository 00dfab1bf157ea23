"""Image bombs, pictures that are programs, and files that are two things at once."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image as Pillow

from pipeline.provider.image import Inspector, Look, media_type_of
from pipeline.provider.svg import MOST_BYTES
from pipeline.store.decoding import problem_of

pytestmark = pytest.mark.timeout(60)

WIDE = 60_000


def look_at(*pieces: bytes, allows_svg: bool = False) -> Look:
    inspector = Inspector(allows_svg=allows_svg)
    for piece in pieces:
        inspector.feed(piece)
    return inspector.look()


def picture(form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    Pillow.new("RGB", (16, 16), "red").save(target, form, **options)
    return target.getvalue()


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def bomb(form: str) -> bytes:
    """A small file whose header says that it is vast."""
    data = picture(form)
    if form == "PNG":
        header = struct.pack(">II", WIDE, WIDE) + data[24:29]
        crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
        return data[:16] + header + crc + data[33:]
    if form == "JPEG":
        return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", WIDE, WIDE))
    if form == "GIF":
        return patched(data, 6, struct.pack("<HH", WIDE, WIDE))
    if form == "AVIF":
        return patched(data, data.index(b"ispe") + 8, struct.pack(">II", WIDE, WIDE))
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (WIDE - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + extended + data[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_a_bomb_is_known_by_its_header(form: str) -> None:
    assert look_at(picture(form)).problem is None
    assert "megapixels" in str(look_at(bomb(form)).problem)


def test_a_frame_larger_than_its_screen_is_a_bomb_too() -> None:
    data = picture("GIF")
    frame = data.index(b"\x2c\0\0\0\0")
    assert "megapixels" in str(
        look_at(patched(data, frame + 5, struct.pack("<HH", WIDE, WIDE))).problem
    )


def test_a_small_size_does_not_hide_a_large_one() -> None:
    jpeg = picture("JPEG")
    at = jpeg.index(b"\xff\xc0")
    length = 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    vast = patched(jpeg[at : at + length], 5, struct.pack(">HH", WIDE, WIDE))
    assert "megapixels" in str(look_at(jpeg[:at] + vast + jpeg[at:]).problem)
    avif = picture("AVIF")
    meta = avif.index(b"meta") - 4
    end = meta + struct.unpack(">I", avif[meta : meta + 4])[0]
    more = struct.pack(">I", 20) + b"ispe" + bytes(4) + struct.pack(">II", WIDE, WIDE)
    grown = struct.pack(">I", end - meta + len(more)) + avif[meta + 4 : end] + more
    assert "megapixels" in str(look_at(avif[:meta] + grown + avif[end:]).problem)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_a_bomb_is_not_decoded_either(form: str) -> None:
    media_type = f"image/{form.lower()}"
    assert problem_of(io.BytesIO(picture(form)), media_type) is None
    problem_of(io.BytesIO(bomb(form)), media_type)  # ends, and takes no memory to speak of


def test_a_picture_is_decoded_as_what_it_was_taken_for_and_as_nothing_else() -> None:
    assert problem_of(io.BytesIO(picture("GIF")), "image/png")


@pytest.mark.parametrize(
    "head",
    [
        b"<html><script>alert(1)</script>",
        b"<!DOCTYPE html><svg onload=alert(1)>",
        b"%PDF-1.7 and more of it",
        b"PK\x03\x04 a zip, a jar, an office file",
        b"MZ\x90\0 a program of Windows",
        b"\x7fELF\x02\x01\x01 a program",
        b"GIF8 not quite a picture",
        b"BM a bitmap, which nobody asked for",
        b"\0\0\0\x18ftypmp42 a film of sorts",
        b"#!/bin/sh\nrm -rf /\n",
    ],
)
def test_what_is_no_image_gets_no_name_of_one(head: bytes) -> None:
    seen = look_at(head.ljust(64))
    assert seen.problem
    assert media_type_of(head.ljust(64)) is None


def test_a_picture_that_is_a_web_page_too_is_kept_under_the_pictures_name_only() -> None:
    """What stands behind its end stays, as it came: the name makes every reader see a picture."""
    seen = look_at(picture("PNG") + b"<html><script>alert(1)</script></html>")
    assert (seen.media_type, seen.problem) == ("image/png", None)


def drawing(inside: str = "", attributes: str = "", before: str = "") -> bytes:
    named = "xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'"
    return f"{before}<svg {named} width='3' height='4' {attributes}>{inside}</svg>".encode()


@pytest.mark.parametrize(
    "text",
    [
        drawing("<g fill='red'><path d='M 0 0 L 1 1'/><text>on: javascript</text></g>"),
        drawing("<a href='https://example.com/'><rect/></a>"),
        drawing("<image href='data:image/png;base64,AAAA'/>"),
        drawing("<style>rect { fill: red }</style>"),
    ],
)
def test_a_drawing_that_only_draws_is_taken(text: bytes) -> None:
    assert look_at(text, allows_svg=True).problem is None


@pytest.mark.parametrize(
    "text",
    [
        drawing("<script>alert(1)</script>"),
        drawing("<SCRIPT href='x.js'/>"),
        drawing("<h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script>"),
        drawing(attributes="onload='alert(1)'"),
        drawing("<rect ONCLICK='alert(1)'/>"),
        drawing("<a href='javascript:alert(1)'><rect/></a>"),
        drawing("<a xlink:href=' java&#10;script&#58;alert(1)'><rect/></a>"),
        drawing("<set attributeName='href' to='javascript:alert(1)'/>"),
        drawing("<animate attributeName='href' values='x;javascript:alert(1)'/>"),
        drawing("<use href='data:image/svg+xml,&lt;svg/>'/>"),
        drawing("<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>x</p></foreignObject>"),
        drawing("<iframe xmlns='http://www.w3.org/1999/xhtml' src='x'/>"),
        drawing(before="<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='x.xsl'?>"),
        drawing(before="<!DOCTYPE svg [<!ENTITY a 'aaaa'>]>", inside="&a;"),
        drawing(before="<!DOCTYPE svg [<!ENTITY % a SYSTEM 'file:///etc/passwd'>%a;]>"),
    ],
)
def test_a_drawing_that_a_browser_would_run_is_refused(text: bytes) -> None:
    assert look_at(text, allows_svg=True).problem


def test_no_drawing_is_taken_unasked() -> None:
    assert "svg: true" in str(look_at(drawing()).problem)


def test_a_tag_that_never_ends_ends_with_the_cap() -> None:
    pieces = [b"<svg a='"] + [b"x" * 65_536] * (2 * MOST_BYTES // 65_536)
    assert look_at(*pieces, allows_svg=True).problem


def test_a_drawing_of_a_million_groups_within_each_other_is_walked_flat() -> None:
    deep = drawing("<g>" * 200_000 + "</g>" * 200_000)
    assert look_at(deep, allows_svg=True).problem is None
