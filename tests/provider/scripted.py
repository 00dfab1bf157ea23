"""A server that does exactly what a test writes down, byte by byte, over a real socket.

::

    half = Script().head(200, content_length=10).send(b"abc").close()
    async with scripted(Script.whole(b"{}"), half) as server:
        ...  # the first request gets {}, the second and all later ones are cut

A script without an end (``close``, ``reset``, ``hang``) keeps its connection for another request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

_LINGER_AND_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came. ``headers`` has lower-case names; ``raw`` is its head, untouched.

    ``at``: when it was there, in the loop's seconds.
    """

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: bytes
    at: float = 0.0


class Peer:
    """One client's connection, as a step of a script meets it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, piece: bytes) -> None:
        self.writer.write(piece)
        await self.writer.drain()

    async def reset(self) -> None:
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
        self.writer.transport.abort()


class Script:
    """What one request meets. Each verb adds a step and returns the script."""

    def __init__(self, *, reads_body: bool = True) -> None:
        """``reads_body``: False answers as soon as the request's head is there."""
        self.reads_body = reads_body
        self._steps: list[Callable[[Peer], Awaitable[object]]] = []

    @classmethod
    def whole(cls, body: bytes, status: int = 200, **headers: object) -> Self:
        """A complete reply with a Content-Length."""
        return cls().head(status, content_length=len(body), **headers).send(body)

    @classmethod
    def chunked(cls, *pieces: bytes, status: int = 200, **headers: object) -> Self:
        """A complete chunked reply, each piece a chunk of its own."""
        script = cls().stream(status, **headers)
        for piece in pieces:
            script.chunk(piece)
        return script.last_chunk()

    @classmethod
    def until_close(cls, body: bytes, status: int = 200, **headers: object) -> Self:
        """A complete reply whose end is the connection's."""
        return cls().head(status, connection="close", **headers).send(body).close()

    def head(self, status: int = 200, **headers: object) -> Self:
        """Status line and headers; ``content_length=3`` is written ``content-length: 3``."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send("\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode("latin-1"))

    def stream(self, status: int = 200, **headers: object) -> Self:
        """The head of a chunked reply."""
        return self.head(status, transfer_encoding="chunked", **headers)

    def send(self, data: bytes) -> Self:
        """These bytes, in a write of their own."""
        return self.do(lambda peer: peer.write(data))

    def chunk(self, data: bytes) -> Self:
        """One chunk of a chunked body."""
        return self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def last_chunk(self) -> Self:
        """The end of a chunked body."""
        return self.send(b"0\r\n\r\n")

    def drip(self, data: bytes, *, times: int, every_s: float) -> Self:
        """The same chunk again and again, a pause before each."""
        for _ in range(times):
            self.pause(every_s).chunk(data)
        return self

    def wait(self, event: asyncio.Event) -> Self:
        """Nothing, until the test sets ``event``."""
        return self.do(lambda _: event.wait())

    def tell(self, event: asyncio.Event) -> Self:
        """Let the test know that the script has come this far."""

        async def step(_: Peer) -> None:
            event.set()

        return self.do(step)

    def pause(self, seconds: float) -> Self:
        """Nothing, for that long at least."""
        return self.do(lambda _: asyncio.sleep(seconds))

    def hang(self) -> Self:
        """Nothing more, until the client goes away."""
        return self.do(lambda peer: peer.reader.read()).close()

    def half_close(self) -> Self:
        """Say no more, but keep listening."""

        async def step(peer: Peer) -> None:
            peer.writer.write_eof()
            await peer.reader.read()

        return self.do(step)

    def close(self) -> Self:
        """Close the connection in an orderly way."""

        async def step(peer: Peer) -> None:
            peer.writer.close()

        return self.do(step)

    def reset(self) -> Self:
        """Drop the connection with a TCP reset."""
        return self.do(Peer.reset)

    def do(self, step: Callable[[Peer], Awaitable[object]]) -> Self:
        """Any other step."""
        self._steps.append(step)
        return self

    async def play(self, peer: Peer) -> None:
        """Every step, in order."""
        for step in self._steps:
            await step(peer)


class Scripted:
    """The server while it listens: where it is, and what came to it."""

    def __init__(
        self, scripts: tuple[Script, ...], greeting: bytes, *, scheme: str = "http"
    ) -> None:
        self._scheme = scheme
        self.requests: list[Asked] = []
        self.n_accepted = 0
        self.n_open = 0
        self.port = 0
        self._scripts = scripts
        self._greeting = greeting
        self._n_begun = 0
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    async def until_all_closed(self) -> None:
        """Wait for the last open connection to end."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.n_open == 0)

    def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody connected."""
        self.n_accepted += 1
        self.n_open += 1
        self._tasks.add(asyncio.create_task(self._serve(Peer(reader, writer))))

    async def end(self) -> None:
        """Drop who is still connected; a mistake in a script is raised here."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _serve(self, peer: Peer) -> None:
        try:
            await peer.write(self._greeting)
            while not peer.writer.is_closing():
                await self._answer(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            peer.writer.close()
            self.n_open -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _answer(self, peer: Peer) -> None:
        raw = await peer.reader.readuntil(b"\r\n\r\n")
        script = self._scripts[min(self._n_begun, len(self._scripts) - 1)]
        self._n_begun += 1
        first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        n_bytes = int(headers.get("content-length", 0)) if script.reads_body else 0
        body = await peer.reader.readexactly(n_bytes)
        at = asyncio.get_running_loop().time()
        self.requests.append(
            Asked(method=method, path=path, headers=headers, raw=raw, body=body, at=at)
        )
        await script.play(peer)


@asynccontextmanager
async def scripted(
    *scripts: Script, greeting: bytes = b"", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Play the n-th script to the n-th request, and the last one to all that follow.

    ``greeting`` goes to whoever connects, before any request. With ``tls`` it is encrypted, and
    ``origin`` is https.
    """
    served = Scripted(scripts, greeting, scheme="https" if tls else "http")
    server = await asyncio.start_server(served.meet, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await served.end()
