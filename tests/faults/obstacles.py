"""Calls of which one fails, or all from then on; and a run of the real pool that meets them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from recorder import Recorder
from story import AFTER, AT, COST_USD, N_PIXELS, REFUSED, Mark, picture, task, terms

from pipeline.core.model import Answer, Failure, Image, Task, Why
from pipeline.core.ports import Settled
from pipeline.engine.pool import Pool
from pipeline.engine.retry import Caps, Retry
from pipeline.engine.routes import Route
from pipeline.engine.stages import Guards, Stages
from pipeline.engine.worker import Got
from pipeline.errors import Stop
from pipeline.limit.budget import Budget
from pipeline.limit.lane import Lane, Limits
from pipeline.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.model import Outcome, Part, Past, Receipt
    from pipeline.core.ports import Event, Trail
    from pipeline.store.durable import Calls

N_WORKERS = 3
LOST_ONCE = task(3)
CAPS = Caps(attempts=3, max_wait_s=60, no_image=2, refused=1, lost=2, is_throttling_free=True)


@dataclass(slots=True, kw_only=True)
class Obstacle:
    """The ``nth`` call of a ``kind`` fails, and, where it ``lasts``, every later one."""

    kind: str
    nth: int
    error: int = errno.ENOSPC
    lasts: bool = False
    n_calls: int = 0
    is_met: bool = False
    counting: threading.Lock = field(default_factory=threading.Lock)

    def before(self, calls: Calls) -> Calls:
        """``calls`` with the obstacle in their way; a failing close has closed all the same."""
        call = getattr(calls, self.kind)

        def do(*words: Any, **more: Any) -> Any:
            with self.counting:
                self.n_calls += 1
                is_in_the_way = self.n_calls == self.nth or (self.lasts and self.n_calls > self.nth)
                self.is_met |= is_in_the_way
            if is_in_the_way:
                if self.kind == "close":
                    call(*words, **more)
                raise OSError(self.error, os.strerror(self.error))
            return call(*words, **more)

        return replace(calls, **{self.kind: do})


@dataclass(slots=True)
class Life:
    """One run, as it went: what was said, what was about to be, what stopped it."""

    recorder: Recorder
    said: list[Mark] = field(default_factory=list)
    coming: list[Mark] = field(default_factory=list)
    stop: Stop | None = None
    had_room_made: bool = False

    def tell(self, do: Callable[[], Any], mark: Mark) -> Any:
        """Do it; only once that has succeeded it is said."""
        self.coming.append(mark)
        result = do()
        self.coming.remove(mark)
        self.said.append(mark)
        return result


def live(root: Path, obstacle: Obstacle, *, run: str = "r1", is_braced: bool = False) -> Life:
    """A run over all tasks of the edited job."""
    life = Life(Recorder(root))
    try:
        with Folder(root, terms(run), calls=obstacle.before(life.recorder.calls)) as folder:
            if is_braced:
                folder.brace(n_workers=1, when_full=lambda: setattr(life, "had_room_made", True))
            folder.freeze("name: sunsets\n")
            folder.note_plan(wanted=len(AFTER))
            life.stop = asyncio.run(_pool(folder, run, life).run(iter(AFTER)))
            folder.write_metadata()
    except Stop as stop:
        life.stop = life.stop or stop
    return life


def _pool(folder: Folder, run: str, life: Life) -> Pool:
    store = _Store(folder, run, life)
    gate = Lane(Limits(concurrency=N_WORKERS, is_adaptive=False))
    stages = Stages(
        routes=[Route(name="simulator", attempt=_attempt, gate=gate)],
        budget=Budget(),
        retry=Retry(CAPS, uniform=lambda low, high: 0.0),
        store=store,
        observer=store,
        clock=_Clock(),
    )
    return Pool(stages, Guards(failures_in_a_row=5, grace_s=10), n_workers=N_WORKERS)


@dataclass(slots=True)
class _Store:
    """The folder, and whatever is said of it."""

    folder: Folder
    run: str
    life: Life

    def begin(self, of: Task, attempt: int, *, at: str) -> _Trail:
        mark = Mark(what="begun", id=of.id, run=self.run, attempt=attempt)
        trail = self.life.tell(lambda: self.folder.begin(of, attempt, at=at), mark)
        return _Trail(trail, mark, self.life)

    async def keep(self, outcome: Outcome) -> Receipt:
        return await self.folder.keep(outcome)

    def see(self, event: Event) -> None:
        if isinstance(event, Settled):
            record = dict(event.receipt.record)
            self.life.said.append(Mark(what="kept", id=record["id"], run=self.run, record=record))


@dataclass(slots=True)
class _Trail:
    """A trail that says what it was told."""

    trail: Trail
    begun: Mark
    life: Life

    @property
    def is_first(self) -> bool:
        return self.begun.attempt == 1

    def heard(self, request_id: str) -> None:
        mark = replace(self.begun, what="heard", request_id=request_id)
        self.life.tell(lambda: self.trail.heard(request_id), mark)

    def part(self) -> Part:
        return self.trail.part()

    @property
    def past(self) -> Past:
        return self.trail.past

    def answered(self) -> None:
        self.trail.answered()

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        how: dict[str, Any] = {"cost_usd": cost_usd, "is_maybe_billed": is_maybe_billed}
        mark = replace(self.begun, what="back", **how)
        self.life.tell(lambda: self.trail.back(is_unpriced=is_unpriced, **how), mark)


async def _attempt(of: Task, trail: Trail) -> Got | Failure:
    assert isinstance(trail, _Trail)
    if of == LOST_ONCE and trail.is_first:
        return Failure(why=Why.LOST, is_maybe_billed=True)
    trail.heard(f"gen-{of.id}-{trail.begun.attempt}-{trail.begun.run}")
    await asyncio.sleep(0)
    if of == REFUSED:
        return Failure(why=Why.REFUSED, answer=Answer(cost_usd=COST_USD))
    part, content = trail.part(), picture(of)
    try:
        part.write(content)
    except Stop:
        part.discard()
        raise
    image = Image(
        part=part,
        media_type="image/png",
        width=N_PIXELS,
        height=N_PIXELS,
        n_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return Got(images=(image,), answer=Answer(cost_usd=COST_USD))


class _Clock:
    """Stands still: nothing here waits."""

    def now(self) -> float:
        return 0.0

    def utc(self) -> str:
        return AT

    def utc_in(self, seconds: float) -> str:
        return AT
