"""How bytes go out: whole, in halves, late or never."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.provider.simulator.faults import Delivery
from pipeline.provider.simulator.said import KEEP_ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.provider.simulator.faults import Head

_SLICE = 2**18
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


def response_of(head: Head, *, retry_after_s: float, generation: str | None = None) -> web.Response:
    """A reply that is all head and one short body; the hint is rounded up to whole seconds."""
    headers = dict(head.headers or {})
    if head.has_retry_after:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    if head.has_reset:
        headers["X-RateLimit-Reset"] = str(math.ceil((time.time() + retry_after_s) * 1000))
    if generation is not None:
        headers["X-Generation-Id"] = generation
    return web.Response(
        status=head.status, body=head.body, content_type=head.media_type, headers=headers
    )


async def deliver(
    request: web.Request, response: web.StreamResponse, pieces: Sequence[bytes], how: Delivery
) -> None:
    """Write ``pieces`` to a prepared response, as far as ``how`` lets it come."""
    if how is Delivery.WHOLE:
        for slice_ in _slices(pieces):
            await response.write(slice_)
        await response.write_eof()
        return
    await response.write(_first_half(pieces))
    if how is Delivery.STALL:
        await never()
    if request.transport is not None:
        request.transport.close()


async def keep_alive(response: web.StreamResponse, *, until: float, every_s: float) -> None:
    """Write a comment now and every ``every_s`` seconds, up to the loop's time ``until``."""
    loop = asyncio.get_running_loop()
    await response.write(KEEP_ALIVE)
    while (left_s := until - loop.time()) > 0:
        await asyncio.sleep(min(left_s, every_s))
        if left_s > every_s:
            await response.write(KEEP_ALIVE)


async def pause(*, until: float) -> None:
    """Wait up to the loop's time ``until``; not at all when it is past."""
    left_s = until - asyncio.get_running_loop().time()
    if left_s > 0:
        await asyncio.sleep(left_s)


async def never() -> None:
    """Wait until the client goes away or the server ends: both cancel."""
    await asyncio.Event().wait()


def reset(request: web.Request) -> web.Response:
    """Drop the connection with a TCP reset instead of an answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
        transport.abort()
    return web.Response()  # goes nowhere: the connection is gone


def _slices(pieces: Sequence[bytes]) -> Iterator[memoryview]:
    """Small enough that a slow client does not make the server hold a whole image for it."""
    for piece in pieces:
        whole = memoryview(piece)
        for start in range(0, len(piece), _SLICE):
            yield whole[start : start + _SLICE]


def _first_half(pieces: Sequence[bytes]) -> bytes:
    whole = b"".join(pieces)
    return whole[: len(whole) // 2]
