"""The cheap mode, for load tests: one ready reply to every request, and nothing is looked at."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import orjson

from pipeline.provider.simulator.bill import Bill
from pipeline.provider.simulator.painter import data_url
from pipeline.provider.simulator.prebuilt import prebuilt_png
from pipeline.provider.simulator.said import Frame, Said, document

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


async def listening_cheaply(
    simulation: Simulation, host: str, port: int, *, backlog: int
) -> asyncio.Server:
    """A server that is up until it is closed. Raises OSError, or OverflowError for such a port."""
    reply, bill = _reply_of(simulation), Bill()
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Cheap(reply, bill), host, port, backlog=backlog)


class _Cheap(asyncio.Protocol):
    """One connection. Requests with a body of known length are answered in their order."""

    def __init__(self, reply: bytes, bill: Bill) -> None:
        self._reply = reply
        self._bill = bill
        self._had = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._had += data
        while (end := self._had.find(b"\r\n\r\n") + 4) > 3:
            length = _LENGTH.search(self._had, 0, end)
            stop = end + (int(length[1]) if length else 0)
            if len(self._had) < stop:
                return
            head, self._had = self._had[:end], self._had[stop:]
            if self._transport:
                self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        if head.startswith(b"GET "):
            told = orjson.dumps(self._bill.told(in_flight_peak=0))
            return _HEAD % (len(told), told)
        self._bill.requests += 1
        self._bill.charge(1, 0.0)
        return self._reply


def _reply_of(simulation: Simulation) -> bytes:
    image = data_url(prebuilt_png(simulation.seed, simulation.prebuilt_bytes))
    frame = Frame(id="gen-cheap", model="cheap", created=0, prompt="", cost_usd=0.0)
    body = b"".join(document(Said(text=None, images=(image,)), frame))
    return _HEAD % (len(body), body)
