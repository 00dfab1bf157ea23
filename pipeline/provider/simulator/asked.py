"""A chat request as the simulator understands it, or what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from pipeline.core.simulation import pixels_of
from pipeline.provider.dialects import RATIOS
from pipeline.provider.image import media_type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALES = {"0.5K": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_OF_DELIVERY = frozenset({"stream", "stream_options", "usage"})


class BadAsk(ValueError):
    """The request cannot be served; the message is for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request wants.

    ``size`` is in pixels. ``key`` is the same for two requests that differ only in how the reply
    is delivered (plain or streamed) or in the order of their keys. ``n_images`` is how many are
    wanted, None where the request does not say.
    """

    model: str
    prompt: str
    size: tuple[int, int]
    is_streamed: bool
    key: str
    n_images: int | None = None
    modalities: tuple[str, ...] = ()


def asked_of(raw: bytes, base: tuple[int, int]) -> Asked:
    """Read a request's body; ``base``: pixels of a square picture at 1K. Raises BadAsk."""
    body = body_of(raw)
    return Asked(
        model=model_in(body),
        prompt=_prompt_in(body.get("messages")),
        size=size_of(body.get("image_config") or {}, base),
        is_streamed=body.get("stream") is True,
        key=key_of(body),
        modalities=_words_in(body.get("modalities")),
    )


def _words_in(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def body_of(raw: bytes) -> dict[str, Any]:
    """The object in a request's body; raises BadAsk."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadAsk(f"The body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadAsk("The body must be a JSON object")
    return body


def model_in(body: Mapping[str, Any]) -> str:
    """The model that is asked for; raises BadAsk."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadAsk("No model given: `model` must be a string")
    return model


def check_pictures(parts: Any) -> None:
    """Refuse an input image whose label is not what it is; Gemini does. Raises BadAsk."""
    for part in parts if isinstance(parts, list) else ():
        url = part.get("image_url") if isinstance(part, dict) else None
        text = url.get("url") if isinstance(url, dict) else None
        if isinstance(text, str) and text.startswith("data:"):
            label, _, content = text[5:].partition(";base64,")
            try:
                true = media_type_of(pybase64.b64decode(content[:64], validate=True))
            except ValueError:
                true = None
            if label != true:
                raise BadAsk(f"An input image is labelled {label} and is {true or 'no image'}")


def _prompt_in(messages: Any) -> str:
    if not isinstance(messages, list) or not messages:
        raise BadAsk("No messages given: `messages` must be a list with at least one message")
    users = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    if not users:
        raise BadAsk("`messages` must hold a message of the role `user`")
    check_pictures(users[-1].get("content"))
    prompt = _text_of(users[-1].get("content"))
    if not prompt.strip():
        raise BadAsk("The last message of the role `user` holds no text")
    return prompt


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def size_of(config: Any, base: tuple[int, int]) -> tuple[int, int]:
    """Pixels for an ``image_config``; raises BadAsk."""
    if not isinstance(config, dict):
        raise BadAsk("`image_config` must be an object")
    ratio, size = config.get("aspect_ratio"), config.get("image_size")
    exact = pixels_of(size) if isinstance(size, str) else None
    if exact is not None:
        return exact
    scale = _one_of(_SCALES, size or "1K", "image_config.image_size")
    if ratio is None:
        return _scaled(base, scale)
    shape: tuple[int, int] = _one_of(RATIOS, ratio, "image_config.aspect_ratio")
    return _scaled(shape, scale * math.sqrt(base[0] * base[1]) / 1024)


def _one_of(table: Mapping[str, Any], word: Any, place: str) -> Any:
    if not isinstance(word, str) or word not in table:
        raise BadAsk(f"`{place}` is {word!r}; allowed are {', '.join(table)}")
    return table[word]


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def key_of(body: Mapping[str, Any]) -> str:
    """What is the same for two requests that ask for the same; raises BadAsk."""
    lasting = {name: value for name, value in body.items() if name not in _OF_DELIVERY}
    try:
        canonical = orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise BadAsk(f"The body cannot be served: {error}") from error
    return blake2b(canonical, digest_size=16).hexdigest()
