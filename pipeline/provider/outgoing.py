"""A request as it goes out: method, address, headers, and a body in pieces."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.provider.references import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.provider.http import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request; it can be sent more than once."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Upload | None = field(repr=False)

    def content(self) -> io.BytesIO | Upload | None:
        """The body from its start. As a file or an iterable it goes out piece by piece."""
        return io.BytesIO(self.body) if isinstance(self.body, bytes) else self.body


def ask_of(address: Address, path: str, body: bytes | Upload | None) -> Ask:
    """The request itself. A session's own headers would go to the proxy too, the key included."""
    headers = {
        "Accept": "application/json, text/event-stream",
        # Base64 of a picture hardly compresses, and a cut gzip body goes unnoticed.
        "Accept-Encoding": "identity",
        "User-Agent": "imagebatch",
        **address.headers,
    }
    if body is not None:
        headers["Content-Type"] = "application/json"
    if isinstance(body, Upload):
        headers["Content-Length"] = str(body.n_bytes)
    if address.key:
        headers["Authorization"] = f"Bearer {address.key.reveal()}"
    method = "GET" if body is None else "POST"
    return Ask(method=method, url=address.base_url + path, headers=headers, body=body)
