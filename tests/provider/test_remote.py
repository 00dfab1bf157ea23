"""Links in replies: where they may lead."""

from __future__ import annotations

import pytest

from pipeline.core.model import Secret
from pipeline.core.ports import Break, Broken
from pipeline.provider.http import Address, Patience
from pipeline.provider.remote import Remote, is_public

PATIENCE = Patience(connect_s=2, idle_s=2, total_s=5, most_body_bytes=10_000)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_an_address_that_anybody_can_reach_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "not an address",
    ],
)
def test_any_other_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "link",
    [
        "http://example.com/cat.png",
        "ftp://example.com/cat.png",
        "file:///etc/passwd",
        "data:text/plain,x",
        "https://user:pass@example.com/cat.png",
        "http://127.0.0.1:1@example.com/cat.png",
        "//example.com/cat.png",
        "http://[::1",
    ],
)
async def test_a_link_of_another_kind_is_not_opened(link: str) -> None:
    home = Address(base_url="http://127.0.0.1:1/v1", key=Secret("sk-1"))
    async with Remote(home, PATIENCE) as remote:
        with pytest.raises(Broken) as refused:
            async with remote.open(link):
                pass
    assert refused.value.how is Break.FORBIDDEN


@pytest.mark.parametrize(
    "link", ["https://127.0.0.1/x", "https://[::1]/x", "https://localhost/x", "https://0.0.0.0/x"]
)
async def test_no_connection_is_made_to_our_own_network(link: str) -> None:
    async with Remote(Address(base_url="https://api.example/v1"), PATIENCE) as remote:
        with pytest.raises(Broken, match="not a public address"):
            async with remote.open(link):
                pass
