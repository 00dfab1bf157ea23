"""The cheap mode: the same reply to everything, as quickly as it goes."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from test_simulator_replies import body_of, png_in, urls_in

from pipeline.core.simulation import Simulation, flaws_of
from pipeline.errors import BadUsage
from pipeline.provider.image import media_type_of
from pipeline.provider.simulator.server import serve

CHEAP = Simulation(cheap=True, prebuilt_bytes=300)


async def test_every_request_gets_the_same_image_at_once() -> None:
    until, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(serve(CHEAP, started=port.set_result, until=until))
    base = f"http://127.0.0.1:{await port}"
    async with aiohttp.ClientSession() as session:
        images = set()
        for prompt in ("a", "b" * 200_000):
            async with session.post(f"{base}/v1/chat/completions", json=body_of(prompt)) as reply:
                images.add(png_in(urls_in(await reply.json())[0]))
        async with session.get(f"{base}/bill") as reply:
            bill = await reply.json()
    until.set()
    await serving
    (image,) = images
    assert (len(image), media_type_of(image)) == (300, "image/png")
    assert (bill["requests"], bill["billed"]) == (2, 2)


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    until, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(serve(CHEAP, started=port.set_result, until=until))
    reader, writer = await asyncio.open_connection("127.0.0.1", await port)
    post = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"
    for piece in (post * 2 + post[:-1], b"c", b"GET /bill HTTP/1.1\r\n\r\n"):
        writer.write(piece)
        await writer.drain()
    content = b""
    while b'"requests":3' not in content:
        content += await reader.read(1 << 16)
    writer.close()
    until.set()
    await serving
    assert content.count(b"HTTP/1.1 200 OK") == 4


async def test_a_port_that_is_taken_is_told() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(BadUsage, match=f"port {port} is taken"):
        await serve(CHEAP, port=port, started=lambda _: None, until=asyncio.Event())
    server.close()


def test_what_needs_a_look_is_no_cheap_mode() -> None:
    assert flaws_of(CHEAP) == ()
    (flaw,) = flaws_of(Simulation(cheap=True, faults={"cut": 0.1}))
    assert flaw.startswith("cheap: looks at nothing, so leave out faults")
