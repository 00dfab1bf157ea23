"""ONE table: what arrived instead of an image -> Why, and whether it stops the run.

The order of the rows is the precedence: what the server says of itself in words beats what its
status says, an inner code beats the HTTP status, and the text of the message comes last. Sources:
OpenRouter's error guide and OpenAPI file (error_type, availability, limit_source), the
finish reasons of Google's genai types, new-api's and LiteLLM's error codes, and Knox's
documentation (403 = this key may not use this model; 529 = overloaded).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from pipeline.core.model import Answer, Failure, Why
from pipeline.core.ports import Break
from pipeline.errors import Guarded, Misconfigured, NotAllowed, Stop, Unreachable


class Halt(Enum):
    """Answers that no retry and no other task would change: the run stops."""

    KEY = "key"
    CREDIT = "credit"
    PERMISSION = "permission"
    MODEL = "model"
    REDIRECT = "redirect"
    QUOTA = "quota"
    WALL = "wall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a reply says is wrong, whatever the shape it said it in.

    ``status`` is the inner code where there is one, else the HTTP status. ``words`` are its error
    types, codes and finish reasons in lower case. ``may_retry`` is ``error.availability``'s.
    """

    status: int = 200
    words: frozenset[str] = frozenset()
    message: str = ""
    may_retry: bool | None = None
    is_html: bool = False
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row fits when every condition it names holds; ``classes`` are a status's first digit."""

    why: Why
    halt: Halt | None = None
    words: frozenset[str] = frozenset()
    statuses: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    message: re.Pattern[str] | None = field(default=None)
    may_retry: bool | None = None
    is_html: bool | None = None

    def fits(self, complaint: Complaint) -> bool:
        """Whether this row speaks of ``complaint``."""
        return (
            (not self.words or not self.words.isdisjoint(complaint.words))
            and (not self.statuses or complaint.status in self.statuses)
            and (not self.classes or complaint.status // 100 in self.classes)
            and (self.message is None or self.message.search(complaint.message) is not None)
            and (self.may_retry is None or self.may_retry is complaint.may_retry)
            and (self.is_html is None or self.is_html is complaint.is_html)
        )


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _says(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


TABLE: tuple[Row, ...] = (
    # What the server says of itself, in words.
    Row(why=Why.THROTTLED, halt=Halt.QUOTA, words=_words("openrouter_free_tier_daily")),
    Row(why=Why.OVERLOADED, may_retry=True),
    Row(why=Why.MODEL, halt=Halt.MODEL, may_retry=False),
    Row(
        why=Why.REFUSED,
        words=_words(
            "content_policy_violation refusal moderation moderation_blocked prompt_blocked "
            "content_policy image_safety image_prohibited_content prohibited_content safety "
            "blocklist spii recitation image_recitation guardrail"
        ),
    ),
    Row(
        why=Why.CREDIT,
        halt=Halt.CREDIT,
        words=_words(
            "payment_required insufficient_quota insufficient_user_quota insufficient_credits "
            "budget_exceeded"
        ),
    ),
    Row(
        why=Why.TOO_LARGE,
        words=_words("payload_too_large image_too_large request_too_large"),
    ),
    Row(
        why=Why.REJECTED,
        words=_words(
            "invalid_prompt context_length_exceeded max_tokens_exceeded token_limit_exceeded "
            "string_too_long precondition_failed unprocessable invalid_image image_too_small "
            "unsupported_image_format image_not_found image_download_failed"
        ),
    ),
    Row(
        why=Why.THROTTLED,
        words=_words(
            "rate_limit_exceeded rate_limit_error rate_limited token_concurrency_limit_reached "
            "resource_exhausted too_many_requests throttling"
        ),
    ),
    Row(
        why=Why.OVERLOADED, words=_words("provider_overloaded overloaded_error capacity_exhausted")
    ),
    Row(
        why=Why.AUTH,
        halt=Halt.KEY,
        words=_words("authentication authentication_error invalid_api_key"),
    ),
    Row(why=Why.MODEL, halt=Halt.MODEL, words=_words("model_not_found")),
    Row(
        why=Why.SERVER_ERROR,
        words=_words("provider_unavailable server server_error api_error empty_response unmapped"),
    ),
    # The status, or the inner code in its place.
    Row(why=Why.AUTH, halt=Halt.REDIRECT, classes=(3,)),
    Row(why=Why.AUTH, halt=Halt.KEY, statuses=(401,)),
    Row(why=Why.CREDIT, halt=Halt.CREDIT, statuses=(402,)),
    Row(why=Why.UNREACHABLE, halt=Halt.WALL, statuses=(403,), is_html=True),
    Row(
        why=Why.REFUSED,
        statuses=(400, 403),
        message=_says(r"moderat|flagged|content.?polic|safety|blocked|prohibited"),
    ),
    Row(why=Why.AUTH, halt=Halt.PERMISSION, statuses=(403,)),
    Row(why=Why.MODEL, halt=Halt.MODEL, statuses=(404, 410)),
    Row(
        why=Why.MODEL,
        halt=Halt.MODEL,
        statuses=(400,),
        message=_says(r"(model\b.*(not found|does not exist|not a valid|unknown))|no such model"),
    ),
    Row(why=Why.TOO_LARGE, statuses=(413,)),
    Row(why=Why.THROTTLED, statuses=(429,)),
    Row(why=Why.OVERLOADED, statuses=(503, 529)),
    Row(why=Why.SERVER_ERROR, statuses=(408, 409, 425)),
    Row(why=Why.SERVER_ERROR, classes=(5,)),
    Row(why=Why.REJECTED, classes=(4,)),
    # HTTP 200, and no code inside: what the model said.
    Row(why=Why.REFUSED, words=_words("content_filter")),
    Row(why=Why.SERVER_ERROR, words=_words("error")),
    Row(
        why=Why.REFUSED,
        message=_says(
            r"\b(can(?:\s?no|['\u2019])?t|unable to|not able to|won.?t|not allowed to)\b.{0,80}"
            r"\b(generat|creat|produc|mak|draw|fulfil|help|assist|comply|provid)"
            r"|(violat|against)\w*.{0,40}(polic|guideline)"
        ),
    ),
)

NOTHING_SAID = Row(why=Why.NO_IMAGE)

_BREAKS: dict[Break, Why] = {
    Break.REFUSED: Why.UNREACHABLE,
    Break.DNS: Why.UNREACHABLE,
    Break.TLS: Why.UNREACHABLE,
    Break.CONNECT_TIMEOUT: Why.TIMEOUT,
    Break.TOO_LARGE: Why.TOO_LARGE,
    Break.GARBLED: Why.BAD_REPLY,
}

_STOPS: dict[Halt, tuple[type[Stop], str]] = {
    Halt.KEY: (NotAllowed, "the provider refuses this key. Check the key, then run again"),
    Halt.CREDIT: (
        NotAllowed,
        "the provider wants payment. Add credit, or lower params.max_tokens, then run again",
    ),
    Halt.PERMISSION: (
        NotAllowed,
        "this key may not use this model. Allow the model for the key, or choose another model",
    ),
    Halt.MODEL: (Misconfigured, "the provider cannot serve this model. See: imagebatch models"),
    Halt.REDIRECT: (
        Misconfigured,
        "the provider redirects, which is never followed. Set the profile's base_url right",
    ),
    Halt.QUOTA: (Guarded, "the daily quota is used up. Run again when it resets (midnight UTC)"),
    Halt.WALL: (
        Unreachable,
        "a firewall answers in the provider's place. Check base_url, or try another network",
    ),
}

_LONGEST_DETAIL = 2_000


def row_for(complaint: Complaint) -> Row:
    """The first row that fits; plain silence is :data:`NOTHING_SAID`."""
    return next((row for row in TABLE if row.fits(complaint)), NOTHING_SAID)


def failure_of(
    complaint: Complaint, answer: Answer, *, retry_after_s: float | None = None
) -> Failure:
    """The verdict on a reply that came and says what is wrong."""
    row = row_for(complaint)
    return Failure(
        why=row.why,
        answer=answer,
        retry_after_s=retry_after_s,
        stop=_stop(row.halt, complaint) if row.halt else None,
        n_tries_before_stop=1 if row.halt is Halt.WALL else 0,
    )


def failure_of_break(how: Break, answer: Answer) -> Failure:
    """The verdict on an exchange that broke off: before the request left, or after."""
    why = _BREAKS.get(how, Why.LOST)
    return Failure(why=why, answer=answer, is_maybe_billed=not how.is_before_sending)


def _stop(halt: Halt, complaint: Complaint) -> Stop:
    kind, what_to_do = _STOPS[halt]
    told = complaint.message[:_LONGEST_DETAIL] or f"HTTP {complaint.status}"
    instead = (
        f" Available instead: {', '.join(complaint.alternatives)}."
        if complaint.alternatives
        else ""
    )
    return kind(f"{what_to_do}.{instead} It said: {told}")
