"""One attempt, as the store is told of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Answer, Failure, Past, Reply, Request, Task, Why
from pipeline.engine.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

TASK = Task(id="a", index=0, sample=0, prompt="p", model="m")


class Telling:
    """A provider, and a reader, whose replies tell their id in the chunk that holds it."""

    def __init__(self, request_id: str | None = None) -> None:
        self.request_id = request_id

    def request_for(self, task: Task) -> Request:
        return Request(path="/", body=b"", is_streamed=True)

    def reader_of(self, reply: Reply, task: Task) -> Telling:
        return Telling(reply.headers.get("id"))

    def failure_of(self, broken: Any) -> Failure:
        raise AssertionError

    def linked(self, reply: Reply) -> Telling:
        raise AssertionError

    def feed(self, chunk: bytes) -> Iterable[tuple[int, bytes]]:
        self.request_id = chunk.decode() or self.request_id
        return ()

    def close(self, broken: Any = None) -> Failure:
        return Failure(why=Why.NO_IMAGE, answer=Answer())


class Wire:
    def __init__(self, headers: dict[str, str], *chunks: bytes) -> None:
        self.headers = headers
        self.chunks = chunks

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Reply]:
        yield Reply(status=200, headers=self.headers, arrived_at=0.0, body=self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


class Footprints:
    def __init__(self) -> None:
        self.heard_ids: list[str] = []

    def heard(self, request_id: str) -> None:
        self.heard_ids.append(request_id)

    def part(self) -> Any:
        raise AssertionError

    @property
    def past(self) -> Past:
        return Past()

    def answered(self) -> None:
        raise AssertionError

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        raise AssertionError


class Remembering(Footprints):
    """Says what was before, and remembers that an answer came."""

    n_answered = 0

    @property
    def past(self) -> Past:
        return Past(n_answers=7)

    def answered(self) -> None:
        self.n_answered += 1


async def test_a_request_is_marked_by_what_was_before_and_an_answer_is_told() -> None:
    marks: list[tuple[str, int]] = []

    def mark(request: Request, task: Task, past: Past) -> Request:
        marks.append((task.id, past.n_answers))
        return request

    trail = Remembering()
    await Worker(provider=Telling(), transport=Wire({}), mark=mark).attempt(TASK, trail)
    assert marks == [("a", 7)]
    assert trail.n_answered == 1  # no image is an answer, too
    await Worker(provider=Telling(), transport=Wire({})).attempt(TASK, trail)
    assert trail.n_answered == 1


def test_an_answer_says_what_became_of_the_request() -> None:
    assert {why for why in Why if Failure(why=why).is_answer} == {
        *(Why.NO_IMAGE, Why.REFUSED, Why.REJECTED),
        *(Why.BAD_REPLY, Why.BAD_IMAGE, Why.TOO_LARGE),
    }
    assert not any(Failure(why=why, is_maybe_billed=True).is_answer for why in Why)


async def heard(headers: dict[str, str], *chunks: bytes) -> list[str]:
    trail = Footprints()
    worker = Worker(provider=Telling(), transport=Wire(headers, *chunks))
    await worker.attempt(TASK, trail)
    return trail.heard_ids


async def test_the_providers_id_is_told_once_as_soon_as_it_comes() -> None:
    assert await heard({"id": "gen-1"}, b"", b"") == ["gen-1"]
    assert await heard({}, b"", b"gen-2", b"", b"") == ["gen-2"]
    assert await heard({}, b"", b"") == []


async def test_a_better_id_that_comes_later_is_told_too() -> None:
    assert await heard({"id": "edge-1"}, b"gen-3", b"") == ["edge-1", "gen-3"]
