"""What the model says, and the two shapes in which it goes out: one JSON document, or events.

Shapes: Knox Chat, docs/image-generation and docs/1.0.0/api-reference; OpenRouter, api_reference/
streaming. Images travel as pieces of their own, so that a large one is never copied as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
"""The comment that keeps a stream's connection open while the image is in the making."""

TOKENS_PER_IMAGE = 1290
"""As Gemini 2.5 Flash Image has them."""


class Layout(Enum):
    """Where in a message its images stand."""

    IMAGES = auto()
    """``images[].image_url.url``: Knox's image guide, OpenRouter."""
    PARTS = auto()
    """Parts of the content: Knox's API reference, vLLM-omni."""
    MARKDOWN = auto()
    """Markdown in the text: new-api."""
    TEXT_URL = auto()
    """The text is nothing but the URL: LiteLLM before 1.77."""
    SINGULAR = auto()
    """``image[].data``: one-hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One choice of the model. ``images`` are data URLs.

    ``error`` stands inside the choice, ``top_error`` beside the choices; either replaces the words.
    ``n_lost``: images that are charged and do not come. ``is_ended``: whether a stream says so.
    """

    text: str | None
    images: tuple[bytes, ...] = ()
    layout: Layout = Layout.IMAGES
    n_lost: int = 0
    is_ended: bool = True
    finish_reason: str | None = "stop"
    native_finish_reason: str | None = "STOP"
    refusal: str | None = None
    error: dict[str, Any] | None = None
    top_error: dict[str, Any] | None = None
    is_without_choice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds the choice.

    ``created`` is in Unix seconds, ``cost_usd`` for the reply, None where it is not told.
    """

    id: str
    model: str
    created: int
    prompt: str
    cost_usd: float | None


def document(said: Said, frame: Frame) -> tuple[bytes, ...]:
    """The reply as one JSON document, in pieces."""
    if said.top_error is not None:
        return (orjson.dumps({"error": said.top_error}),)
    choices = [] if said.is_without_choice else [_choice(said, frame)]
    body = {**_head(frame, "chat.completion"), "choices": choices, "usage": usage_of(said, frame)}
    return _pieces(orjson.dumps(body), said, frame)


def events(said: Said, frame: Frame) -> tuple[bytes, ...]:
    """The reply as server-sent events, in pieces."""
    if said.top_error is not None or said.error is not None:
        return _event(_broken_off(said, frame), said, frame)
    deltas = [] if said.is_without_choice else _deltas(said, frame)
    chunks = [_chunk(frame, choices=[choice]) for choice in deltas]
    chunks.append(_chunk(frame, choices=[], usage=usage_of(said, frame)))
    pieces = [piece for chunk in chunks for piece in _event(chunk, said, frame)]
    return (*pieces, b"data: [DONE]\n\n") if said.is_ended else tuple(pieces)


def _choice(said: Said, frame: Frame) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": said.refusal}
    message |= _carried(said, frame)
    choice = {"index": 0, "message": message, **_finish(said)}
    return choice if said.error is None else {**choice, "error": said.error}


def _deltas(said: Said, frame: Frame) -> list[dict[str, Any]]:
    words: dict[str, Any] = {"role": "assistant", "content": said.text or ""}
    if said.refusal is not None:
        words["refusal"] = said.refusal
    if said.layout is Layout.TEXT_URL:
        words["content"] = ""
    images = [_placed(said.layout, [_image(n, frame)]) for n in range(len(said.images))]
    unfinished = {"finish_reason": None, "native_finish_reason": None}
    spoken = [{"index": 0, "delta": delta, **unfinished} for delta in (words, *images)]
    return [*spoken, {"index": 0, "delta": {}, **_finish(said)}]


def _carried(said: Said, frame: Frame) -> dict[str, Any]:
    """The fields of a whole message that carry its images."""
    if not said.images:
        return {}
    placed = _placed(said.layout, [_image(n, frame) for n in range(len(said.images))])
    if said.layout is Layout.PARTS and said.text:
        placed["content"].insert(0, {"type": "text", "text": said.text})
    elif said.layout is Layout.MARKDOWN and said.text:
        placed["content"] = f"{said.text}\n{placed['content']}"
    return placed


def _placed(layout: Layout, images: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a message, or of one delta, that carry these images."""
    urls = [image["image_url"]["url"] for image in images]
    match layout:
        case Layout.IMAGES:
            return {"images": images}
        case Layout.PARTS:
            return {"content": list(images)}
        case Layout.MARKDOWN:
            return {"content": "\n".join(f"![image]({url})" for url in urls)}
        case Layout.TEXT_URL:
            return {"content": "\n".join(urls)}
        case Layout.SINGULAR:
            return {"image": [{"data": url} for url in urls]}


def _broken_off(said: Said, frame: Frame) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    if said.error is not None:
        return _chunk(frame, choices=[{**choice, "error": said.error}])
    return _chunk(frame, error=said.top_error, choices=[choice])


def _chunk(frame: Frame, **rest: Any) -> dict[str, Any]:
    return {**_head(frame, "chat.completion.chunk"), **rest}


def _head(frame: Frame, kind: str) -> dict[str, Any]:
    return {
        "id": frame.id,
        "provider": "Simulator",
        "model": frame.model,
        "object": kind,
        "created": frame.created,
    }


def _finish(said: Said) -> dict[str, Any]:
    return {
        "finish_reason": said.finish_reason,
        "native_finish_reason": said.native_finish_reason,
        "logprobs": None,
    }


def _image(number: int, frame: Frame) -> dict[str, Any]:
    return {"type": "image_url", "index": number, "image_url": {"url": _stand_in(number, frame)}}


def usage_of(said: Said, frame: Frame) -> dict[str, Any]:
    """Tokens and price of a reply."""
    n_asked = max(1, len(frame.prompt) // 4)
    n_image = TOKENS_PER_IMAGE * (len(said.images) + said.n_lost)
    n_said = n_image + len(said.text or "") // 4
    tokens = {
        "prompt_tokens": n_asked,
        "completion_tokens": n_said,
        "total_tokens": n_asked + n_said,
        "completion_tokens_details": {"image_tokens": n_image, "reasoning_tokens": 0},
    }
    told = {} if frame.cost_usd is None else {"cost": frame.cost_usd, "is_byok": False}
    return {**tokens, **told}


def _event(chunk: dict[str, Any], said: Said, frame: Frame) -> tuple[bytes, ...]:
    return (b"data: ", *_pieces(orjson.dumps(chunk), said, frame), b"\n\n")


def _stand_in(number: int, frame: Frame) -> str:
    return f"{frame.id}#{number}"


def _pieces(text: bytes, said: Said, frame: Frame) -> tuple[bytes, ...]:
    """``text`` with each image put where its stand-in is."""
    pieces: list[bytes] = []
    for number, image in enumerate(said.images):
        before, mark, after = text.partition(_stand_in(number, frame).encode())
        if mark:
            pieces += (before, image)
            text = after
    return (*pieces, text)
