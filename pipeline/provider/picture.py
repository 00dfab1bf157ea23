"""Reads what stands at a link of a reply: the bytes of an image and nothing around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.model import Answer, Failure, Reply, Why
from pipeline.core.ports import Broken, Found, Sighting
from pipeline.provider.image import Inspector, Look

if TYPE_CHECKING:
    from collections.abc import Iterator


class PictureReader:
    """Implements the Intake port over an image's own bytes."""

    request_id: str | None = None

    def __init__(self, reply: Reply, number: int, *, allows_svg: bool) -> None:
        """``number``: which the image is to have."""
        self._reply = reply
        self._number = number
        self._inspector = Inspector(allows_svg=allows_svg)

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The same bytes, once they are known to be an image's."""
        if self._reply.status == 200 and (piece := self._inspector.feed(chunk)):
            yield self._number, piece

    def close(self, broken: Broken | None = None) -> Found | Failure:
        """The verdict."""
        sighting = sighting_of(self._number, self._inspector.look())
        if sighting is None or self._reply.status != 200:
            return Failure(why=Why.BAD_IMAGE, answer=Answer(detail=self._problem(broken)))
        return Found(images=(sighting,), answer=Answer())

    def _problem(self, broken: Broken | None) -> str:
        if self._reply.status != 200:
            is_elsewhere = 300 <= self._reply.status < 400
            told = f"HTTP {self._reply.status}"
            return f"{told}, a redirect, which is never followed" if is_elsewhere else told
        return str(broken or self._inspector.look().problem)


def sighting_of(number: int, look: Look) -> Sighting | None:
    """The image that was looked at; None where it is none, or not whole."""
    if look.problem or look.media_type is None:
        return None
    return Sighting(
        number=number,
        media_type=look.media_type,
        width=look.width,
        height=look.height,
        n_bytes=look.n_bytes,
        sha256=look.sha256,
    )
