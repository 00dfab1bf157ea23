"""A body that is poured: each piece is taken in the moment it arrives, over real sockets.

Every test does it twice, on a plain line and on an encrypted one: asyncio's two transports differ.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.connector import Connection
from identity import OF_THIS_MACHINE, server_side
from scripted import Script, scripted

from pipeline.core.model import Request
from pipeline.core.ports import Break, Broken
from pipeline.core.pouring import pour
from pipeline.errors import DiskTrouble
from pipeline.provider.body import POUR_BYTES, READ_BYTES, Body, protocol_of
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from scripted import Scripted

    from pipeline.core.model import Reply

ASK = Request(path="/chat/completions", body=b"{}", is_streamed=False)
LONG = bytes(range(256)) * 12_000


_LINES: list[ssl.SSLContext | None] = []


@pytest.fixture(autouse=True, params=["plain", "encrypted"])
def line(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    is_plain = request.param == "plain"
    _LINES.append(None if is_plain else server_side(tmp_path, OF_THIS_MACHINE))
    if not is_plain:
        believing = ssl.create_default_context(cafile=tmp_path / "identity.pem")
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", believing)
    yield
    _LINES.pop()


@asynccontextmanager
async def asking(*scripts: Script, **changes: Any) -> AsyncIterator[tuple[Scripted, Http]]:
    usual = {"connect_s": 10, "idle_s": 20, "total_s": 30, "most_body_bytes": 1 << 24}
    patience = Patience(**{**usual, **changes})
    async with (
        asyncio.timeout(25),
        scripted(*scripts, tls=_LINES[-1]) as server,
        Http(Address(base_url=server.base_url), patience) as http,
    ):
        yield server, http


@asynccontextmanager
async def half_read(script: Script, **changes: Any) -> AsyncIterator[Reply]:
    """The first half of a chunked reply was read, then the server goes on with ``script``."""
    was_read = asyncio.Event()
    whole = Script().stream().chunk(b"half").wait(was_read).do(script.play)
    async with asking(whole, **changes) as (_, http), http.send(ASK) as reply:
        assert await anext(reply.body) == b"half"
        was_read.set()
        yield reply


@pytest.mark.parametrize(
    "script",
    [
        Script.whole(LONG),
        Script.chunked(*(LONG[at : at + 9_999] for at in range(0, len(LONG), 9_999))),
    ],
    ids=["with its length", "in chunks"],
)
async def test_poured_bodies_are_whole_and_their_connection_serves_the_next(script: Script) -> None:
    async with asking(script) as (server, http):
        for _ in range(3):
            pieces: list[bytes] = []
            async with http.send(ASK) as reply:
                await pour(reply.body, pieces.append)
            assert b"".join(pieces) == LONG
            assert max(map(len, pieces)) <= 2 * POUR_BYTES
        assert (len(server.requests), server.n_accepted) == (3, 1)


async def test_what_taking_raises_is_raised_to_who_pours_and_nothing_more_is_taken() -> None:
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        taken.append(piece)
        raise DiskTrouble("the disk is full")

    async with half_read(Script().chunk(b"more").chunk(b"and more").last_chunk()) as reply:
        with pytest.raises(DiskTrouble):
            await pour(reply.body, take)
    assert len(taken) == 1


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_cancelled_while_a_piece_raises_it_is_cancelled_and_nothing_is_said(
    *, is_at_once: bool
) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: said.append(told))
    has_come = asyncio.Event()

    async def ask(http: Http) -> None:
        task = asyncio.current_task()
        assert task

        def take(_: bytes) -> None:
            has_come.set()
            if is_at_once:
                task.cancel()
            else:  # before who pours has heard of the trouble
                asyncio.get_running_loop().call_soon(task.cancel)
            raise DiskTrouble("the disk is full")

        async with http.send(ASK) as reply:
            await anext(reply.body)
            await pour(reply.body, take)

    script = Script().stream().chunk(b"half").pause(0.05).chunk(b"more").hang()
    async with asking(script) as (server, http):
        pouring = asyncio.create_task(ask(http))
        await asyncio.wait([pouring])
        assert pouring.cancelled()
        await server.until_all_closed()
    assert has_come.is_set()
    del pouring
    gc.collect()
    assert said == []


WIRE = b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
STATED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"


async def test_wherever_a_reply_is_split_it_is_whole_and_its_connection_serves_the_next() -> None:
    scripts = [
        *(Script().stream().send(WIRE[:cut]).pause(0.004).send(WIRE[cut:]) for cut in range(31)),
        *(Script().send(STATED[:cut]).pause(0.004).send(STATED[cut:]) for cut in range(1, 50)),
    ]
    assert (len(WIRE), len(STATED)) == (31, 50)
    async with asking(*scripts) as (server, http):
        for _ in scripts:
            pieces: list[bytes] = []
            async with http.send(ASK) as reply:
                await pour(reply.body, pieces.append)
            assert b"".join(pieces) == b"hello world"
        assert (len(server.requests), server.n_accepted) == (len(scripts), 1)


async def test_so_many_small_chunks_that_reading_is_held_are_all_poured() -> None:
    pieces: list[bytes] = []
    small = b"2\r\nab\r\n" * 40_000
    async with half_read(Script().send(small).last_chunk()) as reply:
        await pour(reply.body, pieces.append)
    assert b"".join(pieces) == b"ab" * 40_000


async def test_what_was_held_while_nobody_read_is_poured_first() -> None:
    pieces: list[bytes] = []
    async with half_read(Script().chunk(LONG * 4).chunk(b"end").last_chunk()) as reply:
        held = transport_of(reply)
        for _ in range(1_000):
            if not held.is_reading():
                break
            await asyncio.sleep(0.001)
        assert not held.is_reading()
        await pour(reply.body, pieces.append)
    assert b"".join(pieces) == LONG * 4 + b"end"


def transport_of(reply: Reply) -> Any:
    assert isinstance(reply.body, Body)
    connection = reply.body._response.connection
    assert connection
    return connection.transport


async def test_a_connection_reads_little_again_once_a_body_was_poured() -> None:
    async with asking(Script.chunked(LONG, LONG)) as (_, http), http.send(ASK) as reply:
        transport = transport_of(reply)
        own = transport.get_protocol()
        largest: list[int] = []
        await pour(reply.body, lambda _: largest.append(getattr(transport, "max_size", 0)))
        assert transport.get_protocol() is own
        if largest[-1]:  # encrypted, asyncio has no such measure
            assert (largest[-1], transport.max_size) == (POUR_BYTES, READ_BYTES)


async def test_a_malformed_chunk_ends_it_at_once() -> None:
    async with half_read(Script().send(b"ZZ\r\n").hang()) as reply:
        with pytest.raises(Broken) as caught:
            await pour(reply.body, lambda _: None)
    assert caught.value.how is Break.GARBLED


async def test_every_piece_starts_the_silence_anew() -> None:
    pieces: list[bytes] = []
    dripping = Script().drip(b"x", times=6, every_s=0.1).hang()
    async with half_read(dripping, idle_s=0.4) as reply:
        with pytest.raises(Broken) as caught:
            await pour(reply.body, pieces.append)
    assert b"".join(pieces) == b"x" * 6
    assert caught.value.how is Break.IDLE


async def test_who_is_cancelled_while_pouring_leaves_no_connection() -> None:
    has_come = asyncio.Event()

    async def ask(http: Http) -> None:
        async with http.send(ASK) as reply:
            await pour(reply.body, lambda _: has_come.set())

    async with asking(Script().stream().chunk(b"half").hang()) as (server, http):
        async with asyncio.TaskGroup() as group:
            pouring = group.create_task(ask(http))
            await has_come.wait()
            pouring.cancel()
        await server.until_all_closed()


@pytest.mark.parametrize(
    "more",
    [
        Script().send(b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").close(),
        Script().send(b"0\r\n\r\n").close(),
    ],
    ids=["what nobody asked for", "the end of the line"],
)
async def test_what_follows_the_end_takes_nothing_from_the_body(more: Script) -> None:
    pieces: list[bytes] = []
    async with half_read(Script().chunk(LONG).do(more.play)) as reply:
        await pour(reply.body, pieces.append)
    assert b"".join(pieces) == LONG


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("length", [f"Content-Length: {len(LONG)}\r\n", ""])
async def test_a_body_after_which_the_connection_closes_is_whole(version: str, length: str) -> None:
    head = f"HTTP/{version} 200 OK\r\nConnection: close\r\n{length}\r\n".encode()
    script = Script().send(head).pause(0.01).send(LONG[:9_000]).pause(0.01).send(LONG[9_000:])
    async with asking(script.close()) as (server, http):
        for _ in range(2):
            pieces: list[bytes] = []
            async with http.send(ASK) as reply:
                await pour(reply.body, pieces.append)
            assert b"".join(pieces) == LONG
        assert server.n_accepted == 2


@pytest.mark.parametrize("how", [Script().close(), Script().reset()], ids=["closed", "reset"])
async def test_what_came_before_a_cut_is_taken_and_then_the_cut_is_told(how: Script) -> None:
    pieces: list[bytes] = []
    async with half_read(Script().chunk(LONG).pause(0.05).do(how.play)) as reply:
        with pytest.raises(Broken) as caught:
            await pour(reply.body, pieces.append)
    assert caught.value.how is Break.CUT
    assert LONG.startswith(b"".join(pieces))


async def test_a_connection_that_broke_before_anybody_poured_is_told() -> None:
    async with half_read(Script().send(b"ZZ\r\n").hang()) as reply:
        await asyncio.sleep(0.1)
        with pytest.raises(Broken) as caught:
            await pour(reply.body, lambda _: pytest.fail("nothing came"))
    assert caught.value.how is Break.GARBLED


async def test_what_the_last_piece_raises_leaves_the_connection_to_the_next() -> None:
    def refuse(_: bytes) -> None:
        raise DiskTrouble("the disk is full")

    async def fail() -> None:
        async with http.send(ASK) as reply:
            await pour(reply.body, refuse)

    async with asking(Script().stream().pause(0.01).chunk(b"all").last_chunk()) as (_, http):
        for _ in range(3):
            with pytest.raises(DiskTrouble):
                await fail()
        pieces: list[bytes] = []
        async with http.send(ASK) as reply:
            await pour(reply.body, pieces.append)
        assert pieces == [b"all"]


async def test_a_server_that_goes_on_talking_behind_its_reply_disturbs_no_end() -> None:
    surplus = Script.whole(LONG).send(b"more\r\n\r\n")
    for _ in range(4):
        surplus = surplus.pause(0.03).send(b"and more\r\n\r\n")
    async with asking(surplus.hang()) as (_, http):
        pieces: list[bytes] = []
        async with http.send(ASK) as reply:
            await pour(reply.body, pieces.append)
        await asyncio.sleep(0.2)
    assert b"".join(pieces) == LONG


async def test_a_connection_that_is_closed_twice_already_disturbs_no_end() -> None:
    async with asking(Script.whole(LONG)) as (_, http):
        async with http.send(ASK) as reply:
            await anext(reply.body)
            assert isinstance(reply.body, Body)
            transport = protocol_of(reply.body._response).transport
            await pour(reply.body, lambda _: None)
        transport.close()
        transport.close()


@pytest.mark.parametrize("lacks", ["set_read_chunk_size", "protocol", "transport"])
async def test_what_another_aiohttp_lacks_is_done_without(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = aiohttp.StreamReader if lacks == "set_read_chunk_size" else Connection
    script = Script().stream().chunk(LONG).pause(0.02).chunk(b"the end").last_chunk()
    async with asking(script) as (_, http), http.send(ASK) as reply:
        monkeypatch.delattr(owner, lacks)
        pieces: list[bytes] = []
        await pour(reply.body, pieces.append)
        monkeypatch.undo()
    assert b"".join(pieces) == LONG + b"the end"
