"""How long a server asks us to wait, in every notation seen."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.provider.hints import LONGEST_S, wait_asked_for

NOW = 1_788_220_000.0
DATE = "Mon, 31 Aug 2026 23:46:40 GMT"  # that very second


@pytest.mark.parametrize(
    ("headers", "error", "wait_s"),
    [
        ({"retry-after": "2"}, {}, 2),
        ({"retry-after": "0.5"}, {}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, 1.5),
        ({"retry-after": "Mon, 31 Aug 2026 23:47:10 GMT"}, {}, 30),
        ({"retry-after": "Mon, 31 Aug 2026 23:47:10 GMT", "date": DATE}, {}, 30),
        ({"retry-after": "0"}, {}, None),
        ({"retry-after": "-3"}, {}, None),
        ({"retry-after": "soon"}, {}, None),
        ({"retry-after": "nan"}, {}, None),
        ({"retry-after": "1e999"}, {}, None),
        ({"x-ratelimit-reset": str(int((NOW + 20) * 1000))}, {}, 20),
        ({"x-ratelimit-reset": str(int(NOW + 20))}, {}, 20),
        ({"x-ratelimit-reset": "20"}, {}, 20),
        ({"x-ratelimit-reset-requests": "6m0s"}, {}, 360),
        ({"x-ratelimit-reset-requests": "12ms"}, {}, 0.012),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": str(int(NOW + 7) * 1000)}}}, 7),
        ({}, {"availability": {"retry_after": 11}}, 11),
        ({}, {"metadata": {"retry_after": 4.5}}, 4.5),
        ({}, {"metadata": "none"}, None),
        ({}, {}, None),
    ],
)
def test_every_notation_is_read(
    headers: dict[str, str], error: dict[str, Any], wait_s: float | None
) -> None:
    asked = wait_asked_for(headers, error, arrived_at=NOW)
    assert asked == (None if wait_s is None else pytest.approx(wait_s))


def test_a_date_is_read_against_the_servers_own_clock() -> None:
    headers = {"retry-after": "Mon, 31 Aug 2026 23:46:50 GMT", "date": DATE}
    assert wait_asked_for(headers, {}, arrived_at=NOW - 86_400) == pytest.approx(10)


@pytest.mark.parametrize("value", ["999999999999", "1e308", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_hint_from_beyond_the_calendar_is_still_a_time_that_can_be_told(value: str) -> None:
    assert wait_asked_for({"retry-after": value}, {}, arrived_at=1.8e9) == LONGEST_S
