"""The APIs the simulator speaks: how each one's requests are read and its replies are put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.provider.simulator import images, said
from pipeline.provider.simulator.asked import Asked, asked_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.provider.simulator.said import Frame, Said

    Pieces = Callable[[Said, Frame], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One API. ``asked`` reads a body, for pixels of a square at 1K; it raises BadAsk."""

    asked: Callable[[bytes, tuple[int, int]], Asked]
    document: Pieces
    events: Pieces


CHAT = Shape(asked=asked_of, document=said.document, events=said.events)
"""``POST /chat/completions``."""

IMAGES = Shape(asked=images.asked_of_openai, document=images.document, events=images.events)
"""``POST /images/generations``: OpenAI's API."""

OPENROUTER_IMAGES = Shape(
    asked=images.asked_of_openrouter, document=images.document, events=images.events
)
"""``POST /images``: OpenRouter's."""
