"""A scenario's endpoint: whom it lets in, and what it says to the others."""

from __future__ import annotations

from math import inf
from statistics import median
from typing import Any

import pytest

from pipeline.core.scenario import Counting, Endpoint, Scenario, Telling
from pipeline.provider.simulator.turnstile import Turnstile, Verdict

CALM: dict[str, Any] = {"error_share": 0.0, "hang_share": 0.0}


def turnstile(endpoint: Endpoint, **more: Any) -> Turnstile:
    scenario = Scenario(name="x", what="", endpoints=(endpoint,), **(CALM | more))
    return Turnstile(endpoint, scenario)


def met(gate: Turnstile, *times: float) -> list[int]:
    return [gate.enter(at).status for at in times]


def test_a_bucket_lets_in_what_it_holds_and_then_what_comes_in() -> None:
    gate = turnstile(Endpoint(per_minute=60, burst=2))
    assert met(gate, 0, 0, 0, 0.9, 1.0, 1.1, 10, 10, 10) == [
        *(200, 200, 429, 429, 200, 429, 200, 200, 429)
    ]


def test_a_fixed_window_starts_anew_with_the_minute() -> None:
    gate = turnstile(Endpoint(per_minute=2, counting=Counting.FIXED))
    assert met(gate, 0, 50, 59, 60, 61, 62) == [200, 200, 429, 200, 200, 429]


def test_a_sliding_window_looks_back_a_minute() -> None:
    gate = turnstile(Endpoint(per_minute=2, counting=Counting.SLIDING))
    assert met(gate, 0, 50, 59, 60, 61, 110) == [200, 200, 429, 200, 429, 200]


def test_refusals_may_count_too() -> None:
    endpoint = Endpoint(per_minute=1, counting=Counting.SLIDING, counts_refusals=True)
    assert met(turnstile(endpoint), 0, 30, 60, 91) == [200, 429, 429, 429]


def test_so_many_are_inside_at_once() -> None:
    gate = turnstile(Endpoint(per_minute=None, in_flight=1, names_crowd=True))
    assert gate.enter(0).is_let_in
    refused = gate.enter(0)
    assert (refused.status, refused.is_let_in) == (429, False)
    assert "concurrent" in refused.message
    gate.leave()
    assert gate.enter(1).is_let_in


def test_images_are_counted_by_what_each_reply_brings() -> None:
    gate = turnstile(
        Endpoint(per_minute=None, images_per_minute=60, burst=4), images_per_reply=(4,)
    )
    assert met(gate, 0, 3.9, 4.0) == [200, 429, 200]


def test_a_hint_says_when_there_is_room_rounded_up() -> None:
    gate = turnstile(Endpoint(per_minute=20, counting=Counting.SLIDING))
    for second in range(20):
        gate.enter(second)
    assert gate.enter(20.5).headers == {"Retry-After": "40"}
    bare = turnstile(Endpoint(per_minute=1, burst=1, gives_hint=False))
    assert met(bare, 0) == [200]
    assert bare.enter(0).headers == {}


def test_headers_tell_the_limit_with_its_unit() -> None:
    gate = turnstile(Endpoint(per_minute=20, burst=1, tells=Telling.REFUSALS))
    gate.enter(0)
    assert gate.enter(0).headers["RateLimit-Policy"] == '"default";q=20;w=60'


def test_limits_change_on_their_course_and_keys_are_revoked() -> None:
    course = ((0.0, 1.0), (10.0, 1.0), (10.0, 0.5), (20.0, 0.5), (20.0, 0.0), (40.0, 2.0))
    endpoint = Endpoint(course=course)
    assert [endpoint.share(at) for at in (0, 9.9, 10, 15, 20, 30, 40, 99)] == [
        *(1, 1, 0.5, 0.5, 0, 1, 2, 2)
    ]
    gate = turnstile(Endpoint(outages=((10.0, 20.0),), revoked_at_s=30.0))
    assert met(gate, 100, 110, 119.9, 120, 130) == [200, 503, 503, 200, 401]


def test_who_is_let_in_meets_errors_and_hangs_in_their_shares() -> None:
    endpoint = Endpoint(per_minute=None)
    gate = turnstile(endpoint, error_share=0.02, hang_share=0.01, latency_s=8, latency_p99_s=45)
    met = [gate.enter(0) for _ in range(20_000)]
    assert shares(met) == pytest.approx((0.02, 0.01), abs=0.003)
    assert median(one.after_s for one in met) == pytest.approx(8, rel=0.03)
    latest = sorted(one.after_s for one in met if one.after_s < inf)[int(0.99 * 19_800)]
    assert latest == pytest.approx(45, rel=0.1)


def shares(met: list[Verdict]) -> tuple[float, float]:
    faults = [one.fault for one in met]
    return faults.count("server_error") / len(met), faults.count("hang") / len(met)
