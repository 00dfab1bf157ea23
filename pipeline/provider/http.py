"""The only module that opens a socket out: carries a request there and its reply back.

What aiohttp does that a client must know is kept here: it would follow a redirect with another
method, its own parser errors carry a fake status of 400, its default of 100 connections is a
hidden semaphore, and a chunk that is malformed hangs until the total time-out; so there is one
deadline here for silence and for the whole exchange.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp

from pipeline.core.model import Reply, Request, Secret
from pipeline.core.ports import Break, Broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

READ_BYTES = 128 * 1024
"""The read buffer of one connection; aiohttp holds at most twice that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to send, and as whom. ``headers`` go out with every request."""

    base_url: str
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and for how much, in bytes."""

    connect_s: float
    idle_s: float
    total_s: float
    most_body_bytes: int


class Http:
    """Implements the Transport port over one pool of connections."""

    def __init__(self, address: Address, patience: Patience) -> None:
        """Nothing is opened before ``async with``."""
        self._address = address
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool."""
        headers = {
            "Accept": "application/json, text/event-stream",
            # Base64 of a picture hardly compresses, and a cut gzip body goes unnoticed.
            "Accept-Encoding": "identity",
            "User-Agent": "imagebatch",
            **self._address.headers,
        }
        if self._address.key:
            headers["Authorization"] = f"Bearer {self._address.key.reveal()}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._patience.connect_s),
            headers=headers,
            read_bufsize=READ_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Reply]:
        """``POST`` the request; raises :class:`Broken`, here or while the body is read."""
        async with self._exchange("POST", request.path, request.body) as reply:
            yield reply

    @asynccontextmanager
    async def get(self, path: str) -> AsyncIterator[Reply]:
        """``GET`` a path below the base URL, in the same way."""
        async with self._exchange("GET", path, None) as reply:
            yield reply

    @asynccontextmanager
    async def _exchange(self, method: str, path: str, body: bytes | None) -> AsyncIterator[Reply]:
        assert self._session
        deadline = _Deadline(self._patience)
        has_head = False
        try:
            async with (
                asyncio.timeout_at(deadline.next_at()) as timer,
                self._session.request(
                    method,
                    self._address.base_url + path,
                    data=body,
                    headers={"Content-Type": "application/json"} if body else None,
                    allow_redirects=False,
                ) as response,
            ):
                has_head = True
                yield Reply(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    arrived_at=time.time(),
                    body=self._body(response, deadline, timer),
                )
        except TimeoutError as error:
            raise Broken(_how_it_timed_out(error, deadline)) from None
        except aiohttp.ClientError as error:
            raise Broken(_how_it_broke(error, has_head=has_head), _told(error)) from None

    async def _body(
        self, response: aiohttp.ClientResponse, deadline: _Deadline, timer: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        n_bytes = 0
        try:
            async for chunk in response.content.iter_any():
                timer.reschedule(deadline.next_at())
                n_bytes += len(chunk)
                if n_bytes > self._patience.most_body_bytes:
                    raise Broken(Break.TOO_LARGE, f"{self._patience.most_body_bytes} bytes")
                yield chunk
        except aiohttp.ClientError as error:
            raise Broken(_how_it_broke(error, has_head=True), _told(error)) from None


class _Deadline:
    """The earlier of two: silence for too long, and the whole exchange."""

    def __init__(self, patience: Patience) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_s = patience.idle_s
        self._end = self._loop.time() + patience.total_s

    @property
    def is_over(self) -> bool:
        return self._loop.time() >= self._end

    def next_at(self) -> float:
        return min(self._end, self._loop.time() + self._idle_s)


def _how_it_timed_out(error: TimeoutError, deadline: _Deadline) -> Break:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Break.CONNECT_TIMEOUT
    return Break.TOTAL if deadline.is_over else Break.IDLE


def _how_it_broke(error: aiohttp.ClientError, *, has_head: bool) -> Break:
    """Before the request left, before the reply came, or inside it."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Break.DNS
        case aiohttp.ClientSSLError():
            return Break.TLS
        case aiohttp.ClientConnectorError():
            return Break.REFUSED
        case aiohttp.ClientResponseError():
            return Break.GARBLED
        case aiohttp.ClientPayloadError():
            return Break.CUT
    return Break.CUT if has_head else Break.RESET


def _told(error: aiohttp.ClientError) -> str:
    """What the network said; never the repr, which for some of these holds the headers."""
    return str(error) if isinstance(error, aiohttp.ClientConnectionError) else type(error).__name__
