"""How fast a provider says it lets requests in: only where the unit is told too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import RateLimit
from pipeline.provider.rates import limit_told


@pytest.mark.parametrize(
    ("headers", "per_minute"),
    [
        ({"ratelimit-policy": '"default";q=20;w=60'}, 20),
        ({"ratelimit-policy": '"burst";q=10;w=1, "steady"; q=100; w=60'}, 100),
        ({"ratelimit-policy": '"a";q=100;w=60,"day";q=1000;w=86400'}, 100),
        ({"ratelimit-policy": "100;w=60"}, 100),
        ({"ratelimit-limit": "10, 10;w=1, 50;w=60"}, 50),
        ({"x-ratelimit-limit-minute": "30"}, 30),
        ({"x-ratelimit-limit-second": "2"}, 120),
        ({"anthropic-ratelimit-requests-limit": "50"}, 50),
        ({"x-ratelimit-limit": "50"}, None),
        ({"x-ratelimit-limit-requests": "50", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-limit-day": "1000"}, None),
        ({"ratelimit-policy": '"day";q=1000;w=86400'}, None),
        ({"ratelimit-policy": '"odd";q=0;w=60'}, None),
        ({"ratelimit-policy": '"odd";q=5;w=0'}, None),
        ({"ratelimit-policy": '"odd";q=1.2.3;w=60'}, None),
        ({"ratelimit-policy": '"odd";q=1e9;w=60'}, None),
        ({"ratelimit-policy": '"bytes";q=20;qu="content-bytes";w=60'}, None),
        ({"ratelimit-policy": '"some";q=20;qu="requests";w=60;pk=:c2E=:'}, 20),
        ({"ratelimit-policy": '"once";q=8;qu="concurrent-requests";w=60'}, None),
        ({"x-ratelimit-limit-minute": "0.001"}, None),
        ({"x-ratelimit-limit-minute": "1e308", "x-ratelimit-limit-second": "1e308"}, 1e308),
        ({"x-ratelimit-limit-minute": "-5"}, None),
        ({"x-ratelimit-limit-minute": "nan"}, None),
        ({"x-ratelimit-limit-minute": "lots"}, None),
        ({}, None),
    ],
)
def test_a_limit_is_heard_where_its_unit_is_known(
    headers: dict[str, str], per_minute: float | None
) -> None:
    told = limit_told(headers)
    assert told == (None if per_minute is None else RateLimit(per_minute=per_minute))


NAMES = ["ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit-minute"]


@given(headers=st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_whatever_stands_there_a_limit_is_a_positive_number(headers: dict[str, str]) -> None:
    told = limit_told(headers)
    assert told is None or 0 < told.per_minute < float("inf")
