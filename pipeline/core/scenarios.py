"""The weather that limits are tested in, by name: for the tests, the simulator, the benchmark."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.scenario import Counting, Endpoint, Scenario, Telling

_HALVES = ((0.0, 1.0), (100.0, 1.0), (100.0, 0.5), (200.0, 0.5), (200.0, 1.0))
_DOUBLES = ((0.0, 1.0), (100.0, 1.0), (100.0, 2.0))
_TWO_MINUTES = tuple(float(n) for n in range(0, 1_800, 120))
_SHARED = tuple(
    point
    for start_s in _TWO_MINUTES
    for point in ((start_s, 0.5), (start_s + 60, 0.5), (start_s + 60, 1.0), (start_s + 120, 1.0))
)


def _told(name: str, what: str, endpoint: Endpoint) -> Scenario:
    return Scenario(name=name, what=what, endpoints=(endpoint,), is_told=True)


def _found(name: str, what: str, endpoint: Endpoint, *, n_tasks: int = 3_000) -> Scenario:
    return Scenario(name=name, what=what, endpoints=(endpoint,), n_tasks=n_tasks)


_FIXED = Endpoint(counting=Counting.FIXED)
_SLIDING = Endpoint(counting=Counting.SLIDING)
_SLOW = Endpoint(per_minute=20, counting=Counting.SLIDING)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _told("known-bucket", "600 a minute, known: a token bucket", Endpoint()),
        _told("known-minute", "600 a minute, known: by the minute of the clock", _FIXED),
        _told("known-sliding", "600 a minute, known: in the last minute", _SLIDING),
        _told("known-deep", "600 a minute, known: a deep bucket", Endpoint(burst=600)),
        _found("bucket", "600 a minute, unknown: a token bucket", Endpoint()),
        _found("bucket-bare", "the same, bare 429s", Endpoint(gives_hint=False)),
        _found("minute", "600 a minute, unknown: by the minute of the clock", _FIXED),
        _found(
            "minute-bare",
            "the same, bare 429s",
            replace(_FIXED, gives_hint=False),
        ),
        _found(
            "sliding-bare",
            "600 in the last minute, unknown, refusals counted, bare 429s",
            replace(_SLIDING, gives_hint=False, counts_refusals=True),
        ),
        _found("deep", "600 a minute, unknown: a deep bucket", Endpoint(burst=600)),
        _found(
            "crowd",
            "24 in flight, unknown, bare 429s",
            Endpoint(per_minute=None, in_flight=24, gives_hint=False),
            n_tasks=600,
        ),
        _told("halves", "600 a minute, known: halves, and returns", Endpoint(course=_HALVES)),
        _found(
            "halves-unknown", "600 a minute, unknown: halves, and returns", Endpoint(course=_HALVES)
        ),
        _found("doubles", "the limit doubles", Endpoint(course=_DOUBLES)),
        _told("outage", "60 s of 503, the limit known", Endpoint(outages=((100.0, 160.0),))),
        _found("outage-unknown", "60 s of 503", Endpoint(outages=((100.0, 160.0),))),
        replace(_told("few", "200 prompts, the limit known", Endpoint()), n_tasks=200),
        _found("few-unknown", "200 prompts", Endpoint(), n_tasks=200),
        Scenario(
            name="revoked",
            what="three keys of 300, 150 and 150 a minute, the first revoked at 120 s",
            endpoints=(
                Endpoint(per_minute=300, revoked_at_s=120.0),
                Endpoint(per_minute=150),
                Endpoint(per_minute=150),
            ),
            is_told=True,
        ),
        Scenario(
            name="images",
            what="600 requests and 600 images a minute, known, 1 to 4 images each",
            endpoints=(Endpoint(images_per_minute=600, burst=25),),
            is_told=True,
            n_tasks=1_500,
            images_per_reply=(1, 2, 3, 4),
        ),
        _told(
            "shared",
            "600 a minute, known: another client eats half of it, every other minute",
            Endpoint(course=_SHARED),
        ),
        _found("shared-unknown", "the same, unknown", Endpoint(course=_SHARED)),
        Scenario(
            name="fast",
            what="6,000 a minute, known, 0.6 s latency",
            endpoints=(Endpoint(per_minute=6_000, burst=100),),
            is_told=True,
            latency_s=0.6,
            latency_p99_s=3.4,
        ),
        Scenario(
            name="fast-unknown",
            what="6,000 a minute, unknown, 0.6 s latency",
            endpoints=(Endpoint(per_minute=6_000, burst=100),),
            latency_s=0.6,
            latency_p99_s=3.4,
        ),
        _found(
            "told-late",
            "20 in the last minute, unknown, headers on the 429 only",
            replace(_SLOW, tells=Telling.REFUSALS),
            n_tasks=200,
        ),
        _found("one-token", "600 a minute, no two within 0.1 s", Endpoint(burst=1)),
        _found(
            "one-token-bare",
            "the same, bare 429s",
            Endpoint(burst=1, gives_hint=False),
        ),
        _found("slow-sliding", "20 in the last minute, unknown", _SLOW, n_tasks=200),
        _found(
            "slow-bucket",
            "20 a minute, unknown: a bucket of 3, bare 429s",
            Endpoint(per_minute=20, burst=3, gives_hint=False),
            n_tasks=200,
        ),
        _found(
            "slower",
            "6 a minute, unknown: a bucket of 1",
            Endpoint(per_minute=6, burst=1),
            n_tasks=60,
        ),
        _found(
            "climbs",
            "the limit climbs from 120 to 1,200 in 5 minutes",
            Endpoint(course=((0.0, 0.2), (300.0, 2.0))),
        ),
        _found(
            "falls",
            "the limit falls from 1,200 to 120 in 5 minutes",
            Endpoint(course=((0.0, 2.0), (300.0, 0.2))),
        ),
        _found(
            "crowd-2",
            "2 in flight, unknown, bare 429s",
            Endpoint(per_minute=None, in_flight=2, gives_hint=False),
            n_tasks=100,
        ),
        _found(
            "crowd-3-hinted",
            "3 in flight, unknown",
            Endpoint(per_minute=None, in_flight=3),
            n_tasks=100,
        ),
        _found(
            "crowd-named",
            "24 in flight, unknown, named by the 429s",
            Endpoint(per_minute=None, in_flight=24, names_crowd=True),
            n_tasks=600,
        ),
        _found("handful", "40 prompts", Endpoint(), n_tasks=40),
        _found("crowd-64", "64 in flight, unknown", Endpoint(per_minute=None, in_flight=64)),
    )
}
"""Every scenario by its name."""
