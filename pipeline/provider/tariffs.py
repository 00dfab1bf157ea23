"""What a provider's list of models says an image costs, by the image or by its tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.core.prices import Tariff, is_of_a_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.provider.catalog import Catalog, Model

# The fewest and the most tokens of an image. Google, Gemini API pricing: 1,290 up to 1024x1024 for
# 2.5 Flash; 1,120 at 1K and 2K, 2,000 at 4K for 3 Pro. OpenAI, image generation guide: 272 in low
# quality, 6,240 in high at 1024x1536. Seedream 4.5: 4,175, as OpenRouter counts them.
IMAGE_TOKENS: tuple[tuple[re.Pattern[str], int, int], ...] = (
    (re.compile(r"gemini-2\.5-flash-image"), 1290, 1290),
    (re.compile(r"gemini-3-pro-image"), 1120, 2000),
    (re.compile(r"gpt-(?:5-)?image"), 272, 6240),
    (re.compile(r"seedream-4\.5"), 4175, 4175),
)
"""Models whose images are sold by tokens, by a part of their names."""


def tariff_in(catalog: Catalog, name: str, source: str) -> Tariff | None:
    """What ``catalog`` says that the model ``name`` costs; None where it does not say.

    A variant of a listed model (``:free``, ``:nitro``) has a price of its own, which is unknown.
    """
    model = next((one for one in catalog.models if name in (one.id, *one.also)), None)
    return tariff_of(model, source) if model else None


def tariff_of(model: Model, source: str) -> Tariff | None:
    """What an image of ``model`` costs; None where nobody knows how many tokens it takes."""
    prices = model.prices
    found = _image_in(model)
    if found is None:
        return None
    image_usd, image_tokens = found
    return Tariff(
        source=source,
        image_usd=image_usd,
        image_tokens=image_tokens,
        request_usd=prices.get("request", 0.0),
        prompt_token_usd=prices.get("prompt", 0.0) / 1e6,
        said_token_usd=prices.get("completion", 0.0) / 1e6,
        reference_usd=prices.get("image", 0.0),
    )


def _image_in(model: Model) -> tuple[tuple[float, float], int] | None:
    """The least and the most of an image in US dollars, and its tokens at least."""
    prices = model.prices
    image = prices.get("image_output")
    if image and not is_of_a_token(image):
        return (image, image), 0
    if image:
        tokens = _tokens_of(model)
        return ((tokens[0] * image, tokens[1] * image), tokens[0]) if tokens else None
    return ((0.0, 0.0), 0) if prices.get("request") or _is_free(prices) else None


def _is_free(prices: Mapping[str, float]) -> bool:
    """Whether the list says so of the image, too: models sold by tokens often leave it out."""
    return "image_output" in prices and not any(prices.values())


def _tokens_of(model: Model) -> tuple[int, int] | None:
    for pattern, least, most in IMAGE_TOKENS:
        if any(pattern.search(name) for name in (model.id, *model.also)):
            return least, most
    return None
