"""A request as it goes out: method, address, headers, and a body in pieces."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.provider.references import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.provider.http import Address

_PIECE_BYTES = 64 * 1024

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request; it can be sent more than once."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Upload | None = field(repr=False)

    def content(self) -> bytes | io.BytesIO | Upload | None:
        """The body from its start. A long one goes out piece by piece, as a file or an iterable."""
        if isinstance(self.body, bytes) and len(self.body) > _PIECE_BYTES:
            return io.BytesIO(self.body)
        return self.body


def ask_of(
    address: Address,
    path: str,
    body: bytes | Upload | None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Ask:
    """The request itself; ``headers`` are its own, beside the address's.

    A session's own headers would go to the proxy too, the key included.
    """
    sent = {
        "Accept": "application/json, text/event-stream",
        # Base64 of a picture hardly compresses, and a cut gzip body goes unnoticed.
        "Accept-Encoding": "identity",
        "User-Agent": "imagebatch",
        **address.headers,
        **headers,
    }
    if body is not None:
        sent["Content-Type"] = "application/json"
    if isinstance(body, Upload):
        sent["Content-Length"] = str(body.n_bytes)
    if address.key:
        sent["Authorization"] = f"Bearer {address.key.reveal()}"
    method = "GET" if body is None else "POST"
    return Ask(method=method, url=address.base_url + path, headers=sent, body=body)
