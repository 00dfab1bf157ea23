"""What each dialect can say of a task, in tables, and how it says it: the fields of a request.

``chat``: what Knox, OpenRouter, LiteLLM, Vercel and new-api take, and, for the server that wants
it, vLLM-omni's ``extra_body``. ``images``: OpenAI's own image models, and the open servers that
copy their path (SGLang, vLLM, LocalAI). ``openrouter-images``: OpenRouter's ``/images``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.core.model import Reference, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.core.model import Task

RATIOS: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
    "1:4": (512, 2048),
    "4:1": (2048, 512),
    "1:8": (352, 2928),
    "8:1": (2928, 352),
}
"""Pixels at 1K: OpenRouter, guides/overview/multimodal/image-generation (chat version)."""

_PIXELS = re.compile(r"(\d+)x(\d+)")
_TIERS = frozenset({"512", "1K", "2K", "4K"})  # OpenRouter, the image API's `resolution`


class Unsayable(ValueError):
    """A setting that a dialect has no words for. ``key`` names it."""

    def __init__(self, key: str, what: str) -> None:
        """``what`` is wrong, and what to do."""
        super().__init__(what)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a task wants of its image beside the prompt, in neutral words."""

    model: str
    aspect_ratio: str | None = None
    image_size: str | None = None
    seed: int | None = None
    n_references: int = 0

    @classmethod
    def of(cls, task: Task) -> Wish:
        """What ``task`` wants."""
        return cls(
            model=task.model,
            aspect_ratio=task.aspect_ratio,
            image_size=task.image_size,
            seed=task.seed,
            n_references=len(task.references),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that take the same of ``/images/generations``.

    ``sizes``: the size for each ratio, where there are no others; None: any width and height.
    """

    names: re.Pattern[str]
    sizes: Mapping[str, str] | None = None
    has_seed: bool = False
    has_response_format: bool = True


# OpenAI, API reference, images/create: GPT image models always answer base64 and refuse
# `response_format`; none of OpenAI's knows a seed. The open servers take one, and any size.
FAMILIES: tuple[Family, ...] = (
    Family(
        names=re.compile(r"(?:^|/)(?:gpt|chatgpt)-image"),
        sizes={"1:1": "1024x1024", "3:2": "1536x1024", "2:3": "1024x1536"},
        has_response_format=False,
    ),
    Family(
        names=re.compile(r"(?:^|/)dall-e-3"),
        sizes={"1:1": "1024x1024", "7:4": "1792x1024", "4:7": "1024x1792"},
    ),
    Family(names=re.compile(r"(?:^|/)dall-e"), sizes={"1:1": "1024x1024"}),
    Family(names=re.compile(r""), has_seed=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a kind of server is asked. ``says`` puts a wish into fields, or raises Unsayable.

    ``inside``: the object that those fields and ``params`` stand in, None for the body itself.
    """

    path: str
    says: Callable[[Wish], dict[str, Any]]
    inside: str | None = None
    has_modalities: bool = False


def _of_chat(wish: Wish) -> dict[str, Any]:
    """OpenRouter's guide puts sizes into ``image_config``; which ones there are, the model says."""
    named = {"aspect_ratio": wish.aspect_ratio, "image_size": wish.image_size}
    config = {name: value for name, value in named.items() if value is not None}
    return _seeded(wish) | ({"image_config": config} if config else {})


def _of_vllm_omni(wish: Wish) -> dict[str, Any]:
    pixels = pixels_of(wish)
    return _seeded(wish) | (dict(zip(("width", "height"), pixels, strict=True)) if pixels else {})


def _of_images(wish: Wish) -> dict[str, Any]:
    family = family_of(wish.model)
    if wish.n_references:
        what = "input images cannot be sent in the dialect `images`: use chat or openrouter-images"
        raise Unsayable("references", what)
    if wish.seed is not None and not family.has_seed:
        raise Unsayable("seed", f"{wish.model} takes no seed: leave it out")
    size = _size_in(family, wish)
    fields = _seeded(wish) | ({"size": size} if size else {})
    return fields | ({"response_format": "b64_json"} if family.has_response_format else {})


def _of_openrouter_images(wish: Wish) -> dict[str, Any]:
    fields, size = _seeded(wish), wish.image_size
    if size and _PIXELS.fullmatch(size):
        _check_agreement(wish)
        return fields | {"size": size}
    if size and size not in _TIERS:
        what = f"must be 512, 1K, 2K, 4K or 1024x768, or the like, here, not {size}"
        raise Unsayable("image_size", what)
    named = {"aspect_ratio": wish.aspect_ratio, "resolution": size}
    return fields | {name: value for name, value in named.items() if value is not None}


DIALECTS: Mapping[str, Dialect] = {
    "chat": Dialect(path="/chat/completions", says=_of_chat, has_modalities=True),
    "chat/vllm-omni": Dialect(
        path="/chat/completions", says=_of_vllm_omni, inside="extra_body"
    ),  # vllm-omni, entrypoints/openai/serving_chat
    "images": Dialect(path="/images/generations", says=_of_images),
    "openrouter-images": Dialect(path="/images", says=_of_openrouter_images),
}
"""The table: a row a dialect, or a server that speaks it in a way of its own."""


def dialect_of(name: str, server: str | None = None) -> Dialect:
    """The row for a profile's ``dialect`` and ``server``."""
    return DIALECTS[f"{name}/{server}" if server else name]


def unsayable(dialect: Dialect, wish: Wish) -> tuple[str, str] | None:
    """The key of the first setting that cannot be said, and what to do; None where all can."""
    try:
        dialect.says(wish)
    except Unsayable as no:
        return no.key, str(no)
    return None


def family_of(model: str) -> Family:
    """The family a model of ``/images/generations`` is of, by its name."""
    return next(family for family in FAMILIES if family.names.search(model))


def pixels_of(wish: Wish) -> tuple[int, int] | None:
    """Width and height that are wished for, None where nothing is; raises Unsayable."""
    size, ratio = wish.image_size, wish.aspect_ratio
    if size and (exact := _PIXELS.fullmatch(size)):
        _check_agreement(wish)
        return int(exact[1]), int(exact[2])
    if not size and not ratio:
        return None
    if ratio and ratio not in RATIOS:
        what = f"must be one of {', '.join(RATIOS)} here, not {ratio}: or give image_size: 1024x768"
        raise Unsayable("aspect_ratio", what)
    scale = _scale_of(size or "1K")
    width, height = RATIOS[ratio or "1:1"]
    return max(1, round(width * scale)), max(1, round(height * scale))


def request_of(dialect: Dialect, body: Mapping[str, Any], task: Task) -> Request:
    """The request whose ``body`` holds a :func:`mark` for each of the task's references."""
    text, more = orjson.dumps(body), list[bytes | Reference]()
    for number, reference in reversed(list(enumerate(task.references))):
        text, _, after = text.partition(mark(task, number).encode())
        more += (after, reference)
    is_streamed = body.get("stream") is True
    return Request(
        path=dialect.path, body=text, is_streamed=is_streamed, more=tuple(reversed(more))
    )


def mark(task: Task, number: int) -> str:
    """What stands for a reference until it is sent: no prompt can hold the hash of itself."""
    return f"reference {task.id} {number}"


def image_urls(task: Task) -> list[dict[str, Any]]:
    """The task's references as the parts that chat messages and ``input_references`` take."""
    marks = (mark(task, number) for number in range(len(task.references)))
    return [{"type": "image_url", "image_url": {"url": one}} for one in marks]


def _seeded(wish: Wish) -> dict[str, Any]:
    return {} if wish.seed is None else {"seed": wish.seed}


def _size_in(family: Family, wish: Wish) -> str | None:
    size, ratio, sizes = wish.image_size, wish.aspect_ratio, family.sizes
    if sizes is None or (size and _PIXELS.fullmatch(size)):
        pixels = pixels_of(wish)
        return f"{pixels[0]}x{pixels[1]}" if pixels else None
    if size not in {None, "1K", "1024"}:
        what = f"{wish.model} knows {', '.join(sizes.values())}, not {size}: give one of these"
        raise Unsayable("image_size", what)
    if ratio and ratio not in sizes:
        what = f"{wish.model} knows {', '.join(sizes)}, not {ratio}: give one of these"
        raise Unsayable("aspect_ratio", what)
    return sizes[ratio or "1:1"] if ratio or size else None


def _check_agreement(wish: Wish) -> None:
    """Refuse pixels and a ratio that speak of two shapes; a rounded ratio is the same shape."""
    exact = _PIXELS.fullmatch(wish.image_size or "")
    if exact is None or wish.aspect_ratio is None:
        return
    width, height = map(int, exact.groups())
    across, down = map(int, wish.aspect_ratio.split(":"))
    if abs(width * down / (height * across) - 1) > 0.05:
        what = f"{wish.image_size} is not {wish.aspect_ratio}: leave out one of the two"
        raise Unsayable("image_size", what)


def _scale_of(size: str) -> float:
    """How large ``2K`` or ``512`` is beside 1K."""
    return float(size.removesuffix("K")) if size.endswith("K") else int(size) / 1024
