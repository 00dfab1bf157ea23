"""The transport over real sockets: what goes out, what comes back, and how it can break off."""

from __future__ import annotations

import asyncio
import errno
import socket
import traceback
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aioresponses import aioresponses
from scripted import Script, scripted

from pipeline.core.model import Reply, Request, Secret
from pipeline.core.ports import Break, Broken
from pipeline.core.pouring import pour
from pipeline.provider.body import READ_BYTES
from pipeline.provider.http import STALE_S, Address, Http, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from scripted import Peer, Scripted

KEY = Secret("sk-very-secret-123")
ASK = Request(path="/chat/completions", body=b'{"model": "any"}', is_streamed=False)


def patience(**changes: Any) -> Patience:
    usual = {"connect_s": 10, "idle_s": 20, "total_s": 30, "most_body_bytes": 1 << 20}
    return Patience(**{**usual, **changes})


@asynccontextmanager
async def asking(
    base_url: str, *, address: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Http]:
    """A transport for ``base_url``; ``changes`` are to its patience."""
    whereto = Address(**{"base_url": base_url, "key": KEY, **(address or {})})
    async with asyncio.timeout(25), Http(whereto, patience(**changes)) as http:
        yield http


@pytest.fixture(autouse=True, params=["one by one", "poured"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test reads its bodies in both ways."""
    _WAY.append(request.param)
    yield
    _WAY.pop()


_WAY: list[str] = []


async def read_into(take: Callable[[bytes], None], http: Http, ask: Request = ASK) -> Reply:
    async with http.send(ask) as reply:
        if _WAY[-1] == "poured":
            await pour(reply.body, take)
        else:
            async for piece in reply.body:
                take(piece)
    return reply


async def read(http: Http, ask: Request = ASK) -> tuple[Reply, bytes]:
    pieces: list[bytes] = []
    reply = await read_into(pieces.append, http, ask)
    return reply, b"".join(pieces)


async def broken(http: Http) -> Broken:
    return (await read_until_it_broke(http))[1]


async def read_until_it_broke(http: Http) -> tuple[list[bytes], Broken]:
    """The pieces that came, and the break after them."""
    pieces: list[bytes] = []
    with pytest.raises(Broken) as caught:
        await read_into(pieces.append, http)
    return pieces, caught.value


async def break_of(script: Script, **changes: Any) -> Break:
    """How the exchange breaks off where a server plays ``script``."""
    async with scripted(script) as server, asking(server.base_url, **changes) as http:
        return (await broken(http)).how


# What goes out.


async def test_a_request_goes_out_as_it_was_made() -> None:
    async with scripted(Script.whole(b"{}")) as server:
        headers = {"HTTP-Referer": "https://pictures.example"}
        async with asking(server.base_url, address={"headers": headers}) as http:
            await read(http)
        (asked,) = server.requests
        assert (asked.method, asked.path, asked.body) == ("POST", "/v1" + ASK.path, ASK.body)
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["accept-encoding"] == "identity"
        assert asked.headers["authorization"] == f"Bearer {KEY.reveal()}"
        assert asked.headers["http-referer"] == "https://pictures.example"
        assert asked.headers["user-agent"] == "imagebatch"


async def test_without_a_key_nothing_is_said_of_one() -> None:
    async with scripted(Script.whole(b"{}")) as server:
        async with asking(server.base_url, address={"key": None}) as http:
            await read(http)
        assert "authorization" not in server.requests[0].headers


async def test_a_get_has_neither_body_nor_content_type() -> None:
    async with scripted(Script.whole(b'{"data": []}')) as server:
        async with asking(server.base_url) as http, http.get("/models") as reply:
            assert b"".join([piece async for piece in reply.body]) == b'{"data": []}'
        (asked,) = server.requests
        assert (asked.method, asked.path, asked.body) == ("GET", "/v1/models", b"")
        assert "content-type" not in asked.headers


async def test_a_cookie_is_never_given_back() -> None:
    async with scripted(Script.whole(b"{}", set_cookie="a=b; Path=/")) as server:
        async with asking(server.base_url) as http:
            await read(http)
            await read(http)
        assert len(server.requests) == 2
        assert all("cookie" not in asked.headers for asked in server.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_reply_and_is_not_followed(status: int) -> None:
    async with scripted(Script.whole(b"{}")) as elsewhere:
        there = Script.whole(b"", status, location=elsewhere.base_url)
        async with scripted(there) as server, asking(server.base_url) as http:
            reply, _ = await read(http)
            assert (reply.status, reply.headers["location"]) == (status, elsewhere.base_url)
        assert elsewhere.n_accepted == 0


async def test_the_environment_names_no_proxy_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(Script.whole(b"proxy")) as proxy, scripted(Script.whole(b"{}")) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("http_proxy", proxy.origin)
        async with asking(server.base_url) as http:
            assert (await read(http))[1] == b"{}"
        assert proxy.n_accepted == 0


@pytest.mark.parametrize(
    ("user", "said"), [("", None), ("us%40er:pa%3Ass@", "Basic dXNAZXI6cGE6c3M=")]
)
async def test_the_proxy_of_the_address_carries_the_request(user: str, said: str | None) -> None:
    async with scripted(Script.whole(b"{}")) as proxy:
        through = {"proxy": f"http://{user}127.0.0.1:{proxy.port}"}
        async with asking("http://pictures.invalid/v1", address=through) as http:
            assert (await read(http))[1] == b"{}"
        (asked,) = proxy.requests
        assert asked.path == "http://pictures.invalid/v1/chat/completions"
        assert asked.headers.get("proxy-authorization") == said


async def test_a_proxy_that_opens_no_tunnel_is_no_way_there_and_never_sees_the_key() -> None:
    async with scripted(Script.whole(b"who are you?", 407)) as proxy:
        through = {"proxy": proxy.origin}
        async with asking("https://pictures.invalid/v1", address=through) as http:
            met = await broken(http)
        assert met.how is Break.REFUSED
        assert "the proxy answered 407" in str(met)
        (asked,) = proxy.requests
        assert (asked.method, asked.path) == ("CONNECT", "pictures.invalid:443")
        assert KEY.reveal().encode() not in asked.raw


def test_an_address_shows_neither_its_key_nor_the_password_of_its_proxy() -> None:
    address = Address(base_url="https://a.example", key=KEY, proxy="http://me:hush@b.example")
    assert KEY.reveal() not in repr(address)
    assert "hush" not in repr(address)


# What comes back.


@pytest.mark.parametrize(
    "script",
    [
        Script.whole(b"one two three"),
        Script.chunked(b"one ", b"two ", b"three"),
        Script.until_close(b"one two three"),
        Script()
        .send(b"HTTP/1.1 100 Continue\r\n\r\n")
        .head(content_length=13)
        .send(b"one two three"),
    ],
    ids=["content-length", "chunked", "until close", "after an interim reply"],
)
async def test_a_body_arrives_whole_however_it_is_framed(script: Script) -> None:
    async with scripted(script) as server, asking(server.base_url) as http:
        reply, body = await read(http)
        assert (reply.status, body) == (200, b"one two three")


async def test_the_head_is_there_before_the_body_and_every_piece_before_the_next() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    script = Script().stream(X_Request_Id="r-7").wait(first).chunk(b"one")
    script.wait(second).chunk(b"two").last_chunk()
    async with (
        scripted(script) as server,
        asking(server.base_url) as http,
        http.send(ASK) as reply,
    ):
        assert reply.headers["x-request-id"] == "r-7"
        first.set()
        assert await anext(reply.body) == b"one"
        second.set()
        assert await anext(reply.body) == b"two"
        with pytest.raises(StopAsyncIteration):
            await anext(reply.body)


async def test_a_failure_is_a_reply_like_any_other() -> None:
    script = Script.whole(b'{"error": {}}', 429, Retry_After=2)
    async with scripted(script) as server, asking(server.base_url) as http:
        reply, body = await read(http)
        assert (reply.status, reply.headers["retry-after"]) == (429, "2")
        assert body == b'{"error": {}}'


async def test_a_body_that_is_compressed_all_the_same_arrives_as_it_was() -> None:
    packed = zlib.compress(b"picture " * 1000)
    script = Script.whole(packed, content_encoding="deflate")
    async with scripted(script) as server, asking(server.base_url) as http:
        assert (await read(http))[1] == b"picture " * 1000


async def test_a_body_that_unpacks_to_much_is_whole_though_the_server_has_gone() -> None:
    plain = bytes(24 << 20)
    packed = zlib.compress(plain)
    framed = (
        Script().stream(content_encoding="deflate").chunk(packed).last_chunk().close(),
        Script.until_close(packed, content_encoding="deflate"),
        Script.whole(packed, content_encoding="deflate").close(),
    )
    async with (
        scripted(*framed) as server,
        asking(server.base_url, most_body_bytes=1 << 30) as http,
    ):
        for _ in framed:
            assert (await read(http))[1] == plain


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with scripted(Script.chunked(b"{}")) as server, asking(server.base_url) as http:
        for _ in range(20):
            await read(http)
        assert (server.n_accepted, len(server.requests)) == (1, 20)


async def test_more_than_a_hundred_exchanges_go_on_at_once() -> None:
    all_there, n = asyncio.Event(), 0

    async def arrive(_: Peer) -> None:
        nonlocal n
        n += 1
        if n == 150:
            all_there.set()

    script = Script().do(arrive).wait(all_there).head(content_length=2).send(b"{}")
    async with scripted(script) as server, asking(server.base_url) as http:
        async with asyncio.TaskGroup() as group:
            for _ in range(150):
                group.create_task(read(http))
        assert len(server.requests) == 150


async def test_an_answer_given_before_the_request_was_read_is_heard() -> None:
    is_over = asyncio.Event()
    script = Script(reads_body=False).head(413, content_length=2).send(b"{}").wait(is_over).close()
    long = Request(path="/chat/completions", body=b"x" * 30_000_000, is_streamed=False)
    async with scripted(script) as server, asking(server.base_url) as http:
        reply, body = await read(http, long)
        assert (reply.status, body) == (413, b"{}")
        is_over.set()


# How it can break off before the request has left.


async def test_a_closed_port_refuses() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with asking(f"http://127.0.0.1:{unused.getsockname()[1]}") as http:
            met = await broken(http)
    assert met.how is Break.REFUSED
    assert "127.0.0.1" in str(met)


async def test_a_plain_text_port_does_not_speak_tls() -> None:
    async with (
        scripted(Script(), greeting=b"HTTP/1.1 400 Plain\r\n\r\n") as server,
        asking(f"https://127.0.0.1:{server.port}") as http,
    ):
        assert (await broken(http)).how is Break.TLS


async def test_a_host_that_takes_nobody_in_is_not_waited_for() -> None:
    with socket.socket() as host, socket.socket() as first, socket.socket() as second:
        host.bind(("127.0.0.1", 0))
        host.listen(0)
        for guest in (first, second):  # they fill its queue: the next one hears nothing
            guest.setblocking(False)
            assert guest.connect_ex(host.getsockname()) in {0, errno.EINPROGRESS}
        async with asking(f"http://127.0.0.1:{host.getsockname()[1]}", connect_s=0.2) as http:
            assert (await broken(http)).how is Break.CONNECT_TIMEOUT
        async with asking(f"http://127.0.0.1:{host.getsockname()[1]}", total_s=0.2) as http:
            assert (await broken(http)).how is Break.CONNECT_TIMEOUT


def connection_key() -> Any:
    return aiohttp.client_reqrep.ConnectionKey("a.invalid", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (aiohttp.ClientConnectorDNSError(connection_key(), OSError(-2, "unknown")), Break.DNS),
        (
            aiohttp.ClientConnectorCertificateError(connection_key(), OSError(1, "expired")),
            Break.TLS,
        ),
        (aiohttp.ClientProxyConnectionError(connection_key(), OSError(111, "no")), Break.REFUSED),
        (aiohttp.ConnectionTimeoutError("Connection timeout to host"), Break.CONNECT_TIMEOUT),
        (aiohttp.InvalidURL("nonsense"), Break.REFUSED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
async def test_what_fails_before_sending_cannot_have_been_billed(error: Any, how: Break) -> None:
    with aioresponses() as wire:
        wire.post("https://a.invalid/v1/chat/completions", exception=error)
        async with asking("https://a.invalid/v1") as http:
            met = await broken(http)
    assert met.how is how
    assert met.how.is_before_sending


# How it can break off after that.


async def test_silence_before_the_head_and_within_the_body_is_idle() -> None:
    assert await break_of(Script().hang(), idle_s=0.2) is Break.IDLE
    assert await break_of(Script().stream().chunk(b"x").hang(), idle_s=0.2) is Break.IDLE


async def test_a_sign_of_life_starts_the_wait_for_the_next_one_anew() -> None:
    script = Script().stream().drip(b"\n", times=6, every_s=0.2).last_chunk()
    async with scripted(script) as server, asking(server.base_url, idle_s=1.0) as http:
        assert (await read(http))[1] == b"\n" * 6


async def test_signs_of_life_for_ever_end_with_the_total_time() -> None:
    script = Script().stream().drip(b": ping\n\n", times=2000, every_s=0.01)
    assert await break_of(script, total_s=0.3) is Break.TOTAL


async def test_the_total_time_ends_a_wait_for_the_head_too() -> None:
    assert await break_of(Script().hang(), total_s=0.2) is Break.TOTAL


async def test_a_reset_or_a_close_before_the_head_is_a_reset() -> None:
    assert await break_of(Script().reset()) is Break.RESET
    assert await break_of(Script().close()) is Break.RESET
    assert await break_of(Script().send(b"HTTP/1.1 200 OK\r\nContent-Le").close()) is Break.RESET


@pytest.mark.parametrize(
    "half",
    [
        Script().stream().chunk(b"half").close(),
        Script().stream().chunk(b"half").half_close(),
        Script().head(content_length=99).send(b"half").close(),
        Script().head(content_length=99).send(b"half").half_close(),
    ],
)
async def test_what_came_before_a_cut_is_handed_over_and_then_told(half: Script) -> None:
    async with scripted(half) as server, asking(server.base_url) as http:
        came, met = await read_until_it_broke(http)
    assert came == [b"half"]
    assert met.how is Break.CUT
    assert "4 bytes had come" in str(met)


@asynccontextmanager
async def half_read(script: Script, **changes: Any) -> AsyncIterator[tuple[Scripted, Reply]]:
    """The first half of a reply was read, then the server goes on with ``script``."""
    was_read = asyncio.Event()
    whole = Script().stream().chunk(b"half").wait(was_read).do(script.play)
    async with (
        scripted(whole) as server,
        asking(server.base_url, **changes) as http,
        http.send(ASK) as reply,
    ):
        assert await anext(reply.body) == b"half"
        was_read.set()
        yield server, reply


async def test_a_reset_within_the_body_is_a_cut() -> None:
    async with half_read(Script().reset()) as (_, reply):
        with pytest.raises(Broken) as caught:
            await anext(reply.body)
    assert caught.value.how is Break.CUT


@pytest.mark.parametrize(
    "script",
    [
        Script().send(b"HELLO\r\n\r\n").hang(),
        Script().head(x_long="a" * 9000).hang(),
        Script().head(content_encoding="br", content_length=3).send(b"abc").hang(),
        Script().head(content_encoding="gzip", content_length=3).send(b"abc").hang(),
        Script().send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n").hang(),
        Script().stream().send(b"ZZ\r\n").hang(),
    ],
    ids=["status line", "long header", "brotli", "not gzip", "two lengths", "chunk"],
)
async def test_what_is_not_http_is_garbled(script: Script) -> None:
    assert await break_of(script) is Break.GARBLED


async def test_a_malformed_chunk_that_comes_later_is_garbled_and_not_silence() -> None:
    async with half_read(Script().send(b"ZZ\r\n").hang(), idle_s=0.3) as (_, reply):
        with pytest.raises(Broken) as caught:
            await anext(reply.body)
    assert caught.value.how is Break.GARBLED


async def test_a_malformed_chunk_that_came_while_nobody_read_is_garbled() -> None:
    async with half_read(Script().send(b"ZZ\r\n").hang()) as (server, reply):
        await server.until_all_closed()
        with pytest.raises(Broken) as caught:
            await anext(reply.body)
    assert caught.value.how is Break.GARBLED


# How much is read.


async def test_a_reply_over_the_cap_is_left_where_it_is() -> None:
    script = Script().stream()
    for _ in range(64):
        script.chunk(b"x" * 1_000_000)
    async with (
        scripted(script.hang()) as server,
        asking(server.base_url, most_body_bytes=3_000_000) as http,
    ):
        pieces, met = await read_until_it_broke(http)
        assert met.how is Break.TOO_LARGE
        assert sum(map(len, pieces)) <= 3_000_000
        await server.until_all_closed()


async def test_a_reply_of_exactly_the_cap_is_whole() -> None:
    async with scripted(Script.whole(b"x" * 1000)) as server:
        async with asking(server.base_url, most_body_bytes=1000) as http:
            assert len((await read(http))[1]) == 1000
        async with asking(server.base_url, most_body_bytes=999) as http:
            assert (await broken(http)).how is Break.TOO_LARGE


async def test_the_cap_counts_what_a_small_body_unpacks_to() -> None:
    pack = zlib.compressobj(9)
    start = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    more = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    bomb = start + more * 299
    assert len(bomb) < 400_000
    script = Script().head(content_encoding="deflate", content_length=len(bomb)).send(bomb).hang()
    async with (
        scripted(script) as server,
        asking(server.base_url, most_body_bytes=8 << 20) as http,
    ):
        pieces, met = await read_until_it_broke(http)
        assert met.how is Break.TOO_LARGE
        assert sum(map(len, pieces)) <= 8 << 20
        assert max(map(len, pieces)) <= 4 * READ_BYTES
        await server.until_all_closed()


# A connection that was kept.


@pytest.mark.parametrize("death", [Script().reset(), Script().close()], ids=["reset", "close"])
async def test_a_request_that_met_a_stale_connection_goes_out_once_more(death: Script) -> None:
    whole = Script.whole(b"{}")
    async with scripted(whole, death, whole, whole) as server, asking(server.base_url) as http:
        for _ in range(3):
            assert (await read(http))[1] == b"{}"
        assert len(server.requests) == 4
        assert server.n_accepted == 3
        assert [asked.headers.get("connection") for asked in server.requests] == [
            None,
            None,
            "close",
            None,
        ]


async def test_it_goes_out_once_more_and_not_again() -> None:
    async with scripted(Script.whole(b"{}"), Script().reset()) as server:
        async with asking(server.base_url) as http:
            await read(http)
            assert (await broken(http)).how is Break.RESET
        assert len(server.requests) == 3


async def test_a_fresh_connection_is_never_stale() -> None:
    async with scripted(Script().reset()) as server, asking(server.base_url) as http:
        await broken(http)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "death",
    [
        Script().pause(STALE_S).close(),
        Script().send(b"HTTP/1.1 200 OK\r\nContent-Le").close(),
        Script().send(b"HELLO\r\n\r\n").close(),
        Script().head(content_length=9).close(),
    ],
    ids=["late", "within the head", "garbled", "within the body"],
)
async def test_a_break_that_shows_a_living_provider_is_not_asked_again(death: Script) -> None:
    async with scripted(Script.whole(b"{}"), death) as server, asking(server.base_url) as http:
        await read(http)
        await broken(http)
        assert (server.n_accepted, len(server.requests)) == (1, 2)


# What is left behind.


async def test_a_reader_who_stops_early_leaves_no_connection() -> None:
    script = Script().stream().chunk(b"one").hang()
    async with scripted(script) as server, asking(server.base_url) as http:
        async with http.send(ASK) as reply:
            async for _ in reply.body:
                break
        await server.until_all_closed()


async def test_who_is_cancelled_before_the_head_leaves_no_connection() -> None:
    was_asked = asyncio.Event()
    script = Script().tell(was_asked).hang()
    async with scripted(script) as server, asking(server.base_url) as http:
        await cancelled_at(was_asked, read(http))
        await server.until_all_closed()


async def test_who_is_cancelled_within_the_body_leaves_no_connection() -> None:
    has_come = asyncio.Event()
    script = Script().stream().chunk(b"one").hang()
    async with scripted(script) as server, asking(server.base_url) as http:
        await cancelled_at(has_come, read_into(lambda _: has_come.set(), http))
        await server.until_all_closed()


async def cancelled_at(moment: asyncio.Event, doing: Coroutine[Any, Any, object]) -> None:
    task = asyncio.create_task(doing)
    await moment.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_of_the_caller_stays_the_callers() -> None:
    script = Script().stream().chunk(b"one").hang()
    async with scripted(script) as server, asking(server.base_url) as http:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await read(http)
        await server.until_all_closed()


async def test_a_thousand_failures_leak_no_connection() -> None:
    failures = [
        Script.whole(b'{"error": {}}', 429),
        Script.chunked(b"<html>", b"sorry", status=502),
        Script.until_close(b"gone", 503),
        Script().head(500, content_length=9).send(b"half").close(),
        Script().stream().chunk(b"half").reset(),
        Script().stream().send(b"ZZ\r\n").hang(),
        Script.whole(b"x" * 5000),
        Script().stream(500).chunk(b"more than is read").hang(),
    ]
    async with scripted(*(failures * 125)) as server:
        async with asking(server.base_url, most_body_bytes=4000) as http:
            for n in range(1000):
                await (read_a_little(http) if n % 8 == 7 else fail(http))
                assert server.n_open <= 3
        await server.until_all_closed()
        assert len(server.requests) == 1000


async def fail(http: Http) -> None:
    try:
        reply, _ = await read(http)
    except Broken:
        return
    assert reply.status >= 400


async def read_a_little(http: Http) -> None:
    async with http.send(ASK) as reply:
        assert await anext(reply.body)


@pytest.mark.parametrize(
    "script",
    [
        Script().send(f"Bearer {KEY.reveal()}\r\n\r\n".encode()).close(),
        Script().head(x_echo=KEY.reveal() * 900).close(),
        Script().send(f"HTTP/1.1 200 OK\r\nX-Echo: {KEY.reveal()}\r\nCon".encode()).close(),
        Script().head(content_encoding="br", content_length=3, x_echo=KEY.reveal()).send(b"abc"),
        Script().head(content_length=99).send(KEY.reveal().encode()).close(),
        Script().reset(),
        Script().hang(),
    ],
)
async def test_no_break_tells_the_key(script: Script) -> None:
    async with scripted(script) as server, asking(server.base_url, idle_s=0.2) as http:
        met = await broken(http)
    told = [str(met), repr(met), repr(met.args), *traceback.format_exception(met)]
    assert not any(KEY.reveal() in line for line in told)
    # An exception can carry others along, which loggers and debuggers show.
    assert met.__context__ is None
    assert met.__cause__ is None
