"""The doctor's instruments: a connection taken apart, and a transport that watches."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pipeline.core.model import Past
from pipeline.errors import Unreachable
from pipeline.provider.checkup import NETWORK, Check, Taken, bad, of_tls, ok
from pipeline.provider.http import Http
from pipeline.provider.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pipeline.core.model import Reply, Request
    from pipeline.provider.http import Address, Patience

_LONGEST_S = 10.0
_PORTS = {"https": 443, "http": 80}


async def connection(base_url: str) -> tuple[Check, ...]:
    """Name, connection and encryption, one after the other, up to what fails."""
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    try:
        async with asyncio.timeout(_LONGEST_S):
            addresses = await _addresses(host, port)
    except (OSError, TimeoutError) as error:
        return (_unreachable("DNS", f"{host} is not found: {_said(error)}"),)
    named = () if addresses == [host] else (ok("DNS", f"{host} is {', '.join(addresses)}"),)
    began = time.monotonic()
    context = ssl.create_default_context() if url.scheme == "https" else None
    try:
        async with asyncio.timeout(_LONGEST_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return *named, _unreachable("TLS", f"no agreement with {host}: {_said(error)}")
    except (OSError, TimeoutError) as error:
        return *named, _unreachable("connection", f"{host}:{port}: {_said(error)}")
    milliseconds = (time.monotonic() - began) * 1000
    secured: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    met = ok("connection", f"{host}:{port} in {milliseconds:.0f} ms")
    return (*named, met, of_tls(_taken(secured))) if secured else (*named, met)


def without_user(address: str) -> str:
    """A proxy's address without who uses it, and with what password."""
    url = urlsplit(address)
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()


class Watched(Http):
    """Carries requests and remembers what came back, all but the pixels."""

    def __init__(self, address: Address, patience: Patience) -> None:
        """See :class:`Http`."""
        super().__init__(address, patience)
        self.headers: Mapping[str, str] = {}
        self.places: tuple[str, ...] = ()
        self.n_documents = 0

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Reply]:
        """Carry the request, and watch its reply."""
        async with super().send(request) as reply:
            self.headers = reply.headers
            is_streamed = "event-stream" in reply.headers.get("content-type", "")
            shapes = Shapes(is_streamed=is_streamed)
            yield replace(reply, body=_Tee(reply.body, shapes))
        self.places, self.n_documents = shapes.close(), shapes.n_documents


class _Tee:
    """A body whose pieces are shown to somebody else on the way."""

    def __init__(self, body: AsyncIterator[bytes], shapes: Shapes) -> None:
        self._body = body
        self._shapes = shapes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._body)
        self._shapes.feed(piece)
        return piece


class Nowhere:
    """A trail, and a part, that keep nothing."""

    def part(self) -> Nowhere:
        """A part that forgets."""
        return self

    def write(self, piece: bytes) -> None:
        """Forget it."""

    def discard(self) -> None:
        """There is nothing."""

    def heard(self, request_id: str) -> None:
        """Forget it."""

    @property
    def past(self) -> Past:
        """None: nobody asked before."""
        return Past()

    def answered(self) -> None:
        """Nobody asks again."""

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        """Forget it."""


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _unreachable(name: str, found: str) -> Check:
    return bad(name, found, NETWORK, exit_code=Unreachable.exit_code)


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_LONGEST_S:.0f} s"
    verified = getattr(error, "verify_message", None)
    return str(verified or getattr(error, "strerror", None) or error)


def _taken(secured: ssl.SSLObject) -> Taken:
    certificate = secured.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return Taken(version=secured.version() or "TLS", days_left=None)
    days_left = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400
    return Taken(version=secured.version() or "TLS", days_left=days_left)
