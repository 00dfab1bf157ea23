"""Events to tell, and a clock that is told the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pipeline.core.model import Answer, Course, Failed, Image, Made, Receipt, Task, Why
from pipeline.core.ports import Back, HeldBy, Hold, LaneState, Sent, Settled, TriedAgain

if TYPE_CHECKING:
    from pipeline.core.model import Part


@dataclass
class Clock:
    """A clock that moves when told to."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def task(number: int = 0) -> Task:
    return Task(id=f"id{number}", index=number, sample=0, prompt=f"prompt {number}", model="m")


def sent(number: int = 0) -> Sent:
    return Sent(task=task(number), attempt=1)


def back(cost_usd: float | None = 0.04, *, is_maybe_billed: bool = False) -> Back:
    return Back(cost_usd=cost_usd, is_maybe_billed=is_maybe_billed)


def tried_again(
    why: Why = Why.THROTTLED, wait_s: float = 1.0, *, task_number: int = 0
) -> TriedAgain:
    return TriedAgain(
        task=task(task_number), attempt=1, why=why, detail="slow \x1b[2Jdown", wait_s=wait_s
    )


def lane(by: HeldBy, name: str = "knox", *, in_flight: int = 64, **changes: Any) -> LaneState:
    return LaneState(lane=name, in_flight=in_flight, hold=Hold(by=by, **changes))


def made(number: int = 0, *, n_images: int = 1, latency_s: float = 8.0, **changes: Any) -> Settled:
    image = Image(
        part=cast("Part", None),
        media_type="image/png",
        width=1,
        height=1,
        n_bytes=1,
        sha256="00",
    )
    outcome = Made(
        task=task(number),
        images=(image,) * n_images,
        answer=Answer(),
        course=_course(latency_s, **changes),
    )
    return Settled(receipt=Receipt(outcome=outcome, record=_record(outcome, n_images)))


def failed(number: int = 0, why: Why = Why.REFUSED, **changes: Any) -> Settled:
    outcome = Failed(task=task(number), why=why, answer=Answer(), course=_course(1.0, **changes))
    return Settled(receipt=Receipt(outcome=outcome, record=_record(outcome, 0)))


def _course(latency_s: float, **changes: Any) -> Course:
    said: dict[str, Any] = {
        "attempts": 1,
        "started_at": "",
        "finished_at": "",
        "latency_s": latency_s,
        "cost_usd": 0.04,
        "provider": "p",
    }
    return Course(**(said | changes))


def _record(outcome: Made | Failed, n_images: int) -> dict[str, Any]:
    return {
        "id": outcome.task.id,
        "index": outcome.task.index,
        "sample": 0,
        "why": None if isinstance(outcome, Made) else str(outcome.why),
        "detail": None,
        "images": [{"file": f"images/{n}.png"} for n in range(n_images)],
        "attempts": 1,
        "cost_usd": outcome.course.cost_usd,
        "latency_s": outcome.course.latency_s,
    }
