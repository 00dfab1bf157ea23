"""``verify: decode``: every pixel is decoded before an image is kept, and only then."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from harness import Case, Then, check, play
from replies import AVIF, CAT, GIF, JPEG, SVG, WEBP, data_url, images, pictured, plain, reply

from pipeline.core.model import Why

if TYPE_CHECKING:
    from pathlib import Path

DECODE: dict[str, Any] = {"output": {"verify": "decode"}}
_AT = CAT.index(b"IDAT")
_LENGTH = int.from_bytes(CAT[_AT - 4 : _AT], "big")
_NOISE = b"IDAT" + bytes(reversed(CAT[_AT + 4 : _AT + 4 + _LENGTH]))
GARBLED = CAT[:_AT] + _NOISE + struct.pack(">I", zlib.crc32(_NOISE)) + CAT[_AT + 8 + _LENGTH :]
"""A PNG whose every CRC is right and whose pixels are none."""


def case(document: Any, then: Then, *, settings: dict[str, Any] | None = None) -> Case:
    job = DECODE if settings is None else settings
    scripts = (plain(document), plain(pictured(CAT)))
    svg = {"svg": True}
    return Case(number=79, arrives="x", we="y", scripts=scripts, then=then, job=job, profile=svg)


async def test_what_does_not_decode_is_asked_for_again(tmp_path: Path) -> None:
    row = case(pictured(GARBLED), Then(images=(CAT,), attempts=2, n_requests=2))
    check(row, await play(row, tmp_path))


async def test_in_the_end_it_is_a_bad_image_and_no_file(tmp_path: Path) -> None:
    once = {**DECODE, "retry": {"attempts": 1}}
    then = Then(why=Why.BAD_IMAGE, detail="does not decode", n_requests=1)
    row = case(pictured(GARBLED), then, settings=once)
    seen = await play(row, tmp_path)
    check(row, seen)
    assert [name for name in seen.files if name.startswith("images/")] == []


async def test_of_several_images_those_that_decode_are_kept(tmp_path: Path) -> None:
    row = case(pictured(GARBLED, CAT), Then(images=(CAT,), warnings=("does not decode",)))
    check(row, await play(row, tmp_path))


async def test_by_structure_alone_it_passes(tmp_path: Path) -> None:
    row = case(pictured(GARBLED), Then(images=(GARBLED,), warnings=()), settings={})
    check(row, await play(row, tmp_path))


@pytest.mark.parametrize("image", [CAT, JPEG, WEBP, GIF, AVIF, SVG])
async def test_every_type_that_is_sound_passes(image: bytes, tmp_path: Path) -> None:
    document = reply(images=images(data_url(image, "data:;base64,")))
    row = case(document, Then(images=(image,), n_requests=1, warnings=()))
    check(row, await play(row, tmp_path))


def test_a_run_that_does_not_decode_does_not_load_pillow() -> None:
    code = "import sys, pipeline.app.drive; assert 'PIL' not in sys.modules, 'PIL'"
    subprocess.run([sys.executable, "-c", code], check=True)
