"""Links in replies, however an address is written, and names that change what they mean."""

from __future__ import annotations

import socket

import pytest
from scripted import Script, scripted

from pipeline.core.model import Secret
from pipeline.core.ports import Broken
from pipeline.provider.http import Address, Patience
from pipeline.provider.remote import Remote, is_public

PATIENCE = Patience(connect_s=2, idle_s=2, total_s=5, most_body_bytes=10_000)
HERE = "https://api.example.invalid/v1"


@pytest.mark.parametrize(
    "address",
    [
        "::127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b:1::808:808",
        "fec0::1",
        "2001:db8::1",
        "240.0.0.1",
    ],
)
def test_no_wrapping_makes_an_inner_address_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1%25lo]",
        "LOCALHOST",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "127.0.0.1:8443",
        "127.0.0.1?@8.8.8.8",
        "127.0.0.1#@8.8.8.8",
        "a..b",
        "a" * 70 + ".example",
        "example.com:99999",
        "\u2100.com",
        "\ud800.com",
        "v1\\.example",
        "",
    ],
)
async def test_however_a_host_is_written_nothing_inside_is_reached(host: str) -> None:
    async with Remote(Address(base_url=HERE), PATIENCE) as remote:
        with pytest.raises(Broken):
            async with remote.open(f"https://{host}/x"):
                pass


async def test_a_name_that_resolves_anew_to_the_inside_is_refused_when_it_is_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check is of what is connected to, not of what a first question was answered with."""
    answers = iter(["8.8.8.8", "127.0.0.1"])

    def resolve(*_: object, **__: object) -> list[object]:
        where = (next(answers), 443)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    next(answers)  # somebody looked it up before
    async with Remote(Address(base_url=HERE), PATIENCE) as remote:
        with pytest.raises(Broken, match="not a public address"):
            async with remote.open("https://rebound.example/x"):
                pass


async def test_the_apis_own_origin_gets_neither_key_nor_headers_and_no_redirect_is_followed() -> (
    None
):
    away = Script.whole(b"", 302, location="http://127.0.0.1:1/secret")
    async with scripted(away) as there:
        home = Address(base_url=there.base_url, key=Secret("sk-1"), headers={"X-Title": "mine"})
        async with Remote(home, PATIENCE) as remote, remote.open("/files/1.png") as reply:
            assert reply.status == 302
        async with Remote(home, PATIENCE) as remote:
            with pytest.raises(Broken):
                async with remote.open(f"http://127.0.0.1:{there.port + 1}/other-port"):
                    pass
    (asked,) = there.requests
    assert asked.path == "/files/1.png"
    assert not {"authorization", "x-title", "cookie"} & set(asked.headers)
