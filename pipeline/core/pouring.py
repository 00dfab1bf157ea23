"""A body's pieces, each taken in the moment it arrives where that can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Pourable(ABC):
    """A body that hands out its pieces without anybody waking up for each."""

    @abstractmethod
    async def pour(self, take: Callable[[bytes], None]) -> None:
        """As :func:`pour`."""


async def pour(body: AsyncIterator[bytes], take: Callable[[bytes], None]) -> None:
    """Give ``take`` every piece of a reply's body.

    Raises :class:`pipeline.core.ports.Broken`, and what ``take`` raises.
    """
    if isinstance(body, Pourable):
        await body.pour(take)
        return
    async for piece in body:
        take(piece)
