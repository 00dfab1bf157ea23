"""Where in a reply its images stand, whatever the dialect: for the doctor, who wants to know.

An image list, content parts, a data URL within the text: gateways differ, and one day one of them
changes. What is found is told as a path, such as ``choices[].message.images[].image_url.url``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from pipeline.provider.extract import Scanner, references_in
from pipeline.provider.sse import Events

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 12
_MOST_TEXT = 4 * 1024 * 1024

_NAMES = (
    (re.compile(r"\.images\[\]"), "images list"),
    (re.compile(r"\.image(\[\]|\.|$)"), "image beside the text"),
    (re.compile(r"\.content\[\]"), "content parts"),
    (re.compile(r"\.content$"), "data URL in the text"),
    (re.compile(r"^data\[\]|^b64_json$"), "images API"),
)


class Shapes:
    """Looks at one reply as it arrives; memory is what stands beside the images."""

    def __init__(self, *, is_streamed: bool) -> None:
        """``is_streamed``: the reply is server-sent events, not one document."""
        self._scanner = Scanner(is_lines=is_streamed)
        self._events = Events() if is_streamed else None
        self._text = bytearray()
        self._places: dict[str, None] = {}
        self.n_documents = 0

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        for _ in self._scanner.feed(chunk):
            pass  # the pixels are somebody else's business
        text = self._scanner.take_skeleton()
        if self._events:
            for event in self._events.feed(text):
                self._look_at(event)
        elif len(self._text) < _MOST_TEXT:
            self._text += text

    def close(self) -> tuple[str, ...]:
        """The body is over: the places where images stood, in the order they came."""
        self._scanner.close()
        for event in self._events.close() if self._events else ():
            self._look_at(event)
        if self._events is None:
            self._look_at(bytes(self._text))
        return tuple(self._places)

    def _look_at(self, text: bytes) -> None:
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        self.n_documents += 1
        self._places |= dict.fromkeys(_places_in(document))


def name_of(place: str) -> str:
    """What a place is called, with the place itself: ``images list (choices[]…)``."""
    name = next((name for pattern, name in _NAMES if pattern.search(place)), "an unusual place")
    return f"{name} ({place})"


def _places_in(value: object, path: str = "", depth: int = _DEEPEST) -> Iterator[str]:
    if not depth:
        return
    if isinstance(value, str) and references_in(value):
        yield path
    elif isinstance(value, list):
        for item in value:
            yield from _places_in(item, f"{path}[]", depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _places_in(item, f"{path}.{key}" if path else key, depth - 1)
