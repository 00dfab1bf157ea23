"""The table of faults: how each one alters an exchange."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.provider.simulator.guises import GUISES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.provider.simulator.asked import Asked
    from pipeline.provider.simulator.said import Said

    Metadata = Mapping[str, Any] | None


class Delivery(Enum):
    """How the bytes of a reply go out."""

    WHOLE = "all of them"
    CUT = "half of them, then the connection closes"
    STALL = "half of them, then nothing"
    HANG = "none, ever"
    RESET = "none, and the connection is reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A whole reply in place of a completion."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    has_retry_after: bool = False
    has_reset: bool = False


def _spare_nobody(_: Asked) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One fault. What is left at its default stays as in a sound exchange.

    ``head`` replaces the reply, ``alter`` changes what the model says, ``lead`` goes before a
    document, ``is_plain`` sends one where a stream was asked for. ``is_of_the_prompt``: it is drawn
    once for a prompt, so that it stays on a second try. ``spares``: whom it does not strike.
    """

    head: Head | None = None
    alter: Callable[[Said], Said] | None = None
    delivery: Delivery = Delivery.WHOLE
    is_billed: bool = False
    is_of_the_prompt: bool = False
    lead: bytes = b""
    is_plain: bool = False
    spares: Callable[[Asked], bool] = _spare_nobody


def error_head(
    status: int, message: str, metadata: Metadata = None, *, has_retry_after: bool = False
) -> Head:
    """An error in OpenRouter's envelope (api_reference/errors-and-debugging)."""
    body = {"error": error_of(status, message, metadata)}
    return Head(status=status, body=orjson.dumps(body), has_retry_after=has_retry_after)


def error_of(code: int, message: str, metadata: Metadata = None) -> dict[str, Any]:
    """The object under ``error``; ``metadata`` only where there is some."""
    error: dict[str, Any] = {"code": code, "message": message}
    return {**error, "metadata": dict(metadata)} if metadata else error


def _page(status: int, title: str) -> Head:
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Head(status=status, body=text.encode(), media_type="text/html")


def _wordy(said: Said) -> Said:
    return replace(said, text=f"{said.text} Imagine it in warm light, seen from afar.", images=())


def _declining(said: Said) -> Said:
    return replace(
        said,
        text="",
        images=(),
        finish_reason="content_filter",
        native_finish_reason="IMAGE_SAFETY",
        refusal="I cannot make this image: it may go against the content policy.",
    )


def _declining_in_words(said: Said) -> Said:
    return replace(said, text="I'm sorry, but I can't create this image.", images=())


def _without_reason(said: Said) -> Said:
    return replace(
        said,
        text="",
        images=(),
        finish_reason="content_filter",
        native_finish_reason="NO_IMAGE",
    )


def _dropped(said: Said) -> Said:
    return replace(said, text=None, images=(), n_lost=len(said.images))


def _emptied(said: Said) -> Said:
    return replace(said, images=tuple(b"data:image/png;base64," for _ in said.images))


def _replaced_by_a_page(said: Said) -> Said:
    page = base64.b64encode(b"<html><body>502 Bad Gateway</body></html>" * 8)
    return replace(said, images=tuple(b"data:image/png;base64," + page for _ in said.images))


def _gives_no_words(asked: Asked) -> bool:
    """Whether a model that only draws can serve this."""
    return "text" not in asked.modalities


def _without_choice(said: Said) -> Said:
    return replace(said, images=(), is_without_choice=True)


def _throttled_inside(said: Said) -> Said:
    error = error_of(429, "Rate limit exceeded", {"error_type": "rate_limit_exceeded"})
    return replace(said, images=(), top_error=error)


def _broken_inside(said: Said) -> Said:
    error = error_of(502, "Provider returned error", {"error_type": "provider_unavailable"})
    return replace(said, text="", images=(), finish_reason="error", error=error)


def _with_bad_base64(said: Said) -> Said:
    return replace(said, images=tuple(_spoilt(image) for image in said.images))


def _spoilt(image: bytes) -> bytes:
    middle = len(image) // 2
    return image[:middle] + b"*!?*" + image[middle + 4 :]


def _with_half_an_image(said: Said) -> Said:
    return replace(said, images=tuple(_halved(image) for image in said.images))


def _halved(image: bytes) -> bytes:
    start = image.index(b",") + 1
    return image[: start + (len(image) - start) // 8 * 4]  # whole groups: still valid base64


def _body(status: int, document: object) -> Head:
    return Head(status=status, body=orjson.dumps(document))


def _availability(status: int, message: str, **availability: Any) -> Head:
    return _body(status, {"error": {**error_of(status, message), "availability": availability}})


_QUOTA = {"limit_source": "openrouter_free_tier_daily", "error_type": "rate_limit_exceeded"}
_MODERATION = {
    "reasons": ["violence/graphic"],
    "flagged_input": "...",
    "provider_name": "Simulator",
}

PLAYS: Mapping[str, Play] = {
    "server_error": Play(head=error_head(500, "Internal Server Error")),
    "bad_gateway": Play(head=_page(502, "502 Bad Gateway")),
    "overloaded": Play(head=error_head(503, "The model is overloaded", has_retry_after=True)),
    "gateway_timeout": Play(head=_page(524, "524: A timeout occurred"), is_billed=True),
    "throttled": Play(head=error_head(429, "Rate limit exceeded", has_retry_after=True)),
    "daily_quota": Play(head=error_head(429, "Rate limit exceeded: free-models-per-day", _QUOTA)),
    "unauthorized": Play(head=error_head(401, "No cookie auth credentials found")),
    "no_credit": Play(head=error_head(402, "Insufficient credits. Add more to go on")),
    "forbidden_model": Play(
        head=error_head(403, "This token is not authorized to use model: this one")
    ),
    "firewall": Play(head=_page(403, "Access denied")),
    "moderated": Play(
        head=error_head(403, "Your input was flagged by moderation", _MODERATION),
        is_of_the_prompt=True,
    ),
    "no_model": Play(head=error_head(404, "No endpoints found for this model")),
    "bad_request": Play(
        head=error_head(400, "The request is not valid", {"error_type": "invalid_request"}),
        is_of_the_prompt=True,
    ),
    "redirect": Play(
        head=Head(status=307, body=b"", headers={"Location": "http://127.0.0.1:9/v1/elsewhere"})
    ),
    "text_only": Play(alter=_wordy, is_billed=True),
    "refused": Play(alter=_declining, is_of_the_prompt=True),
    "no_choices": Play(alter=_without_choice),
    "error_in_200": Play(alter=_throttled_inside),
    "error_in_choice": Play(alter=_broken_inside),
    "empty": Play(head=Head(status=200, body=b"")),
    "html": Play(head=_page(200, "Just a moment")),
    "half_json": Play(head=Head(status=200, body=b'{"id":"gen-half","choices":[{"mess')),
    "bad_base64": Play(alter=_with_bad_base64, is_billed=True),
    "cut_image": Play(alter=_with_half_an_image, is_billed=True),
    "cut": Play(delivery=Delivery.CUT, is_billed=True),
    "stall": Play(delivery=Delivery.STALL, is_billed=True),
    "hang": Play(delivery=Delivery.HANG),
    "reset": Play(delivery=Delivery.RESET),
    "request_timeout": Play(head=error_head(408, "Request timeout")),
    "too_large": Play(head=error_head(413, "Request entity too large"), is_of_the_prompt=True),
    "upstream_overloaded": Play(head=_body(529, {"detail": "upstream overloaded"})),
    "throttled_until": Play(
        head=Head(
            status=429, body=orjson.dumps({"error": error_of(429, "Slow down")}), has_reset=True
        )
    ),
    "long_wait": Play(
        head=Head(
            status=429,
            body=orjson.dumps({"error": error_of(429, "Come back in an hour")}),
            headers={"Retry-After": "3600"},
        )
    ),
    "gone_model": Play(
        head=_availability(
            503, "This model is gone", retryable=False, fallback_models=["simulator/other"]
        )
    ),
    "busy_model": Play(head=_availability(503, "No capacity now", retryable=True, retry_after=0.5)),
    "wrong_modalities": Play(
        head=error_head(
            404, "No endpoints found that support the requested output modalities: image, text"
        ),
        spares=_gives_no_words,
    ),
    "error_as_detail": Play(
        head=_body(
            422, {"detail": [{"loc": ["body", "n"], "msg": "is too many", "type": "value_error"}]}
        ),
        is_of_the_prompt=True,
    ),
    "error_as_text": Play(head=_body(400, {"error": "The request is not valid"})),
    "error_like_xai": Play(
        head=_body(
            400, {"code": "Client specified an invalid argument", "error": "The size is wrong"}
        )
    ),
    "error_like_anthropic": Play(
        head=_body(
            529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        )
    ),
    "error_like_litellm": Play(
        head=_body(
            429,
            {"error": {"message": "Slow down", "type": "throttling_error", "code": "429"}},
        )
    ),
    "null": Play(head=Head(status=200, body=b"null")),
    "blank": Play(head=Head(status=200, body=b"\n \n\n")),
    "long_header": Play(head=Head(status=200, body=b"{}", headers={"X-Long": "x" * 20_000})),
    "odd_encoding": Play(
        head=Head(status=200, body=b"\x0b\x00", headers={"Content-Encoding": "br"})
    ),
    "declined_in_words": Play(alter=_declining_in_words, is_of_the_prompt=True),
    "no_image_reason": Play(alter=_without_reason),
    "dropped_image": Play(alter=_dropped, is_billed=True),
    "empty_image": Play(alter=_emptied),
    "page_as_image": Play(alter=_replaced_by_a_page),
    "blank_lines_first": Play(lead=b"\n \n\n", is_billed=True),
    "plain_for_stream": Play(is_plain=True, is_billed=True),
    **{name: Play(alter=alter, is_billed=True) for name, alter in GUISES.items()},
}
"""How each fault of ``pipeline.core.simulation.FAULTS`` is played."""

SOUND = Play(is_billed=True)
"""An exchange without fault."""
