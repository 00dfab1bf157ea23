"""Server-sent events: bytes in, the data of each event out, whatever the split.

Only what this wire uses: https://html.spec.whatwg.org/multipage/server-sent-events.html. Seen in
the wild: ``data:`` without a space, CRLF, ``event:`` lines, ``: ping`` comments, several ``data:``
lines in one event, no blank line at the end, text behind ``[DONE]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"[DONE]"


class Events:
    """Splits a stream into the data of its events; memory is one event."""

    __slots__ = ("_buffer", "_data", "_n_bytes")

    def __init__(self) -> None:
        """Start before the first byte."""
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._n_bytes = 0

    @property
    def n_bytes_held(self) -> int:
        """The size of the event under way, for the caller's cap."""
        return len(self._buffer) + self._n_bytes

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of every event that ends within ``chunk``."""
        self._buffer += chunk
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            yield from self._line(bytes(line.removesuffix(b"\r")))

    def close(self) -> Iterator[bytes]:
        """The data of a last event that no blank line ended."""
        yield from self._line(bytes(self._buffer.removesuffix(b"\r")))
        self._buffer.clear()
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._n_bytes += len(line)
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data.clear()
            self._n_bytes = 0
