"""Reads what a reply says is wrong out of every error shape seen.

``{"error": {code, message, metadata}}`` (OpenRouter, OpenAI, LiteLLM with ``code`` as a string),
the same in a list of its own (Google), ``{"error": "text"}``, ``{"code", "error"}`` (xAI),
``{"detail": …}`` (FastAPI), ``{"type": "error", "error": {type, message}}`` (Anthropic),
``{"object": "error", message, code}`` (vLLM), ``{"message": "text"}`` and nothing else (proxies),
``choices[0].error`` inside HTTP 200. A gateway's ``Provider returned error`` hides the real cause
in ``metadata.raw``.
"""

from __future__ import annotations

from typing import Any

from pipeline.provider.documents import parsed
from pipeline.provider.faults import Complaint

_DEEPEST_RAW = 4
_LONGEST_MESSAGE = 4_000
_MOST_ALTERNATIVES, _LONGEST_NAME = 5, 100
_OF_A_BARE_MESSAGE = frozenset({"message", "code", "status", "type", "request_id", "success"})


def error_in(payload: object) -> dict[str, Any] | None:
    """The error object of a parsed body, in one shape: a mapping with ``message``; None: none."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    choices = payload.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for error in (payload.get("error"), first.get("error") if isinstance(first, dict) else None):
        if isinstance(error, dict):
            return error
        if isinstance(error, str) and error:
            return {"message": error, "code": payload.get("code")}
    return None if choices else _bare_error(payload)


def _bare_error(payload: dict[str, Any]) -> dict[str, Any] | None:
    """An error that stands in the body itself, under no key of its own."""
    detail = payload.get("detail")
    if isinstance(detail, dict):
        return error_in(detail) or {"message": _text(detail.get("message")) or str(detail)}
    if detail:
        return {"message": detail if isinstance(detail, str) else _detail_text(detail)}
    is_error = payload.get("object") == "error" or payload.keys() <= _OF_A_BARE_MESSAGE
    return payload if is_error and _text(payload.get("message")) else None


def complaint_of(
    error: dict[str, Any], *, status: int, finish: frozenset[str] = frozenset()
) -> Complaint:
    """What ``error`` says, next to the HTTP ``status`` and the ``finish`` reasons given."""
    metadata = _mapping(error.get("metadata"))
    availability = _mapping(error.get("availability"))
    inner = next(
        (n for key in ("code", "http_status", "status") if (n := _number(error.get(key)))), None
    )
    words = {
        error.get("type"),
        error.get("code"),
        error.get("error_type"),
        error.get("status"),
        availability.get("code"),
        metadata.get("error_type"),
        metadata.get("provider_code"),
        metadata.get("limit_source"),
        "moderation" if metadata.get("reasons") or metadata.get("patterns") else None,
        "error",  # an error inside HTTP 200 that names no kind is still no missing image
    }
    retryable = availability.get("retryable")
    fallbacks = availability.get("fallback_models")
    return Complaint(
        status=inner or status,
        words=finish | {word.lower() for word in words if isinstance(word, str)},
        message=message_of(error),
        may_retry=retryable if isinstance(retryable, bool) else None,
        alternatives=_names_in(fallbacks),
    )


def message_of(error: dict[str, Any]) -> str:
    """The message, with the real cause behind a gateway's own words."""
    said = [_text(error.get("message"))]
    cause: object = _mapping(error.get("metadata")).get("raw")
    for _ in range(_DEEPEST_RAW):
        if isinstance(cause, str):
            cause = _parsed(cause)
        if not isinstance(cause, dict):
            said.append(_text(cause))
            break
        inner = cause.get("error", cause)
        if not isinstance(inner, dict):
            said.append(_text(inner))
            break
        said.append(_text(inner.get("message")))
        cause = _mapping(inner.get("metadata")).get("raw")
    return ": ".join(dict.fromkeys(part for part in said if part))[:_LONGEST_MESSAGE]


def _parsed(text: str) -> object:
    document = parsed(text) if text.lstrip()[:1] in {"{", "["} else None
    return text if document is None else document


def _names_in(value: object) -> tuple[str, ...]:
    names = [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
    return tuple(name[:_LONGEST_NAME] for name in names[:_MOST_ALTERNATIVES])


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and 100 <= value < 600:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    return None


def _detail_text(detail: object) -> str:
    """FastAPI's list of ``{loc, msg, type}`` as a sentence."""
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(
        f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}"
        for item in detail
        if isinstance(item, dict)
    )
