"""How long a server asks us to wait, in every notation seen.

``retry-after-ms``; ``Retry-After`` as seconds, fractions, or an HTTP date (RFC 9110, 10.2.3; read
relative to the reply's own ``Date``, so that our clock does not matter); ``X-RateLimit-Reset`` as
epoch milliseconds (OpenRouter), epoch seconds, seconds to go or ``6m0s`` (OpenAI); the same
headers copied into ``error.metadata.headers``; ``retry_after`` in the error itself.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_S = 366 * 86_400.0
"""No hint is longer: beyond the year 9999 there are no dates to tell it by."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_PLAIN = str | int | float
_NAMES_OF_RESET = ("x-ratelimit-reset-requests", "x-ratelimit-reset", "ratelimit-reset")


def wait_asked_for(
    headers: Mapping[str, str], error: Mapping[str, Any], *, arrived_at: float
) -> float | None:
    """Seconds to wait from the reply's arrival, None where it does not say.

    ``headers`` has lower-case names, ``error`` is the error object of the body (or empty),
    ``arrived_at`` is in seconds since the epoch. Hints of 0 or less count as none.
    """
    copied = _mapping(_mapping(error.get("metadata")).get("headers"))
    plain = (one for one in copied.items() if isinstance(one[1], _PLAIN))
    lower = {name.lower(): str(value) for name, value in plain} | dict(headers)
    here = _date(lower.get("date", "")) or arrived_at
    for seconds in (
        _number(lower.get("retry-after-ms"), scale=0.001),
        _number(lower.get("retry-after")),
        _until(_date(lower.get("retry-after", "")), here),
        _number(_mapping(error.get("availability")).get("retry_after")),
        _number(_mapping(error.get("metadata")).get("retry_after")),
        _number(error.get("retry_after")),
        *(_reset(lower.get(name, ""), here) for name in _NAMES_OF_RESET),
    ):
        if seconds is not None and seconds > 0:
            return min(seconds, LONGEST_S)
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object, *, scale: float = 1.0) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value) * scale
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _until(instant: float | None, here: float) -> float | None:
    return None if instant is None else instant - here


def _reset(value: str, here: float) -> float | None:
    number = _number(value)
    if number is None:
        parts = _DURATION.fullmatch(value)
        if not value or not parts:
            return None
        hours, minutes, seconds, milliseconds = (
            _number(part or 0) or 0.0 for part in parts.groups()
        )
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if number > 1e12:
        return number / 1000 - here
    return number - here if number > 1e9 else number
