"""What the bytes are: type, size, whole or cut."""

from __future__ import annotations

import hashlib
import io
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from pipeline.provider.image import Inspector, Look

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("image/png", {}),
    "JPEG": ("image/jpeg", {"quality": 90}),
    "WEBP": ("image/webp", {}),
    "GIF": ("image/gif", {}),
    "AVIF": ("image/avif", {}),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, options) for name, (_, options) in FORMATS.items()},
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "WebP with alpha": ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
}


def picture(variant: str, size: tuple[int, int] = (61, 47)) -> bytes:
    kind, options = VARIANTS[variant]
    noise = random.Random(3).randbytes(size[0] * size[1] * 3)
    target = io.BytesIO()
    Pillow.frombytes("RGB", size, noise).save(target, kind, **options)
    return target.getvalue()


def looked_at(data: bytes, step: int = 1 << 20) -> tuple[Look, bytes]:
    inspector = Inspector()
    kept = b"".join(inspector.feed(data[at : at + step]) for at in range(0, len(data), step))
    return inspector.look(), kept


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_whole_image_is_recognised_with_its_size(variant: str, step: int) -> None:
    data = picture(variant)
    look, kept = looked_at(data, step)
    assert kept == data
    assert look == Look(
        media_type=FORMATS[VARIANTS[variant][0]][0],
        width=61,
        height=47,
        n_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        problem=None,
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cut_image_is_never_called_whole(variant: str) -> None:
    data = picture(variant)
    for end in random.Random(5).sample(range(len(data) - 2), 150):
        assert looked_at(data[:end])[0].problem, end


@given(at=st.integers(8, 2_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_png_is_noticed(at: int, bit: int) -> None:
    data = bytearray(picture("PNG"))
    data[at % len(data)] ^= 1 << bit
    if at % len(data) >= 8:
        assert looked_at(bytes(data))[0].problem


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<html><body>No</body></html>", b'{"error": "no image"}', b"\x89PNG\r\n"]
)
def test_what_is_no_image_is_not_kept(data: bytes) -> None:
    look, kept = looked_at(data)
    assert look.problem
    assert look.media_type is None
    assert kept == b""


def test_an_image_bomb_is_refused_by_its_header() -> None:
    data = bytearray(picture("PNG"))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    assert "megapixels" in str(looked_at(bytes(data))[0].problem)
