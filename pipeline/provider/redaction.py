"""What a provider says, fit for messages and records: no payload, no prompt, no account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

LONGEST_DETAIL = 2_000
"""Characters of a provider's message that are kept."""
LEAST_PROMPT = 16
"""Shorter prompts are words that a message may hold by itself."""

_DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]*)*,[A-Za-z0-9+/=_%-]*", re.IGNORECASE)
_PAYLOAD = re.compile(r"[A-Za-z0-9+/_-]{256,}={0,2}")
_ACCOUNT = re.compile(r"\b(user|org)[_-][A-Za-z0-9]{12,}")


def redacted(text: str, prompt: str = "") -> str:
    """``text`` without data URLs, base64, account names and the whole ``prompt``, cut to size."""
    text = _DATA_URL.sub("<data URL>", text)
    text = _PAYLOAD.sub("…", text)
    text = _ACCOUNT.sub(r"\1-…", text)
    if len(prompt) >= LEAST_PROMPT:
        for form in (prompt, orjson.dumps(prompt, default=str).decode()[1:-1], prompt.strip()):
            text = text.replace(form, "<the prompt>")
    return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 1] + "…"


def masked(value: _T, mask: Callable[[str], str]) -> _T:
    """``value``, parsed from JSON, with ``mask`` laid over every text in it."""
    if isinstance(value, str):
        return cast("_T", mask(value))
    if isinstance(value, dict):
        return cast("_T", {mask(str(key)): masked(one, mask) for key, one in value.items()})
    if isinstance(value, list):
        return cast("_T", [masked(one, mask) for one in value])
    return value
