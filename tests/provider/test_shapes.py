"""Where the images of a reply stand."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from pipeline.provider.shapes import Shapes, name_of

BASE64 = b64encode(bytes(range(256)) * 4).decode()
URL = f"data:image/png;base64,{BASE64}"


def places(body: bytes, *, is_streamed: bool = False, step: int = 7) -> tuple[str, ...]:
    shapes = Shapes(is_streamed=is_streamed)
    for start in range(0, len(body), step):
        shapes.feed(body[start : start + step])
    return shapes.close()


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"images": [{"image_url": {"url": URL}}]}, "images list"),
        ({"image": [{"data": BASE64}]}, "image beside the text"),
        ({"content": [{"image_url": {"url": URL}}]}, "content parts"),
        ({"content": f"Here: ![cat]({URL})"}, "data URL in the text"),
        ({"surprise": URL}, "an unusual place"),
    ],
)
def test_every_shape_has_a_name(message: dict[str, Any], name: str) -> None:
    (place,) = places(json.dumps({"choices": [{"message": message}]}).encode())
    assert name_of(place).startswith(f"{name} (choices[].message.")


def test_the_images_api_has_one_too() -> None:
    (place,) = places(json.dumps({"data": [{"b64_json": BASE64}]}).encode())
    assert name_of(place) == "images API (data[].b64_json)"


def test_a_stream_is_looked_at_event_by_event() -> None:
    event = json.dumps({"choices": [{"delta": {"images": [{"image_url": {"url": URL}}]}}]})
    body = f": wait\n\ndata: {event}\n\ndata: {event}\n\ndata: [DONE]\n\n".encode()
    assert places(body, is_streamed=True) == ("choices[].delta.images[].image_url.url",)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"choices": [', b"[[[[1]]]]", b'"text"'])
def test_what_holds_no_image_has_no_place(body: bytes) -> None:
    assert places(body) == ()
