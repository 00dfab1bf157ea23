"""What the embedded provider plays: every setting of the simulator, its default and its unit."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from pipeline.core.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAULTS: Mapping[str, str] = {
    "server_error": "500 with a JSON error",
    "bad_gateway": "502 with an HTML page",
    "overloaded": "503 with Retry-After",
    "gateway_timeout": "524 with an HTML page, as a proxy in front answers for a slow origin",
    "throttled": "429 with Retry-After",
    "daily_quota": "429 that only the next UTC midnight lifts",
    "unauthorized": "401: the key is not known",
    "no_credit": "402: the account is empty",
    "forbidden_model": "403: this key may not use this model",
    "firewall": "403 with an HTML page",
    "moderated": "403 with the reasons of a moderation; a property of the prompt",
    "no_model": "404: no such model",
    "bad_request": "400: the request is wrong; a property of the prompt",
    "redirect": "307 to another host",
    "text_only": "200 with words instead of an image",
    "refused": "200 that declines, finish reason content_filter; a property of the prompt",
    "no_choices": "200 with an empty list of choices",
    "error_in_200": "200 with a top-level error of code 429",
    "error_in_choice": "200 with an error of code 502 inside the choice",
    "empty": "200 with an empty body",
    "html": "200 with an HTML page",
    "half_json": "200 with a complete body of half a JSON document",
    "bad_base64": "200 with characters in the image that are not base64",
    "cut_image": "200 with valid base64 of the first half of the image",
    "cut": "the connection closes in the middle of the body",
    "stall": "nothing more comes after the middle of the body",
    "hang": "no answer at all",
    "reset": "the connection is reset before the answer",
    "request_timeout": "408",
    "too_large": "413; a property of the prompt",
    "upstream_overloaded": "529 with a FastAPI error",
    "throttled_until": "429 with X-RateLimit-Reset in epoch milliseconds",
    "long_wait": "429 that asks to wait an hour",
    "gone_model": "503 with availability.retryable false and another model offered",
    "busy_model": "503 with availability.retryable true and half a second to wait",
    "wrong_modalities": "404 to who asks for text beside the image",
    "error_as_detail": "422 with FastAPI's list of details; a property of the prompt",
    "error_as_text": "400 with an error that is no more than a text",
    "error_like_xai": "400 in xAI's shape",
    "error_like_anthropic": "529 in Anthropic's shape",
    "error_like_litellm": "429 in LiteLLM's shape, its code a text",
    "null": "200 with null",
    "blank": "200 with nothing but blank lines",
    "long_header": "200 with a header of 20 kB",
    "odd_encoding": "200 in a content encoding nobody asked for",
    "declined_in_words": "200 that declines in its text alone; a property of the prompt",
    "no_image_reason": "200 without image, content_filter outside and NO_IMAGE inside",
    "dropped_image": "200 that counts the tokens of an image and carries none",
    "empty_image": "200 with an image of no bytes",
    "page_as_image": "200 with base64 of a web page as image",
    "blank_lines_first": "a sound reply behind blank lines",
    "plain_for_stream": "a sound JSON document where a stream was asked for",
    "as_parts": "the image in a list of content parts",
    "as_markdown": "the image as markdown in the text",
    "as_bare_base64": "the image as bare base64 under message.image",
    "as_text_url": "the image as a data URL that is all of the text",
    "url_safe": "the image in the URL-safe alphabet",
    "unpadded": "the image without base64 padding",
    "wrapped": "the image in lines of 76 characters",
    "odd_data_url": "the image as a data URL with parameters and capitals",
    "as_jpeg": "a JPEG labelled image/png",
    "as_webp": "a WebP labelled image/png",
    "one_pixel": "an image of 1x1 pixels",
    "draft_first": "a draft before each image",
    "same_twice": "each image twice",
    "unfinished": "a sound reply without finish reason, a stream without its end",
    "cut_by_length": "a whole image with finish reason length",
}
"""Every fault that can be played, and every odd reply that is none: what a client meets."""

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_LONGEST_EDGE = 8192
_LEAST_PREBUILT_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Play ``fault`` on chosen requests: those for which every condition named here holds.

    Only requests that the limits let in are counted and can meet a rule.
    """

    fault: str
    """A name of ``FAULTS``."""
    rate: float = 1.0
    """The share of the chosen requests that meet it, drawn as ``Simulation.faults`` are."""
    prompt: str | None = None
    """A text that the prompt contains."""
    attempt: int | None = None
    """Which time the same body is asked for, from 1."""
    request: int | None = None
    """The number of the request since the start, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The settings of a simulated provider."""

    seed: int = 0
    """Settles every picture, latency and fault: two runs of one job meet the same."""
    latency_s: float = 0.15
    """Median of a log-normal distribution, in seconds; 0 answers at once."""
    latency_p99_s: float = 0.6
    """99th percentile of the same distribution, in seconds."""
    requests_per_minute: float | None = None
    """What is enforced with 429 and ``Retry-After``; None enforces nothing."""
    burst: int | None = None
    """Requests let in at once after a pause; None: what a second brings, at least 2."""
    concurrency: int | None = None
    """Requests let in side by side, more meet a 429; None enforces nothing."""
    retry_after_s: float = 1.0
    """The hint of the faults ``throttled`` and ``overloaded``, in seconds, rounded up."""
    keep_alive_s: float = 1.0
    """Seconds between two comments in a stream while the image is in the making."""
    image_size: str = "512x512"
    """Width and height in pixels of a square picture at 1K; ratios keep about its area."""
    images: Literal["drawn", "prebuilt"] = "drawn"
    """Drawn from the prompt, or ready bytes for load tests, the same in every reply."""
    prebuilt_bytes: int = 150_000
    """Length of a prebuilt PNG."""
    cheap: bool = False
    """Answer at once, always with the same prebuilt image, and look at nothing: for load tests.
    There is no latency then, no stream, and no more of a bill than numbers."""
    images_per_reply: int = 1
    """Images in every reply."""
    cost_usd: float = 0.0
    """Price of an image in US dollars, told in ``usage.cost``."""
    prices: dict[str, float] = field(default_factory=dict)
    """Prices of an image by model, where they are not ``cost_usd``."""
    price_spread: float = 0.0
    """How far a reply's price may be from the model's, as a share of it, from 0 to 1."""
    tells_cost: bool = True
    """Whether replies say what they cost."""
    lists_token_prices: bool = False
    """Whether the list of models gives the price of an image's tokens, 1,290 of which make one."""
    idempotency_header: str | None = None
    """A header by whose value a request is known again: its reply is then given once more, and not
    charged. ``X-OpenRouter-Cache`` knows it by its body instead. None: every request is new."""
    api_key: str | None = None
    """The only bearer token let in; None lets everybody in. A made-up one: it is no secret."""
    faults: dict[str, float] = field(default_factory=dict)
    """The share of requests that meet a fault, from 0 to 1, by the fault's name.

    Drawn from the seed, the body and how often that body was asked for; a share below 0.38 never
    strikes a body twice running. A property of the prompt is drawn from the seed and the prompt
    and stays.
    """
    rules: tuple[FaultRule, ...] = ()
    """Looked at before the shares; the first that fires is played."""
    bill_prompts: bool = True
    """Whether the bill counts images by prompt, which costs some 150 bytes a prompt."""
    scenario: str | None = None
    """A weather by its name, which then settles limits, latencies and faults; see
    ``imagebatch simulate --scenario``."""
    scale: float = 1.0
    """How many times as fast the scenario is played."""

    def price_of(self, model: str) -> float:
        """What an image of ``model`` costs, in US dollars, give or take the spread."""
        return self.prices.get(model, self.cost_usd)


def simulation_of(settings: Mapping[str, Any]) -> Simulation:
    """The simulation that ``dataclasses.asdict`` took apart, also after a way through JSON.

    Raises TypeError where a setting is unknown.
    """
    rules = tuple(FaultRule(**rule) for rule in settings.get("rules", ()))
    return Simulation(**{**settings, "rules": rules})


def pixels_of(size: str) -> tuple[int, int] | None:
    """Width and height of ``"512x512"``; None where it is not a size, or an edge is over 8192."""
    match = _SIZE.fullmatch(size)
    if match is None:
        return None
    width, height = int(match[1]), int(match[2])
    return (width, height) if max(width, height) <= _LONGEST_EDGE else None


def flaws_of(simulation: Simulation) -> tuple[str, ...]:
    """What is wrong with the settings, a sentence each with the setting's name; none is fine."""
    return (*_flaws_of_numbers(simulation), *_flaws_of_words(simulation))


def _flaws_of_share(place: str, share: float, named_at: str, name: str) -> Iterator[str]:
    if name not in FAULTS:
        near = difflib.get_close_matches(name, FAULTS, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FAULTS)}"
        yield f"{named_at}: there is no fault {name!r}; {known}"
    if not 0 <= share <= 1:
        yield f"{place}: must be a share from 0 to 1"


_NOT_CHEAP = (
    "faults",
    "rules",
    "scenario",
    "api_key",
    "requests_per_minute",
    "concurrency",
    "cost_usd",
)
_POSITIVE = frozenset({"requests_per_minute", "burst", "concurrency", "keep_alive_s", "scale"})
_FROM_ZERO = frozenset({"latency_s", "latency_p99_s", "retry_after_s", "cost_usd"})


def _flaws_of_numbers(simulation: Simulation) -> Iterator[str]:
    for name in (setting.name for setting in fields(simulation)):
        value = getattr(simulation, name)
        if name in _POSITIVE and value is not None and not 0 < value < float("inf"):
            yield f"{name}: must be above 0"
        if name in _FROM_ZERO and not 0 <= value < float("inf"):
            yield f"{name}: must be 0 or more"
    for model, usd in simulation.prices.items():
        if not 0 <= usd < float("inf"):
            yield f"prices.{model}: must be 0 or more"
    if not 0 <= simulation.price_spread <= 1:
        yield "price_spread: must be a share from 0 to 1"
    if not 1 <= simulation.images_per_reply <= 16:
        yield "images_per_reply: must be from 1 to 16"
    if simulation.prebuilt_bytes < _LEAST_PREBUILT_BYTES:
        yield f"prebuilt_bytes: must be at least {_LEAST_PREBUILT_BYTES}"


def _flaws_of_words(simulation: Simulation) -> Iterator[str]:
    if pixels_of(simulation.image_size) is None:
        yield f"image_size: must read like 512x512, each edge at most {_LONGEST_EDGE}"
    if simulation.scenario is not None and simulation.scenario not in SCENARIOS:
        yield f"scenario: there is no {simulation.scenario!r}; there are {', '.join(SCENARIOS)}"
    if simulation.images not in ("drawn", "prebuilt"):
        yield "images: must be drawn or prebuilt"
    for name, share in simulation.faults.items():
        yield from _flaws_of_share(f"faults.{name}", share, f"faults.{name}", name)
    for n, rule in enumerate(simulation.rules):
        yield from _flaws_of_share(f"rules[{n}].rate", rule.rate, f"rules[{n}].fault", rule.fault)
    if simulation.cheap and any(getattr(simulation, name) for name in _NOT_CHEAP):
        yield f"cheap: looks at nothing, so leave out {', '.join(_NOT_CHEAP)}"
    if sum(simulation.faults.values()) > 1:
        yield "faults: the shares add up to more than 1"
