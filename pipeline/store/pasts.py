"""What a task met before: by its newest line, and by what the journal holds of it since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.model import ANSWER_WHYS, Past

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.store.attempts import Attempt, Attempts
    from pipeline.store.ledger import Ledger
    from pipeline.store.manifest import Manifest


class Pasts:
    """Asked before each attempt, so that a provider can be told whether it had the request."""

    def __init__(self, manifest: Manifest, ledger: Ledger, attempts: Attempts) -> None:
        """All of one folder; ``attempts`` is what its journal says."""
        self._manifest = manifest
        self._ledger = ledger
        self._attempts = attempts

    def of(self, task_id: str) -> Past:
        """What a task met so far."""
        pasts = list(map(_past_of, self._attempts.by_task.get(task_id, ())))
        offset = self._ledger.offset_of(task_id)
        if offset is not None:
            pasts += map(_past_in, self._manifest.lines([offset]))
        return newest(pasts)


def newest(pasts: Iterable[Past]) -> Past:
    """What several things that are known of one task say together."""
    known = tuple(pasts)
    n_answers = max((past.n_answers for past in known), default=0)
    is_open = any(past.is_open for past in known if past.n_answers == n_answers)
    return Past(n_answers=n_answers, is_open=is_open)


def _past_of(attempt: Attempt) -> Past:
    return Past(
        n_answers=attempt.n_answers + attempt.is_answered,
        is_open=attempt.is_maybe_billed and not attempt.is_answered,
    )


class _Line(msgspec.Struct, gc=False, frozen=True):
    why: str | None
    maybe_billed: int | None = 0
    answers: int | None = 0


_decode = msgspec.json.Decoder(_Line).decode


def _past_in(line: bytes) -> Past:
    """A line tells how its last attempt ended; what was lost before an answer is open no more."""
    said = _decode(line)
    is_unanswered = said.why is not None and said.why not in ANSWER_WHYS
    return Past(n_answers=said.answers or 0, is_open=is_unanswered and bool(said.maybe_billed))
