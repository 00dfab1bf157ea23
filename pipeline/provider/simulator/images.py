"""The two images APIs: ``POST /images/generations`` as OpenAI has it, ``/images`` as OpenRouter.

Streamed, a preview goes before every image (OpenAI, images-streaming; OpenRouter, image API), so
that a client which keeps previews is found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from pipeline.core.simulation import pixels_of
from pipeline.provider.simulator.asked import (
    Asked,
    BadAsk,
    body_of,
    check_pictures,
    key_of,
    model_in,
    size_of,
)
from pipeline.provider.simulator.prebuilt import prebuilt_png
from pipeline.provider.simulator.said import KEEP_ALIVE, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.provider.simulator.said import Frame, Said

_MOST_IMAGES = 10
_PREVIEW_BYTES = 512


def asked_of_openai(raw: bytes, base: tuple[int, int]) -> Asked:
    """Read a body of ``/images/generations``; raises BadAsk."""
    body = body_of(raw)
    size = body.get("size")
    exact = pixels_of(size) if isinstance(size, str) else None
    if exact is None and size not in {None, "auto"}:
        raise BadAsk(f"`size` is {size!r}; it must read like 1024x1024, or be auto")
    if body.get("response_format", "b64_json") != "b64_json":
        raise BadAsk("`response_format` must be b64_json: there is no place for files here")
    return _asked(body, exact or base)


def asked_of_openrouter(raw: bytes, base: tuple[int, int]) -> Asked:
    """Read a body of ``/images``; raises BadAsk."""
    body = body_of(raw)
    tier, size = body.get("resolution"), body.get("size")
    if tier and size:
        raise BadAsk("`resolution` and `size` are both given: give one of them")
    named = {"512": "0.5K"}.get(str(tier), tier)
    config = {"aspect_ratio": body.get("aspect_ratio"), "image_size": size or named}
    check_pictures(body.get("input_references"))
    return _asked(body, size_of(config, base))


def _asked(body: Mapping[str, Any], size: tuple[int, int]) -> Asked:
    prompt, n_images = body.get("prompt"), body.get("n")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadAsk("No prompt given: `prompt` must be a string")
    if n_images is not None and n_images not in range(1, _MOST_IMAGES + 1):
        raise BadAsk(f"`n` is {n_images!r}; it must be from 1 to {_MOST_IMAGES}")
    return Asked(
        model=model_in(body),
        prompt=prompt,
        size=size,
        is_streamed=body.get("stream") is True,
        key=key_of(body),
        n_images=None if n_images == 1 else n_images,
    )


def document(said: Said, frame: Frame) -> tuple[bytes, ...]:
    """The reply as one JSON document, in pieces."""
    if error := _error_in(said):
        return (orjson.dumps({"error": error}),)
    entries = [_entry(n, frame) for n in range(len(said.images))]
    body = {"created": frame.created, "data": entries, "usage": usage_of(said, frame)}
    return _pieces(orjson.dumps(body), said, frame)


def events(said: Said, frame: Frame) -> tuple[bytes, ...]:
    """The reply as server-sent events, in pieces."""
    if error := _error_in(said):
        return (*_event("error", {"error": error}, said, frame), b"data: [DONE]\n\n")
    pieces: list[bytes] = [KEEP_ALIVE]
    for number in range(len(said.images)):
        preview = prebuilt_png(number + 1, _PREVIEW_BYTES)
        partial = {"partial_image_index": 0, "b64_json": pybase64.b64encode(preview).decode()}
        pieces += _event("image_generation.partial_image", partial, said, frame)
        whole = {**_entry(number, frame), "usage": usage_of(said, frame)}
        pieces += _event("image_generation.completed", whole, said, frame)
    return (*pieces, b"data: [DONE]\n\n") if said.is_ended else tuple(pieces)


def _error_in(said: Said) -> Mapping[str, Any] | None:
    """These APIs have one place for errors, and no words to refuse in."""
    if said.refusal:
        return {"code": "moderation_blocked", "message": said.refusal}
    return said.top_error or said.error


def _entry(number: int, frame: Frame) -> dict[str, Any]:
    return {"b64_json": _stand_in(number, frame), "media_type": "image/png"}


def _event(kind: str, rest: Mapping[str, Any], said: Said, frame: Frame) -> list[bytes]:
    text = orjson.dumps({"type": kind, **rest})
    return [f"event: {kind}\ndata: ".encode(), *_pieces(text, said, frame), b"\n\n"]


def _stand_in(number: int, frame: Frame) -> str:
    return f"{frame.id}#{number}#"


def _pieces(text: bytes, said: Said, frame: Frame) -> tuple[bytes, ...]:
    """``text`` with each image's base64 put where its stand-in is."""
    pieces: list[bytes] = []
    for number, image in enumerate(said.images):
        before, mark, after = text.partition(_stand_in(number, frame).encode())
        if mark:
            pieces += (before, image.rpartition(b",")[2])
            text = after
    return (*pieces, text)
