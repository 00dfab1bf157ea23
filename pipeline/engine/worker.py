"""One attempt of one task: send, read as it arrives, judge.

Pieces of images go straight into part files, so an image is never whole in memory. Whatever is
not kept is discarded here, also when the attempt is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Failure, Image, Task, Why
from pipeline.core.ports import Break, Broken, Found
from pipeline.core.pouring import pour

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from pipeline.core.model import Part, Past, Reply, Request
    from pipeline.core.ports import Intake, Links, Provider, Reader, Sighting, Trail, Transport

MOST_LINKS = 16
"""The most links of one reply that are followed."""
N_FETCHES = 2
"""How often a link is opened where the connection breaks: its image is paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An attempt that brought images."""

    images: tuple[Image, ...]
    answer: Answer

    @property
    def is_unpriced(self) -> bool:
        """Whether nobody told what it cost."""
        return self.answer.cost_usd is None


class Worker:
    """Makes attempts; holds nothing between two of them."""

    def __init__(
        self,
        *,
        provider: Provider,
        transport: Transport,
        links: Links | None = None,
        problem_of: Callable[[Image], Awaitable[str | None]] | None = None,
        mark: Callable[[Request, Task, Past], Request] | None = None,
    ) -> None:
        """The stages an attempt passes; where a profile and a job want it, two more.

        ``links`` follows the addresses a reply gives instead of images. ``problem_of`` says what a
        closer look finds wrong with an image, None if nothing. ``mark`` gives a request what lets
        its provider know it again.
        """
        self._provider = provider
        self._transport = transport
        self._links = links
        self._problem_of = problem_of
        self._mark = mark

    async def attempt(self, task: Task, trail: Trail) -> Got | Failure:
        """Ask once, leaving ``trail``. Raises a Stop where the disk refuses."""
        result = await self._asked(task, trail)
        if self._mark and isinstance(result, Failure) and result.is_answer:
            trail.answered()
        return result

    async def _asked(self, task: Task, trail: Trail) -> Got | Failure:
        parts = _Parts(trail)
        kept: tuple[Image, ...] = ()
        try:
            verdict = await self._exchange(task, parts)
            if isinstance(verdict, Failure):
                return verdict
            images = tuple(_image(one, parts.by_number[one.number]) for one in verdict.images)
            result = await self._looked_at(Got(images=images, answer=verdict.answer))
            kept = result.images if isinstance(result, Got) else ()
            return result
        finally:
            for part in parts.by_number.values():
                if all(part is not image.part for image in kept):
                    part.discard()

    def _request(self, task: Task, trail: Trail) -> Request:
        request = self._provider.request_for(task)
        return self._mark(request, task, trail.past) if self._mark else request

    async def _exchange(self, task: Task, parts: _Parts) -> Found | Failure:
        reader: Reader | None = None
        try:
            async with self._transport.send(self._request(task, parts.trail)) as reply:
                reader = self._provider.reader_of(reply, task)
                parts.hear(reader)
                await self._read(reply, reader, parts)
        except Broken as broken:
            return reader.close(broken) if reader else self._provider.failure_of(broken)
        verdict = reader.close()
        if isinstance(verdict, Found) and verdict.links:
            return await self._followed(verdict, reader, parts)
        return verdict

    async def _read(self, reply: Reply, reader: Intake, parts: _Parts) -> None:
        def take(chunk: bytes) -> None:
            for number, piece in reader.feed(chunk):
                parts.write(number, piece)
            parts.hear(reader)

        await pour(reply.body, take)

    async def _followed(self, found: Found, reader: Reader, parts: _Parts) -> Found | Failure:
        """The images at the links instead of the links."""
        images: dict[str, Sighting] = {}
        problems: list[str | None] = []
        for link in found.links[:MOST_LINKS]:
            there = await self._fetched(link, reader, parts)
            if isinstance(there, Failure):
                problems.append(there.answer.detail)
            else:
                images |= {one.sha256: one for one in there.images if one.sha256 not in images}
        told = [f"a linked image could not be had: {one}" for one in dict.fromkeys(problems)]
        if not images:
            return _bad_image(found.answer, told)
        return Found(images=tuple(images.values()), answer=_with_warnings(found.answer, told))

    async def _fetched(self, link: str, reader: Reader, parts: _Parts) -> Found | Failure:
        assert self._links
        n_left = N_FETCHES
        while True:
            n_left -= 1
            linked: Intake | None = None
            try:
                async with self._links.open(link) as reply:
                    linked = reader.linked(reply)
                    await self._read(reply, linked, parts)
            except Broken as broken:
                if n_left and broken.how is not Break.FORBIDDEN:
                    continue
                return linked.close(broken) if linked else _unreachable(broken)
            return linked.close()

    async def _looked_at(self, got: Got) -> Got | Failure:
        """The images that stand a closer look, where one is wanted."""
        if self._problem_of is None:
            return got
        problems = [(image, await self._problem_of(image)) for image in got.images]
        told = [problem for _, problem in problems if problem]
        if len(told) == len(problems):
            return _bad_image(got.answer, told)
        sound = tuple(image for image, problem in problems if not problem)
        return Got(images=sound, answer=_with_warnings(got.answer, told))


class _Parts:
    """The part files of one attempt, by the number of their image, and the trail they leave."""

    __slots__ = ("_heard", "by_number", "trail")

    def __init__(self, trail: Trail) -> None:
        self.by_number: dict[int, Part] = {}
        self._heard: str | None = None
        self.trail = trail

    def hear(self, reader: Intake) -> None:
        request_id = reader.request_id
        if request_id and request_id != self._heard:
            self._heard = request_id
            self.trail.heard(request_id)

    def write(self, number: int, piece: bytes) -> None:
        if number not in self.by_number:
            self.by_number[number] = self.trail.part()
        self.by_number[number].write(piece)


def _bad_image(answer: Answer, problems: Iterable[str]) -> Failure:
    return Failure(why=Why.BAD_IMAGE, answer=replace(answer, detail="; ".join(problems)))


def _unreachable(broken: Broken) -> Failure:
    return Failure(why=Why.BAD_IMAGE, answer=Answer(detail=str(broken)))


def _with_warnings(answer: Answer, more: Iterable[str]) -> Answer:
    return replace(answer, warnings=(*answer.warnings, *more))


def _image(sighting: Sighting, part: Part) -> Image:
    return Image(
        part=part,
        media_type=sighting.media_type,
        width=sighting.width,
        height=sighting.height,
        n_bytes=sighting.n_bytes,
        sha256=sighting.sha256,
    )
