"""ONE table: what arrived instead of an image -> Why, and whether it stops the run or the model.

The order of the rows is the precedence: what the server says of itself in words beats what its
status says, an inner code beats the HTTP status, and the text of the message comes last. Sources:
OpenRouter's error guide and OpenAPI file (error_type, availability, limit_source), the
finish reasons of Google's genai types, new-api's and LiteLLM's error codes, and Knox's
documentation (403 = this key may not use this model; 529 = overloaded).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.core.model import Answer, Failure, Why
from pipeline.core.ports import Break
from pipeline.provider.halts import Halt, reset_at, stop_of


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
    """A row fits when every condition it names holds; ``classes`` are a status's first digit.

    ``is_maybe_billed``: whether the provider may have made, and charged, what did not arrive.
    """

    why: Why
    halt: Halt | None = None
    is_maybe_billed: bool = False
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
    Row(
        why=Why.THROTTLED,
        halt=Halt.QUOTA,
        statuses=(429,),
        message=_says(r"free-models-per-day|requests per day|perday"),
    ),
    Row(why=Why.THROTTLED, statuses=(429,), may_retry=True),
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
            "budget_exceeded billing_error"
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
            "resource_exhausted too_many_requests throttling throttling_error"
        ),
    ),
    Row(
        why=Why.OVERLOADED, words=_words("provider_overloaded overloaded_error capacity_exhausted")
    ),
    Row(
        why=Why.AUTH,
        halt=Halt.KEY,
        words=_words(
            "authentication authentication_error invalid_api_key api_key_invalid auth_error "
            "expired_key token_not_found_in_db no_db_connection"
        ),
    ),
    Row(
        why=Why.AUTH,
        halt=Halt.PERMISSION,
        words=_words(
            "key_model_access_denied team_model_access_denied user_model_access_denied "
            "org_model_access_denied project_model_access_denied"
        ),
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
    # xAI and Google say 400 to a key they do not know.
    Row(
        why=Why.AUTH,
        halt=Halt.KEY,
        statuses=(400, 403),
        message=_says(r"(incorrect|invalid|missing|unknown) api.?key|api.?key (is )?not valid"),
    ),
    Row(
        why=Why.CREDIT,
        halt=Halt.CREDIT,
        statuses=(400, 403, 429),
        message=_says(r"key limit exceeded|insufficient (credit|balance|fund|quota)"),
    ),
    Row(
        why=Why.REFUSED,
        statuses=(400, 403),
        message=_says(
            r"moderat|flagged|content.?polic|usage polic|guardrail|request blocked"
            r"|safety (system|filter|polic)|prohibited content"
            r"|blocked by (our|the)? ?(safety|content)"
        ),
    ),
    Row(why=Why.AUTH, halt=Halt.PERMISSION, statuses=(403,)),
    Row(
        why=Why.MODEL,
        halt=Halt.MODALITIES,
        statuses=(400, 404),
        message=_says(r"requested output modalit"),
    ),
    Row(why=Why.MODEL, halt=Halt.PATH, statuses=(404, 405), is_html=True),
    Row(why=Why.MODEL, halt=Halt.PATH, statuses=(404,), message=_says(r"^not found\W*$")),
    Row(why=Why.MODEL, halt=Halt.PATH, statuses=(405,)),
    Row(why=Why.MODEL, halt=Halt.MODEL, statuses=(404, 410)),
    Row(
        why=Why.MODEL,
        halt=Halt.MODEL,
        statuses=(400,),
        message=_says(
            r"\bmodel\b[\s:=]*['\"`]?[\w./:@-]{0,120}['\"`]?\s*(was |is |could )?"
            r"(not (be )?found|does not exist)"
            r"|not a valid model|(no such|unknown) model|^invalid model( name| id\b|\W*$)"
        ),
    ),
    Row(why=Why.TOO_LARGE, statuses=(413,)),
    Row(why=Why.THROTTLED, statuses=(429,)),
    Row(why=Why.OVERLOADED, statuses=(503, 529)),
    Row(why=Why.SERVER_ERROR, statuses=(408, 409, 425)),
    # A proxy that gave up waiting: the provider goes on, and bills.
    Row(why=Why.SERVER_ERROR, statuses=(504, 524), is_maybe_billed=True),
    Row(why=Why.SERVER_ERROR, classes=(5,)),
    Row(why=Why.REJECTED, classes=(4,)),
    # HTTP 200, and no code inside: what the model said. The model's own reason beats what a
    # gateway made of it: Google's NO_IMAGE comes as content_filter too, and is no refusal.
    Row(why=Why.NO_IMAGE, words=_words("no_image image_other other language")),
    Row(why=Why.REFUSED, words=_words("content_filter")),
    Row(why=Why.AUTH, halt=Halt.PERMISSION, words=_words("permission_denied permission_error")),
    Row(why=Why.MODEL, halt=Halt.MODEL, words=_words("not_found not_found_error")),
    Row(why=Why.REJECTED, words=_words("invalid_request invalid_request_error invalid_argument")),
    Row(why=Why.SERVER_ERROR, words=_words("timeout timeout_error"), is_maybe_billed=True),
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

WALL_PAUSE_S = 1.0
"""How long everybody waits after a firewall's page, until one request looks once more."""

NOTHING_SAID = Row(why=Why.NO_IMAGE)

_BREAKS: dict[Break, Why] = {
    Break.REFUSED: Why.UNREACHABLE,
    Break.DNS: Why.UNREACHABLE,
    Break.TLS: Why.UNREACHABLE,
    Break.CONNECT_TIMEOUT: Why.TIMEOUT,
    Break.UNSENDABLE: Why.REJECTED,
    Break.TOO_LARGE: Why.TOO_LARGE,
    Break.GARBLED: Why.BAD_REPLY,
}


def row_for(complaint: Complaint) -> Row:
    """The first row that fits; plain silence is :data:`NOTHING_SAID`."""
    return next((row for row in TABLE if row.fits(complaint)), NOTHING_SAID)


def failure_of(
    complaint: Complaint,
    answer: Answer,
    *,
    retry_after_s: float | None = None,
    arrived_at: float | None = None,
    may_differ: bool = False,
) -> Failure:
    """The verdict on a reply that came and says what is wrong; ``answer.detail`` is what is told.

    ``arrived_at``: seconds since the epoch, for instants in messages. ``may_differ``: whether the
    next request asks in another way, so that one that stops the run deserves another try.
    """
    row = row_for(complaint)
    if row.halt is Halt.WALL:
        retry_after_s = max(WALL_PAUSE_S, retry_after_s or 0.0)
    has_another = row.halt is Halt.WALL or (row.halt is Halt.MODALITIES and may_differ)
    stop = row.halt and stop_of(
        row.halt,
        answer.detail or f"HTTP {complaint.status}",
        alternatives=complaint.alternatives,
        resets=reset_at(arrived_at, retry_after_s) if row.halt is Halt.QUOTA else "",
    )
    return Failure(
        why=row.why,
        answer=answer,
        retry_after_s=retry_after_s,
        is_maybe_billed=row.is_maybe_billed,
        stop=stop,
        is_of_the_model=row.halt is not None and row.halt.is_of_the_model,
        n_tries_before_stop=1 if has_another else 0,
    )


def failure_of_break(how: Break, answer: Answer) -> Failure:
    """The verdict on an exchange that broke off: before the request left, or after."""
    why = _BREAKS.get(how, Why.LOST)
    return Failure(why=why, answer=answer, is_maybe_billed=not how.is_before_sending)
