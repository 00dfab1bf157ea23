"""What is told at once in a line of its own: a long wait, the drain; with ``-v`` every lost try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.model import Failed
from pipeline.core.ports import Draining, Held, LeftOut, RouteClosed, Settled, TriedAgain
from pipeline.view.wording import count, duration, printable

if TYPE_CHECKING:
    from pipeline.core.model import Task
    from pipeline.core.ports import Event

AGAIN_AFTER_S = 30.0
WORTH_TELLING_S = 5.0
_PROMPT_CHARACTERS = 40
_DETAIL_CHARACTERS = 200


class Notes:
    """The notes of one run; of long waits the first, and another after half a minute."""

    def __init__(self, *, is_verbose: bool = False) -> None:
        """``is_verbose``: also every attempt that failed, and every task that was given up."""
        self._is_verbose = is_verbose
        self._told_at: float | None = None

    def of(self, event: Event, now: float) -> str | None:
        """The line, None for an event that is not worth one."""
        match event:
            case Held(wait_s=wait_s) if self._is_worth_telling(wait_s, now):
                return f"the provider asks to wait {duration(wait_s)}; waiting, nothing is lost"
            case LeftOut(model=model, reason=reason):
                return f"the run goes on without {printable(model)}: {printable(reason)}"
            case RouteClosed(route=model, reason=reason):
                return f"the run goes on without {printable(model)}: {printable(reason)}"
            case Draining():
                return _of_a_drain(event)
        return self._of_a_failure(event) if self._is_verbose else None

    def _of_a_failure(self, event: Event) -> str | None:
        match event:
            case TriedAgain(task=task, why=why, detail=detail, wait_s=wait_s):
                when = f"again in {duration(wait_s)}" if wait_s else "again"
                return _line(task, f"{why}, {when}", detail)
            case Settled(receipt=receipt) if isinstance(receipt.outcome, Failed):
                outcome = receipt.outcome
                return _line(outcome.task, f"failed, {outcome.why}", outcome.answer.detail)
        return None

    def _is_worth_telling(self, wait_s: float, now: float) -> bool:
        if wait_s <= WORTH_TELLING_S:
            return False
        if self._told_at is not None and now - self._told_at < AGAIN_AFTER_S:
            return False
        self._told_at = now
        return True


def _line(task: Task, how: str, detail: str | None) -> str:
    what = f": {printable(detail, at_most=_DETAIL_CHARACTERS)}" if detail else ""
    return f"{task.id} {printable(task.prompt, at_most=_PROMPT_CHARACTERS)!r} {how}{what}"


def _of_a_drain(event: Draining) -> str:
    told = f"stopping: {printable(event.reason)}"
    if not event.in_flight:
        return told
    flying = count(event.in_flight, "request")
    again = " (a second signal ends it now; they may be billed)" if event.is_signalled else ""
    return f"{told}; waiting up to {duration(event.grace_s)} for {flying} in flight{again}"
