"""What lets a provider know a request that it had before, so that a second try costs nothing.

``Idempotency-Key`` and its like (IETF, draft-ietf-httpapi-idempotency-key-header): a value that
names the request; whoever keeps to it gives the first reply again instead of a new one. The value
holds the body too, since a known value with another body is refused (422).

``X-OpenRouter-Cache`` (OpenRouter, guides/features/response-caching): the value is ``true``, and
the same body by the same key is answered from a cache, at no cost, for as long as
``X-OpenRouter-Cache-TTL`` says (300 seconds where it says nothing). Whole replies with status 200
are kept, those without an image among them; ``X-OpenRouter-Cache-Clear: true`` drops what is kept
and keeps the new reply.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.core.model import Past, Request, Task

CACHE = "X-OpenRouter-Cache"
CLEAR = "X-OpenRouter-Cache-Clear"


def is_cache(header: str | None) -> bool:
    """Whether a header's name is that of OpenRouter's cache."""
    return header is not None and header.lower() == CACHE.lower()


def marked(header: str, request: Request, task: Task, past: Past) -> Request:
    """``request`` with the header called ``header``.

    The value stays the same until the task's request is answered, over tries and runs, and is
    another one from then on; no two tasks share it, and a task is one sample of one prompt.
    """
    if not is_cache(header):
        return replace(request, headers={header: value_of(request, task, past)})
    # What is kept is the last answer, unless a request that was never answered came after it.
    is_new = past.n_answers > 0 and not past.is_open
    return replace(request, headers={header: "true"} | ({CLEAR: "true"} if is_new else {}))


def value_of(request: Request, task: Task, past: Past) -> str:
    """The name of a request: 32 hexadecimal digits."""
    whose = f"{task.id}\n{past.n_answers}\n".encode()
    texts = (piece for piece in request.more if isinstance(piece, bytes))  # images are in the id
    return sha256(b"".join((whose, request.body, *texts))).hexdigest()[:32]
