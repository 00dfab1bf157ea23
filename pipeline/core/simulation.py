"""What the embedded provider plays: every setting of the simulator, its default and its unit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Play ``fault`` on chosen requests.

    A rule fires for a request when every condition it names holds: ``prompt`` is contained in the
    prompt, ``attempt`` is which time the same body was asked for (from 1), ``request`` is the
    number of the request since the start (from 1). ``rate`` then fires it for that share of
    the requests, drawn from the seed and the body, so that runs repeat.
    """

    fault: str
    rate: float = 1.0
    prompt: str | None = None
    attempt: int | None = None
    request: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The settings of a simulated provider.

    ``latency_s`` and ``latency_p99_s`` are the median and 99th percentile of a log-normal
    distribution; 0 answers at once. ``requests_per_minute`` and ``concurrency`` are what it
    enforces with 429 and ``Retry-After``; None enforces nothing. ``images``: ``drawn`` from the
    prompt or ``prebuilt`` (ready bytes of ``prebuilt_bytes`` length, for load tests). ``faults``
    maps a fault's name to the share of requests that meet it; ``rules`` come first.
    """

    seed: int = 0
    latency_s: float = 0.15
    latency_p99_s: float = 0.6
    requests_per_minute: float | None = None
    concurrency: int | None = None
    image_size: str = "512x512"
    images: str = "drawn"
    prebuilt_bytes: int = 150_000
    images_per_reply: int = 1
    cost_usd: float = 0.0
    api_key: str | None = None
    faults: dict[str, float] = field(default_factory=dict)
    rules: tuple[FaultRule, ...] = ()
