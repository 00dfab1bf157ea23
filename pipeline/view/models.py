"""The models of a provider as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.prices import is_of_a_token, plain_usd
from pipeline.view.wording import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Listed = tuple[str, Sequence[str], Sequence[str] | None, Mapping[str, float]]

_HEADER = ("MODEL", "TAKES", "GIVES", "PRICE (US DOLLARS)")
_IMAGE = "image_output"
_UNITS = {
    "prompt": "${} a million tokens in",
    "completion": "${} out",
    "image_token": "${} for image tokens",
    "image": "${} an image in",
    _IMAGE: "${} an image",
    "request": "${} a request",
}
_BY_TOKENS = "images ${}/token"


def models_text(models: Sequence[Listed], provider: str) -> str:
    """A line a model: id, what it takes, what it gives, prices in US dollars."""
    if not models:
        return f"{printable(provider)} lists no model that makes images"
    rows = [_HEADER, *map(_row, models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if all(gives is None for _, _, gives, _ in models):
        lines.append(f"{printable(provider)} does not say which of these make images")
    return "\n".join(lines)


def _row(model: Listed) -> tuple[str, str, str, str]:
    name, takes, gives, prices = model
    price = ", ".join(_said(unit, prices[unit]) for unit in _UNITS if prices.get(unit))
    is_free = bool(prices) and not price
    return (
        printable(name),
        printable("+".join(takes) or "?"),
        printable("+".join(gives or ()) or "?"),
        "free" if is_free else price or "?",
    )


def _said(unit: str, usd: float) -> str:
    """A price with its unit; what is too little for an image is the price of its tokens."""
    is_by_tokens = unit == _IMAGE and is_of_a_token(usd)
    return (_BY_TOKENS if is_by_tokens else _UNITS[unit]).format(plain_usd(usd))
