"""How fast a provider says it lets requests in, where its headers tell the unit too.

The IETF's ``RateLimit-Policy: "name";q=100;w=60`` (draft-ietf-httpapi-ratelimit-headers) and its
older ``100;w=60``, also behind ``RateLimit-Limit``; Kong's ``X-RateLimit-Limit-Minute`` and
``-Second``; Anthropic's ``anthropic-ratelimit-requests-limit``, which is a minute's. A bare
``X-RateLimit-Limit`` may be a minute's, a day's or a model's: nothing follows from it. A quota of
more than a minute is no pace either: it may be used up at once. Nor is one of bytes (``qu``).
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING

from pipeline.core.model import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_WINDOW_S = 60.0
_LEAST_PER_MINUTE = 1.0  # no provider lets in less: it is a flaw, and would be a stall
_POLICIES = ("ratelimit-policy", "ratelimit-limit", "x-ratelimit-policy")
_A_MINUTE = {
    "x-ratelimit-limit-minute": 1.0,
    "x-ratelimit-limit-second": 60.0,
    "anthropic-ratelimit-requests-limit": 1.0,
}
_PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*([0-9.]{1,15}|\"[^\"]*\")\s*(?=;|$)", re.ASCII)
_BARE = re.compile(r"\s*([0-9.]{1,15})\s*(?=;|$)", re.ASCII)
_OF_REQUESTS = {None, '"requests"'}


def limit_told(headers: Mapping[str, str]) -> RateLimit | None:
    """The tightest limit that these headers tell; None: none. Names are in lower case."""
    rates = [rate for rate in _rates_in(headers) if isfinite(rate) and rate >= _LEAST_PER_MINUTE]
    return RateLimit(per_minute=min(rates)) if rates else None


def _rates_in(headers: Mapping[str, str]) -> Iterator[float]:
    """Requests a minute, of every limit there is."""
    for name, times in _A_MINUTE.items():
        if (n := _number(headers.get(name))) is not None:
            yield n * times
    for name in _POLICIES:
        for policy in headers.get(name, "").split(","):
            yield from _rate_of(policy)


def _rate_of(policy: str) -> Iterator[float]:
    """Requests a minute of one policy, where it names both a quota and a short enough window."""
    parameters = dict(_PARAMETER.findall(policy))
    bare = _BARE.match(policy)
    quota = _number(parameters.get("q", bare[1] if bare else None))
    window_s = _number(parameters.get("w"))
    is_of_requests = parameters.get("qu") in _OF_REQUESTS
    if is_of_requests and quota and window_s and window_s <= _LONGEST_WINDOW_S:
        yield quota * 60 / window_s


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
