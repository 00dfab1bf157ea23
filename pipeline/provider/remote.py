"""Follows the links of replies, for a profile with ``remote_images: true``.

A reply is a stranger's text, and a link in it could point into our own network. So: https, no
redirect, no proxy, no key, and a connection to globally routable addresses only, looked at when
the socket is made, after the name was resolved and whatever it resolved to. The API's own origin
is followed as it is, http included: it is where the user chose to ask.
"""

from __future__ import annotations

import errno
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from pipeline.core.ports import Break, Broken
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from pipeline.core.model import Reply

_HEADERS = {"Accept": "image/*"}
_PORTS = {"http": 80, "https": 443}
# IPv4 in the last 32 bits: RFC 6052, RFC 2765 and, long given up, RFC 4291, 2.5.5.1.
_WRAPPING = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
_NOBODYS = IPv4Address(0)
# Translated within one's own network (RFC 8215), and what was once local to a site (RFC 3879).
_LOCAL = tuple(map(IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))


class Remote:
    """Implements the Links port over two pools: the API's origin, and everybody else."""

    def __init__(self, address: Address, patience: Patience) -> None:
        """``address`` is the API's; neither its key nor its headers are sent."""
        self._base_url = address.base_url
        origin = urlsplit(address.base_url)
        own = Address(
            base_url=f"{origin.scheme}://{origin.netloc}", headers=_HEADERS, proxy=address.proxy
        )
        self._own = Http(own, patience)
        self._others = Http(
            Address(base_url="https://", headers=_HEADERS), patience, socket_of=_socket_out
        )
        self._pools = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the pools."""
        for pool in (self._own, self._others):
            await self._pools.enter_async_context(pool)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._pools.aclose()

    @asynccontextmanager
    async def open(self, link: str) -> AsyncIterator[Reply]:
        """``GET`` what ``link`` names; a relative one is the API's own. Raises :class:`Broken`."""
        try:
            url = urlsplit(urljoin(self._base_url, link.strip()))
            is_own = _origin(url.geturl()) == _origin(self._base_url)
            (url.hostname or "").encode("idna")  # what no resolver takes
        except ValueError:
            raise Broken(Break.FORBIDDEN, "not an address") from None
        path = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if is_own:
            exchange = self._own.get(path)
        elif url.scheme == "https" and "@" not in url.netloc:
            exchange = self._others.get(url.netloc + path)
        else:
            raise Broken(Break.FORBIDDEN, f"not to {url.scheme}://{url.hostname}")
        async with exchange as reply:
            yield reply


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody can reach, also where it wraps another one."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast for one in _layers(ip))


def _layers(ip: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and the IPv4 address inside it: mapped, 6to4, Teredo or translated."""
    if isinstance(ip, IPv4Address):
        return [ip]
    if ip.ipv4_mapped:
        return [ip.ipv4_mapped]
    if ip.teredo:
        return [*ip.teredo]
    if ip.sixtofour:
        return [ip.sixtofour]
    if any(ip in network for network in _WRAPPING):
        return [ip, IPv4Address(ip.packed[12:])]
    return [_NOBODYS] if any(ip in network for network in _LOCAL) else [ip]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _socket_out(
    where: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]],
) -> socket.socket:
    """A socket for an address about to be connected to; OSError where it is not a public one."""
    family, kind, protocol, _, address = where
    if not is_public(str(address[0])):
        raise OSError(errno.EACCES, "not a public address")
    return socket.socket(family, kind, protocol)
