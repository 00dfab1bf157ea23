"""One attempt of one task: send, read as it arrives, judge.

Pieces of images go straight into part files, so an image is never whole in memory. Whatever is
not kept is discarded here, also when the attempt is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Failure, Image, Task
from pipeline.core.ports import Broken, Found

if TYPE_CHECKING:
    from pipeline.core.ports import Part, Provider, Reader, Sighting, Store, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An attempt that brought images."""

    images: tuple[Image, ...]
    answer: Answer


class Worker:
    """Makes attempts; holds nothing between two of them."""

    def __init__(self, *, provider: Provider, transport: Transport, store: Store) -> None:
        """The three stages an attempt passes."""
        self._provider = provider
        self._transport = transport
        self._store = store

    async def attempt(self, task: Task) -> Got | Failure:
        """Ask once. Raises a Stop where the disk refuses."""
        parts: dict[int, Part] = {}
        kept: tuple[Image, ...] = ()
        try:
            verdict = await self._exchange(task, parts)
            if isinstance(verdict, Failure):
                return verdict
            kept = tuple(_image(sighting, parts[sighting.number]) for sighting in verdict.images)
            return Got(images=kept, answer=verdict.answer)
        finally:
            for part in parts.values():
                if all(part is not image.part for image in kept):
                    part.discard()

    async def _exchange(self, task: Task, parts: dict[int, Part]) -> Found | Failure:
        reader: Reader | None = None
        try:
            async with self._transport.send(self._provider.request_for(task)) as reply:
                reader = self._provider.reader_of(reply, task)
                async for chunk in reply.body:
                    for number, piece in reader.feed(chunk):
                        if number not in parts:
                            parts[number] = self._store.part()
                        parts[number].write(piece)
        except Broken as broken:
            return reader.close(broken) if reader else self._provider.failure_of(broken)
        return reader.close()


def _image(sighting: Sighting, part: Part) -> Image:
    return Image(
        part=part,
        media_type=sighting.media_type,
        width=sighting.width,
        height=sighting.height,
        n_bytes=sighting.n_bytes,
        sha256=sighting.sha256,
    )
