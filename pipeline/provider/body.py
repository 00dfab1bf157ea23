"""A reply's body: its pieces as they arrive, one after the other, or poured where they belong.

Poured, each piece is taken in the very callback that received it: no task wakes up, no timer is
set, and whatever the number of connections, one piece at a time is in memory. That is why the
megabytes of images come this way (`benchmarks/README.md` has the figures). Everything that HTTP
asks for, lengths, chunks, the end, stays aiohttp's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from pipeline.core.ports import Break, Broken
from pipeline.core.pouring import Pourable
from pipeline.provider.deadline import Deadline, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

READ_BYTES = 64 * 1024
"""What a connection reads at once where that is held; aiohttp holds at most three times that."""
POUR_BYTES = 256 * 1024
"""What it reads at once where nothing is held."""
_NEEDED = ("read_nowait", "set_read_chunk_size", "at_eof", "is_eof")


class Body(Pourable):
    """The body of one response, to be read once. Raises :class:`Broken`.

    An object and not a generator: a reader who stops early leaves nothing half run behind.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, deadline: Deadline, most_bytes: int
    ) -> None:
        """``most_bytes``: after decompression."""
        self._response = response
        self._content = response.content
        self._deadline = deadline
        self._most_bytes = most_bytes
        self._n_bytes = 0

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> bytes:
        """What has arrived, in one piece."""
        piece = await self._piece()
        if isinstance(piece, Broken):
            raise piece
        if not piece:
            raise StopAsyncIteration
        if too_large := self._count(piece):
            raise too_large
        return piece

    async def pour(self, take: Callable[[bytes], None]) -> None:
        """Give ``take`` every piece in the moment it arrives. What it raises is raised here."""
        if not self._is_pourable:
            async for piece in self:
                take(piece)
            return
        pouring = _Pouring(self, take)
        if broken := await pouring.is_over(self._response, self._deadline):
            raise broken

    def arrived(self) -> bytes | Broken:
        """What came since the last time, without waiting for more."""
        try:
            piece = self._content.read_nowait()
        except aiohttp.ClientError as error:
            return self._break(error)
        return self._count(piece) or piece

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self._content.at_eof()

    @property
    def is_beyond_parsing(self) -> bool:
        """Whether a malformed chunk came.

        aiohttp then closes the connection and tells nobody: who waits goes on waiting, and who
        reads later meets a RuntimeError, "Connection closed.".
        """
        met = getattr(protocol_of(self._response), "exception", None)
        return met is not None and isinstance(met(), HttpProcessingError)

    def told(self, how: Break) -> Broken:
        """How it broke off, and after how much."""
        return Broken(how, f"{self._n_bytes} bytes had come")

    @property
    def _is_pourable(self) -> bool:
        """Not what is there already, nor what unpacking may blow up within one callback.

        Nor where aiohttp lacks what pouring takes beyond its documented interface: another version
        may.
        """
        connection = self._response.connection
        transport = getattr(connection, "transport", None)
        is_packed = self._response.headers.get("content-encoding", "identity") != "identity"
        is_open = transport is not None and not transport.is_closing()
        has_all = isinstance(protocol_of(self._response), asyncio.Protocol) and all(
            hasattr(self._content, name) for name in _NEEDED
        )
        return has_all and is_open and not is_packed and not self._content.is_eof()

    def _count(self, piece: bytes) -> Broken | None:
        self._n_bytes += len(piece)
        if self._n_bytes > self._most_bytes:
            return Broken(Break.TOO_LARGE, f"{self._most_bytes} bytes")
        return None

    async def _piece(self) -> bytes | Broken:
        """What has arrived, waited for; empty at the end."""
        try:
            if self._content.is_eof():
                return self._content.read_nowait()
            async with asyncio.timeout_at(self._deadline.next_at()):
                return await self._content.readany()
        except TimeoutError:
            how = Break.GARBLED if self.is_beyond_parsing else self._deadline.how_it_passed
            return self.told(how)
        except aiohttp.ClientError as error:
            return self._break(error)
        except RuntimeError:
            if not self.is_beyond_parsing:
                raise
            return self.told(Break.GARBLED)

    def _break(self, error: aiohttp.ClientError) -> Broken:
        is_unpacking = isinstance(error.__cause__, ContentEncodingError)
        return self.told(Break.GARBLED if is_unpacking else Break.CUT)


class _Pouring(asyncio.Protocol):
    """Stands in front of aiohttp's protocol while a body arrives, and takes out what it puts in."""

    def __init__(self, body: Body, take: Callable[[bytes], None]) -> None:
        self._body = body
        self._take = take
        self._is_in_front = False
        self._end: asyncio.Future[Broken | None] = asyncio.get_running_loop().create_future()

    async def is_over(self, response: aiohttp.ClientResponse, deadline: Deadline) -> Broken | None:
        """Wait for the end; None: it came as it should."""
        connection = response.connection
        assert connection
        assert connection.transport is not None
        self._inner = protocol_of(response)
        self._transport = connection.transport
        self._deadline = deadline
        self._transport.set_protocol(self)
        self._is_in_front = True
        _read_at_once(self._transport, POUR_BYTES)
        response.content.set_read_chunk_size(POUR_BYTES)  # else aiohttp would pause at each piece
        self._watch = Watch(deadline.next_at(), self._ring)
        try:
            self._flow()
            return await self._end
        finally:
            self._finish(None)

    def data_received(self, data: bytes) -> None:
        self._watch.put(self._deadline.next_at())
        self._inner.data_received(data)
        self._flow()

    def eof_received(self) -> None:
        self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.connection_lost(error)
        self._flow()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _flow(self) -> None:
        with _Carried(self._end):
            while not self._end.done():
                piece = self._body.arrived()
                if isinstance(piece, Broken):
                    self._finish(piece)
                elif piece:
                    self._take(piece)
                else:
                    break
            if self._body.is_over:
                self._finish(None)
            elif self._body.is_beyond_parsing:
                self._finish(self._body.told(Break.GARBLED))
        if self._end.done():
            self._step_aside()

    def _ring(self) -> None:
        self._finish(self._body.told(self._deadline.how_it_passed))

    def _finish(self, how: Broken | None) -> None:
        """The end, told once; harmless the second time."""
        if not self._end.done():
            self._end.set_result(how)
        self._step_aside()

    def _step_aside(self) -> None:
        """At once, since aiohttp lets the connection serve the next as soon as the end is read.

        A closing transport is left alone: it serves nobody, and an encrypted one may know nothing
        of its protocol any more. What it still says is passed on.
        """
        self._watch.stop()
        if self._is_in_front and not self._transport.is_closing():
            self._transport.set_protocol(self._inner)
            _read_at_once(self._transport, READ_BYTES)
        self._is_in_front = False


class _Carried:
    """What is raised in here is raised where ``future`` is awaited: a callback has no caller.

    Where nobody waits any longer, being cancelled, nobody is told.
    """

    def __init__(self, future: asyncio.Future[Broken | None]) -> None:
        self._future = future

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if not self._future.done():
            self._future.set_exception(error)
        return True


def protocol_of(response: aiohttp.ClientResponse) -> Any:
    """What takes in the bytes of its connection; None where that is gone, or kept elsewhere."""
    return getattr(response.connection, "protocol", None)  # falsy while nothing waits in it


def hold_little(response: aiohttp.ClientResponse) -> None:
    """Have the connection read no more at once than we want to hold.

    asyncio's own measure is 256 KiB, which 256 connections would hold three times over.
    """
    transport = getattr(response.connection, "transport", None)
    if transport is not None:
        _read_at_once(transport, READ_BYTES)


def _read_at_once(transport: asyncio.BaseTransport, n_bytes: int) -> None:
    # The attribute is the selector transport's; where another one lacks it nothing is lost.
    if hasattr(transport, "max_size"):
        transport.max_size = n_bytes
