"""What one request may cost: the least, the most, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SEEN = "replies seen in this folder"
"""The source of what replies told."""

_LEAST_IMAGE_USD = 0.0005
_MOST_SAID_TOKENS = 4096
# OpenAI's dearest picture, 1024x1536 in high quality; an input image is not known to take more.
_MOST_REFERENCE_TOKENS = 6240


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one request may cost, in US dollars; ``source``: who says so, in words for a person."""

    low_usd: float
    high_usd: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What one source says of a model, in US dollars.

    ``image_usd``: the least and the most of an image that is made, ``image_tokens``: how many
    tokens that is at least, 0 where it is not sold by tokens. ``request_usd`` is added to every
    request, ``prompt_token_usd`` and ``said_token_usd`` for every token of text asked and
    answered, ``reference_usd`` for an input image. ``n_images``: how many a reply carries where
    the request asks for no number.
    """

    source: str
    image_usd: tuple[float, float]
    image_tokens: int = 0
    request_usd: float = 0.0
    prompt_token_usd: float = 0.0
    said_token_usd: float = 0.0
    reference_usd: float = 0.0
    n_images: int = 1


class Ask(NamedTuple):
    """What of a request makes its price.

    ``n_images``: how many it asks for, None where it does not say; ``most_tokens``: what the reply
    may have, its images' among them.
    """

    n_images: int | None = None
    prompt_bytes: int = 0
    n_references: int = 0
    most_tokens: int = _MOST_SAID_TOKENS

    @classmethod
    def of(cls, params: Mapping[str, Any], *, prompt_bytes: int, n_references: int) -> Ask:
        """What ``params`` ask for beside the prompt and the input images."""
        most = _count(params.get("max_tokens")) or _count(params.get("max_completion_tokens"))
        return cls(
            n_images=_count(params.get("n")),
            prompt_bytes=prompt_bytes,
            n_references=n_references,
            most_tokens=most or _MOST_SAID_TOKENS,
        )


def price_of(
    ask: Ask, tariffs: Iterable[Tariff], seen: tuple[float, float] | None = None
) -> Price | None:
    """The price of a request to a model that ``tariffs`` speak of; None where nobody knows.

    ``seen``: the cheapest and the dearest reply of the model so far, in US dollars; one that was
    free was maybe a refusal, and says nothing of the rest. Where sources differ, the least and the
    most that any of them says.
    """
    prices = [_by(tariff, ask) for tariff in tariffs]
    if seen and seen[1]:
        low_usd = seen[0] or min([price.low_usd for price in prices], default=0.0)
        prices.append(Price(low_usd=low_usd, high_usd=max(low_usd, seen[1]), source=SEEN))
    return widest(prices)


def widest(prices: Sequence[Price]) -> Price | None:
    """The least and the most of any of ``prices``; None where there are none."""
    if not prices:
        return None
    return Price(
        low_usd=min(price.low_usd for price in prices),
        high_usd=max(price.high_usd for price in prices),
        source="; ".join(dict.fromkeys(price.source for price in prices)),
    )


def models_in(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that may answer in place of the one that is asked (OpenRouter, `models`)."""
    named = params.get("models")
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def is_of_a_token(image_usd: float) -> bool:
    """Whether a listed ``image_output`` is the price of a token and not of an image.

    OpenRouter lists 0.00003 for google/gemini-2.5-flash-image: 1,290 tokens and 0.039 dollars an
    image.
    """
    return 0 < image_usd < _LEAST_IMAGE_USD


def plain_usd(usd: float) -> str:
    """``0.00003``: every digit that was given, and no exponent."""
    return f"{usd:.10f}".rstrip("0").rstrip(".")


def _by(tariff: Tariff, ask: Ask) -> Price:
    """A provider may bring fewer images than asked for; a token of text is a byte at least."""
    few, many = sorted((tariff.n_images, ask.n_images or tariff.n_images))
    low, high = tariff.image_usd
    said = max(0, ask.most_tokens - tariff.image_tokens) * tariff.said_token_usd
    asked_tokens = ask.prompt_bytes + ask.n_references * _MOST_REFERENCE_TOKENS
    beside = said + asked_tokens * tariff.prompt_token_usd
    beside += ask.n_references * tariff.reference_usd
    return Price(
        low_usd=tariff.request_usd + few * low,
        high_usd=tariff.request_usd + many * high + beside,
        source=tariff.source,
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
