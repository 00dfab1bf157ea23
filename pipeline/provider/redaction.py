"""What a provider says, fit for messages and records: no payload, no prompt, no account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson

from pipeline.provider.extract import without_references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")

LONGEST_DETAIL = 2_000
"""Characters of a provider's message that are kept."""
LONGEST_NAME = 200
"""Characters of a model's name or of a request's id that are kept."""
LONGEST_KEY = 512
"""Where a text was cut, the beginning of a key may be left at its end: so much goes with it."""
LEAST_PROMPT = 16
"""Shorter prompts are words that a message may hold by itself."""

_DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]*)*,[A-Za-z0-9+/=_%-]*", re.IGNORECASE)
_PAYLOAD = re.compile(r"[A-Za-z0-9+/_-]{256,}={0,2}")
_MARKER = re.compile(r";\s*base64,", re.IGNORECASE)
_MOST_USAGE_BYTES, _MOST_AMOUNTS = 16_384, 64
_ACCOUNT = re.compile(r"\b(user|org)[_-][A-Za-z0-9]{12,}")


def redacted(text: str, prompt: str = "") -> str:
    """``text`` without data URLs, base64, account names and the whole ``prompt``, cut to size."""
    text = _DATA_URL.sub("<data URL>", without_references(text, "…"))
    text = _PAYLOAD.sub("…", text)
    text = _ACCOUNT.sub(r"\1-…", text)
    if len(prompt) >= LEAST_PROMPT:
        for form in (prompt, orjson.dumps(prompt, default=str).decode()[1:-1], prompt.strip()):
            text = text.replace(form, "<the prompt>")
    return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 1] + "…"


def without_payload(text: str) -> str:
    """``text`` without what stood for an image in it."""
    if ";" in text:
        text = _MARKER.sub(" ", text)
    return without_references(text, "…")


def named(text: str | None, mask: Callable[[str], str]) -> str | None:
    """A name or an id that a provider gives: one line that can be shown, of some length at most."""
    if not text:
        return None
    told = without_payload(mask(text[: LONGEST_NAME * 50]))[:LONGEST_NAME]
    return told if told.isprintable() else "".join(c if c.isprintable() else "�" for c in told)


def of_usage(usage: Mapping[str, Any], mask: Callable[[str], str]) -> Mapping[str, Any]:
    """What a reply counts, as it says it; of more than anybody counts, the numbers alone."""
    try:
        is_small = len(orjson.dumps(usage)) <= _MOST_USAGE_BYTES
    except TypeError:
        is_small = False
    if is_small:
        return masked(usage, lambda text: without_payload(mask(text)))
    amounts = [(key, one) for key, one in usage.items() if isinstance(one, int | float)]
    return {named(key, mask) or "": one for key, one in amounts[:_MOST_AMOUNTS]}


def masked(value: _T, mask: Callable[[str], str]) -> _T:
    """``value``, parsed from JSON, with ``mask`` laid over every text in it."""
    if isinstance(value, str):
        return cast("_T", mask(value))
    if isinstance(value, dict):
        return cast("_T", {mask(str(key)): masked(one, mask) for key, one in value.items()})
    if isinstance(value, list):
        return cast("_T", [masked(one, mask) for one in value])
    return value
