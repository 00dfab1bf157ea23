"""A small job in two runs, with everything that can befall a task, and what it was told when."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Answer, Course, Failed, Image, Made, Outcome, Task, Why
from pipeline.provider.simulator.png import png_of
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.store.durable import Calls
    from pipeline.store.trail import Trail

AT = "2026-11-22T14:00:00.123Z"
COST_USD = 0.25  # binary fractions: sums compare as they are
N_PIXELS = 8
FIRST_BYTES = 13
"""How much of an image comes before the rest of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The program was told something, or told it on: ``what`` is begun, heard, back or kept.

    ``record`` is the line of what is kept; to be kept is to be acknowledged.
    """

    what: str
    id: str
    run: str
    attempt: int = 0
    request_id: str | None = None
    cost_usd: float | None = None
    is_maybe_billed: bool = False
    record: dict[str, Any] | None = None


def task(number: int, **changes: Any) -> Task:
    """The task that has this place in the plan."""
    said: dict[str, Any] = {
        "id": f"{number:06x}",
        "index": number,
        "sample": 0,
        "prompt": f"prompt {number}",
        "model": "m",
    }
    return Task(**(said | changes))


EDITED = task(0, id="edited", prompt="another")
BEFORE = [task(number) for number in range(10)]
AFTER = [EDITED, *BEFORE[1:]]
REFUSED = task(2)
UNWANTED = [task(0).id]


def path_for(of: Task, number: int, extension: str) -> str:
    """As a job's ``output.path`` would."""
    again = f"-{number}" if number else ""
    return f"images/{of.index // 1000:03}/{of.index:06}{again}.{extension}"


def terms(run: str, durability: Durability = Durability.POWER) -> Terms:
    """On what terms a run of the story opens its folder."""
    return Terms(job="sunsets", run=run, path_for=path_for, durability=durability)


def picture(of: Task, number: int = 0) -> bytes:
    """The image that the provider makes for a task; another for each."""
    seed = hashlib.sha256(f"{of.id}, image {number}".encode()).digest()
    pixels = seed * (3 * N_PIXELS**2 // len(seed))
    return png_of(pixels, N_PIXELS)


class Errand:
    """One attempt of a task, step by step; ``say`` hears every step once it is done."""

    def __init__(self, teller: Teller, of: Task, attempt: int = 1) -> None:
        """It is about to leave."""
        self.task = of
        self.attempt = attempt
        self._teller = teller
        self._trail: Trail = teller.folder.begin(of, attempt, at=AT)
        self._tell("begun")

    def heard(self) -> Errand:
        """The head of its reply came."""
        request_id = f"gen-{self.task.id}-{self.attempt}-{self._teller.run}"
        self._trail.heard(request_id)
        self._tell("heard", request_id=request_id)
        return self

    def back(self, *, cost_usd: float | None = None, is_maybe_billed: bool = False) -> Errand:
        """It came back without images."""
        self._trail.back(cost_usd=cost_usd, is_maybe_billed=is_maybe_billed)
        self._tell("back", cost_usd=cost_usd, is_maybe_billed=is_maybe_billed)
        return self

    def images(self, n_images: int = 1) -> tuple[Image, ...]:
        """They arrive, in pieces."""
        return tuple(self._image(number) for number in range(n_images))

    def half_an_image(self) -> Callable[[], None]:
        """Its body breaks off; what discards the part."""
        part = self._trail.part()
        part.write(picture(self.task)[:FIRST_BYTES])
        return part.discard

    def _image(self, number: int) -> Image:
        content = picture(self.task, number)
        part = self._trail.part()
        part.write(content[:FIRST_BYTES])
        part.write(content[FIRST_BYTES:])
        return Image(
            part=part,
            media_type="image/png",
            width=N_PIXELS,
            height=N_PIXELS,
            n_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _tell(self, what: str, **more: Any) -> None:
        run = self._teller.run
        mark = Mark(what=what, id=self.task.id, run=run, attempt=self.attempt, **more)
        self._teller.say(mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """A run in an open folder, and who hears of it."""

    folder: Folder
    run: str
    say: Callable[[Mark], None]

    def sent(self, of: Task, attempt: int = 1) -> Errand:
        """An attempt is about to leave."""
        return Errand(self, of, attempt)

    async def keep(self, *outcomes: Outcome) -> None:
        """Keep them; several share a batch."""
        with _held_up(self.folder) if len(outcomes) > 1 else _at_once() as go:
            async with asyncio.TaskGroup() as group:
                for outcome in outcomes:
                    group.create_task(self._keep(outcome))
                await asyncio.sleep(0)
                go()

    async def make(self, *tasks: Task, n_images: int = 1) -> None:
        """Ask for them and keep what comes; several share a batch."""
        errands = [self.sent(one).heard() for one in tasks]
        await self.keep(*(made(one.task, one.images(n_images)) for one in errands))

    async def _keep(self, outcome: Outcome) -> None:
        receipt = await self.folder.keep(outcome)
        record = dict(receipt.record)
        self.say(Mark(what="kept", id=outcome.task.id, run=self.run, record=record))


Act = Callable[["Teller"], Awaitable[None]]


async def tell(
    root: Path,
    say: Callable[[Mark], None],
    *,
    calls: Calls | None = None,
    durability: Durability = Durability.POWER,
    acts: Sequence[Act] = (),
) -> None:
    """The story: a run for each act; without any the whole of it, with the job edited between."""
    for number, act in enumerate(acts or (first, second), start=1):
        run = f"r{number}"
        with Folder(root, terms(run, durability), calls=calls) as folder:
            _in_order(folder)
            await act(Teller(folder=folder, run=run, say=say))


async def brief(teller: Teller) -> None:
    """As much as it takes to need every step of the protocol."""
    await teller.make(task(0))
    teller.sent(task(3)).heard()
    await teller.make(task(1), n_images=2)
    await teller.keep(failed(REFUSED))


async def first(teller: Teller) -> None:
    """Everything that can befall a task."""
    folder = teller.folder
    folder.freeze("name: sunsets\n")
    folder.note_plan(wanted=len(BEFORE))
    await teller.make(task(0))
    await teller.make(task(1), n_images=2)
    teller.sent(REFUSED).heard().back(cost_usd=COST_USD)
    await teller.keep(failed(REFUSED, cost_usd=COST_USD))
    teller.sent(task(3)).back(is_maybe_billed=True)  # it would be tried again, but the run ends
    teller.sent(task(4)).heard().back(cost_usd=COST_USD)
    hang_up = teller.sent(task(5)).heard().half_an_image()
    teller.sent(task(6))
    await teller.make(task(7), task(8))
    teller.sent(task(9)).heard().back(cost_usd=COST_USD, is_maybe_billed=True)
    again = teller.sent(task(9), 2).heard().images()
    await teller.keep(
        made(task(9), again, attempts=2, cost_usd=2 * COST_USD, n_maybe_billed=1),
        failed(task(6), Why.LOST, n_maybe_billed=1, cost_usd=None),
    )
    hang_up()
    folder.write_metadata()


async def second(teller: Teller) -> None:
    """The job was edited; what is still owed is made."""
    teller.folder.note_plan(wanted=len(AFTER), unwanted=UNWANTED)
    await teller.make(task(3), n_images=2)
    await teller.make(EDITED, task(4))
    await teller.make(task(5))
    await teller.make(task(6))
    teller.folder.write_metadata()


async def rest(teller: Teller) -> list[str]:
    """What a later run of the edited job does, from wherever it starts; the ids it asks for."""
    folder = teller.folder
    folder.freeze("name: sunsets\n")
    folder.note_plan(wanted=len(AFTER), unwanted=UNWANTED)
    owed = [one for one in AFTER if folder.ledger.owes(one.id)]
    for one in owed:
        if one == REFUSED:
            teller.sent(one).heard().back(cost_usd=COST_USD)
            await teller.keep(failed(one, cost_usd=COST_USD))
        else:
            await teller.make(one)
    folder.write_metadata()
    return [one.id for one in owed]


def made(of: Task, images: Sequence[Image], **changes: Any) -> Made:
    """A task that has its images."""
    return Made(task=of, images=tuple(images), answer=Answer(), course=_course(**changes))


def failed(of: Task, why: Why = Why.REFUSED, **changes: Any) -> Failed:
    """A task that was given up."""
    return Failed(task=of, why=why, answer=Answer(detail="no"), course=_course(**changes))


def _course(**changes: Any) -> Course:
    course = Course(
        attempts=1,
        started_at=AT,
        finished_at=AT,
        latency_s=1.0,
        cost_usd=COST_USD,
        provider="simulator",
    )
    return replace(course, **changes)


class _Inline(Executor):
    """Does it at once, in the thread that asks: the order of calls is the same every time."""

    def submit(self, do: Any, /, *words: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(do(*words, **more))
        return done


def _in_order(folder: Folder) -> None:
    folder._committer._sealers.shutdown()
    vars(folder._committer)["_sealers"] = _Inline()


@contextmanager
def _held_up(folder: Folder) -> Iterator[Callable[[], None]]:
    """What is given to be kept in here waits until the word is given, then goes as one batch."""
    go = threading.Event()
    folder._committer._keeper.submit(go.wait)
    try:
        yield go.set
    finally:
        go.set()


@contextmanager
def _at_once() -> Iterator[Callable[[], None]]:
    yield lambda: None
