"""What a program is told of each event under ``--json``: one flat object, by its ``event`` key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.core.model import Made
from pipeline.core.ports import Draining, Held, LeftOut, RouteClosed, Settled, TriedAgain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.ports import Event


def object_of(event: Event) -> dict[str, Any] | None:
    """The object that tells of an event; None where an attempt merely left or a lane stands.

    How the lanes stand is in the ``progress`` events and in the summary.
    """
    match event:
        case Settled(receipt=receipt):
            return _settled(receipt.record, is_made=isinstance(receipt.outcome, Made))
        case TriedAgain():
            return {
                "event": "retry",
                "id": event.task.id,
                "attempt": event.attempt,
                "why": str(event.why),
                "detail": event.detail,
                "wait_s": round(event.wait_s, 3),
            }
        case Held(wait_s=wait_s):
            return {"event": "waiting", "wait_s": round(wait_s, 3)}
        case LeftOut() | RouteClosed():
            return _left_out(event)
        case Draining(reason=reason, in_flight=in_flight, grace_s=grace_s):
            return {
                "event": "draining",
                "reason": reason,
                "in_flight": in_flight,
                "grace_s": grace_s,
            }
        case _:
            return None


def _left_out(event: LeftOut | RouteClosed) -> dict[str, Any]:
    if isinstance(event, LeftOut):
        return {"event": "left_out", "model": event.model, "reason": event.reason}
    return {"event": "provider_left_out", "provider": event.route, "reason": event.reason}


def _settled(record: Mapping[str, Any], *, is_made: bool) -> dict[str, Any]:
    told = {"event": "made" if is_made else "failed", "id": record["id"], "index": record["index"]}
    told["sample"] = record["sample"]
    if is_made:
        told["files"] = [image["file"] for image in record["images"]]
    else:
        told.update(why=record["why"], detail=record["detail"])
    told.update(attempts=record["attempts"], cost_usd=record["cost_usd"])
    told["latency_s"] = record["latency_s"]
    return told
