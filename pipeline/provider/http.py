"""The only module that opens a socket out: carries a request there and its reply back.

What aiohttp does that a client must know is kept here: it would follow a redirect with another
method, its own parser errors carry a fake status of 400, its default of 100 connections is a
hidden semaphore, a kept connection may be dead already, and a malformed chunk hangs for ever; so
there is a deadline of our own for silence, and one for the whole exchange.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp

from pipeline.core.model import Reply, Request, Secret
from pipeline.core.ports import Break, Broken
from pipeline.provider.body import READ_BYTES, Body, hold_little
from pipeline.provider.deadline import Deadline, Watch
from pipeline.provider.outgoing import Ask, ask_of
from pipeline.provider.references import Library

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import SimpleNamespace, TracebackType

STALE_S = 1.0
"""A kept connection that breaks within this many seconds of sending was dead before.

Such a break is known within a round trip. A provider that took the request and died over it may
have begun to charge, and takes longer; what breaks later is therefore never sent again from here.
"""

_LOST_CONNECTION = (aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to send, as whom, and through which proxy; ``headers`` go out with every request.

    ``base_url`` has no slash at its end. ``proxy`` is an ``http://`` URL, with user and password
    where it wants them; the environment is not looked at.
    """

    base_url: str
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and for how much, in bytes after decompression."""

    connect_s: float
    idle_s: float
    total_s: float
    most_body_bytes: int


class Http:
    """Implements the Transport port over one pool of connections."""

    def __init__(
        self,
        address: Address,
        patience: Patience,
        *,
        socket_of: aiohttp.SocketFactoryType | None = None,
        library: Library | None = None,
    ) -> None:
        """Nothing is opened before ``async with``. ``socket_of`` may refuse an address.

        ``library`` has the input images.
        """
        self._library = library or Library()
        self._address = address
        self.patience = patience
        self._socket_of = socket_of
        self._sessions = AsyncExitStack()
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool."""
        self._kept = await self._sessions.enter_async_context(self._session(is_kept=True))
        self._fresh = await self._sessions.enter_async_context(self._session(is_kept=False))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        # An encrypted transport that was closed twice cannot be asked for anything any more, and
        # aiohttp, closing its pool, asks each. A run that is over stays well all the same: what is
        # left open ends with the process.
        with suppress(AttributeError):
            await self._sessions.aclose()

    def send(self, request: Request) -> AbstractAsyncContextManager[Reply]:
        """``POST`` the request; raises :class:`Broken`, here or while the body is read."""
        if request.more:
            return self._upload(request)
        return _Exchange(self, ask_of(self._address, request.path, request.body, request.headers))

    def get(self, path: str) -> AbstractAsyncContextManager[Reply]:
        """``GET`` a path below the base URL, in the same way."""
        return _Exchange(self, ask_of(self._address, path, None))

    @asynccontextmanager
    async def _upload(self, request: Request) -> AsyncIterator[Reply]:
        body = await self._library.upload(request)
        ask = ask_of(self._address, request.path, body, request.headers)
        async with _Exchange(self, ask) as reply:
            yield reply

    def _session(self, *, is_kept: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, force_close=not is_kept, socket_factory=self._socket_of
            ),
            timeout=aiohttp.ClientTimeout(total=None),  # a trip has a watch of its own
            read_bufsize=READ_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._address.proxy,
            trace_configs=[_tracing()],
        )

    async def response(self, ask: Ask, deadline: Deadline) -> aiohttp.ClientResponse:
        """The reply, its head read. A request that met a stale connection goes out once more."""
        assert self._kept
        assert self._fresh
        connect_s = self.patience.connect_s
        trip = _Trip(deadline, connect_s)
        met = await trip.response(self._kept, ask)
        if trip.is_stale:
            met = await _Trip(deadline, connect_s).response(self._fresh, ask)
        if isinstance(met, Broken):
            raise met
        hold_little(met)
        return met


class _Exchange:
    """One request and its reply, as a context: leaving it gives the connection back or closes it.

    Written out, and not as a generator: every image passes here.
    """

    def __init__(self, http: Http, ask: Ask) -> None:
        self._http = http
        self._ask = ask

    async def __aenter__(self) -> Reply:
        patience = self._http.patience
        deadline = Deadline(idle_s=patience.idle_s, total_s=patience.total_s)
        self._response = response = await self._http.response(self._ask, deadline)
        return Reply(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            arrived_at=time.time(),
            body=Body(response, deadline, patience.most_body_bytes),
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._response.close()  # and its connection with it, unless the body was read to its end


class _Trip:
    """A request on its way to the head of its reply, and what aiohttp's tracing tells of it.

    A break comes back as a value: an exception raised where another is handled carries it along
    as its context, and aiohttp's hold the request's headers, the key among them.
    """

    def __init__(self, deadline: Deadline, connect_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._connected_by = min(deadline.end, self._loop.time() + connect_s)
        self._timer = asyncio.timeout(None)
        self._is_reused = False
        self._left_at: float | None = None
        self.is_stale = False

    def reuse(self) -> None:
        """The connection is a kept one."""
        self._is_reused = True

    def leave(self) -> None:
        """Connected; from here on silence counts."""
        self._left_at = self._loop.time()
        self.go_on()

    def go_on(self) -> None:
        """A piece of the body left: a large one on a slow line is no silence."""
        self._watch.put(self._deadline.next_at())

    async def response(
        self, session: aiohttp.ClientSession, ask: Ask
    ) -> aiohttp.ClientResponse | Broken:
        self._watch = Watch(self._connected_by, self._ring)
        try:
            async with self._timer:
                return await session.request(
                    ask.method,
                    ask.url,
                    headers=ask.headers,
                    data=ask.content(),
                    allow_redirects=False,
                    # A plain function: who records requests copies what they are given, and a
                    # timer cannot be copied.
                    trace_request_ctx=lambda step: step(self),
                )
        except TimeoutError:
            has_left = self._left_at is not None
            return Broken(self._deadline.how_it_passed if has_left else Break.CONNECT_TIMEOUT)
        except aiohttp.ClientError as error:
            self.is_stale = self._is_reused and self._shows_staleness(error)
            return Broken(self._how_it_broke(error), _told(error))
        finally:
            self._watch.stop()

    def _ring(self) -> None:
        self._timer.reschedule(self._loop.time())

    def _shows_staleness(self, error: aiohttp.ClientError) -> bool:
        """Whether the connection was closed without a byte of a reply, and at once."""
        if isinstance(error, aiohttp.ServerDisconnectedError):
            is_silent = isinstance(error.message, str)  # else: the part of the head that came
        else:
            is_silent = isinstance(error, _LOST_CONNECTION)
        is_soon = self._left_at is None or self._loop.time() - self._left_at < STALE_S
        return is_silent and is_soon

    def _how_it_broke(self, error: aiohttp.ClientError) -> Break:
        match error:
            case aiohttp.ClientConnectorDNSError():
                return Break.DNS
            case aiohttp.ClientSSLError():
                return Break.TLS
        if self._left_at is None or isinstance(error, aiohttp.ClientConnectorError):
            return Break.REFUSED  # by the host, its network, or the proxy on the way
        return Break.GARBLED if isinstance(error, aiohttp.ClientResponseError) else Break.RESET


def _tracing() -> aiohttp.TraceConfig:
    """Tells a trip of its connection; every request brings its trip along."""

    async def reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx(_Trip.reuse)

    async def leave(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx(_Trip.leave)

    async def go_on(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx(_Trip.go_on)

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(reuse)
    tracing.on_request_headers_sent.append(leave)
    tracing.on_request_chunk_sent.append(go_on)
    return tracing


def _told(error: aiohttp.ClientError) -> str:
    """What the network said; nothing that may quote a header of either side."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientConnectorError():
            return f"{error.host}:{error.port}, {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientOSError() | aiohttp.ClientConnectionResetError():
            return str(error)
        case aiohttp.ClientResponseError():
            return error.message.partition(":")[0]
    return ""
