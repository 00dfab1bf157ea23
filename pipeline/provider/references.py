"""Input images: looked at when the plan is made, read again as they are sent, never held whole.

A file is known by what it holds. It is hashed once for the plan; when it is sent it must still hold
the same, so it is hashed again unless nothing about it has changed, and goes out as base64 in
slices. Sixty-four workers that send ten megabytes each hold sixty-four slices. Small images, such
as one that every task of a job shares, are kept encoded, so many bytes of them and no more.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import orjson
from pybase64 import b64encode

from pipeline.core.model import Reference
from pipeline.core.ports import Break, Broken
from pipeline.provider.image import media_type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pipeline.core.model import Request

MOST_BYTES = 20 * 1024**2
"""The largest input image that is sent, before base64."""

_SENDABLE = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_SLICE = 3 * 128 * 1024  # of three, so that each slice is whole base64
_MOST_KEPT = 32 * 1024**2
_LARGEST_KEPT = 4 * 1024**2
_MOST_SEEN = 100_000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?=//)|data:")
_ODD_IN_URL = re.compile(r"[^!-~]|[\\\"<>]")


class Seen(NamedTuple):
    """What a file held when it was last read. ``stamp`` tells whether it may have changed since."""

    stamp: tuple[int, ...]
    sha256: str
    media_type: str
    n_bytes: int


class _Unfit(Exception):
    """A file that cannot be sent; the message says why."""


class Library:
    """The input images of one run. Safe to use from the loop and its threads."""

    def __init__(self, *, most_kept: int = _MOST_KEPT) -> None:
        """``most_kept``: bytes of encoded images that may be kept for the next request."""
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._encoding = asyncio.Lock()
        self._most_kept = most_kept
        self._n_kept = 0

    def look(self, text: str, folder: str) -> Reference | str:
        """The reference that ``text`` means, seen from ``folder``, or what is wrong with it."""
        if _URL.match(text):
            return _of_url(text)
        path = Path(text).expanduser() if text.startswith("~/") else Path(text)
        absolute = os.path.normpath(Path(folder).absolute() / path)
        try:
            return Reference(source=absolute, sha256=self._see(absolute).sha256)
        except _Unfit as unfit:
            return f"{text}: {unfit}"

    async def upload(self, request: Request) -> Upload:
        """The whole body of ``request``; every file in it holds what it held when it was planned.

        Raises :class:`Broken` before anything is sent where one does not.
        """
        whole: list[bytes | _File] = []
        for piece in (request.body, *request.more):
            if isinstance(piece, bytes):
                whole.append(piece)
            elif piece.sha256 is None:
                whole.append(orjson.dumps(piece.source)[1:-1])
            else:
                whole.append(await self._attached(piece))
        return Upload(whole)

    async def _attached(self, reference: Reference) -> bytes | _File:
        try:
            seen = await asyncio.to_thread(self._see, reference.source)
        except _Unfit as unfit:
            raise Broken(Break.UNSENDABLE, f"{reference.source} {unfit}") from None
        if seen.sha256 != reference.sha256:
            what = "has changed since the job was planned: run the job again to send what it is now"
            raise Broken(Break.UNSENDABLE, f"{reference.source} {what}")
        if seen.n_bytes > min(_LARGEST_KEPT, self._most_kept):
            return _File(reference.source, seen)
        async with self._encoding:  # one at a time: who waits for the same image shares it
            if seen.sha256 not in self._kept:
                self._keep(seen, await asyncio.to_thread(_encoded, reference.source, seen))
        self._kept.move_to_end(seen.sha256)
        return self._kept[seen.sha256]

    def _keep(self, seen: Seen, encoded: bytes) -> None:
        self._kept[seen.sha256] = encoded
        self._n_kept += len(encoded)
        while self._n_kept > self._most_kept and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._n_kept -= len(oldest)

    def _see(self, path: str) -> Seen:
        """What the file holds; read only where it may have changed since it was read last."""
        try:
            status = Path(path).stat()
            seen = self._seen.get(path)
            if seen is None or seen.stamp != _stamp(status):
                seen = self._seen[path] = _read(path, status)
        except OSError as error:
            raise _Unfit(f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise _Unfit("is no path") from None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return seen


class Upload:
    """The bytes of a request, in slices; every iteration starts anew."""

    def __init__(self, pieces: Sequence[bytes | _File]) -> None:
        """``pieces`` follow one another."""
        self._pieces = pieces
        self.n_bytes = sum(map(len, pieces))

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        """Over everything, in order; raises OSError where a file changes under way."""
        return _Slices(self._pieces)


class _File:
    """A file as the data URL it goes out as."""

    def __init__(self, path: str, seen: Seen) -> None:
        self._path = path
        self._seen = seen
        self._label = _label(seen)

    def __len__(self) -> int:
        return len(self._label) + (self._seen.n_bytes + 2) // 3 * 4

    async def slice(self, at: int) -> tuple[int, bytes]:
        """The slice that starts with byte ``at`` of the file, and where the next one starts."""
        content = await asyncio.to_thread(_part, self._path, at, _SLICE)
        if len(content) != min(_SLICE, self._seen.n_bytes - at):
            raise OSError(f"{self._path} has changed while it was sent")
        label = b"" if at else self._label
        return at + len(content), label + b64encode(content)

    def is_over(self, at: int) -> bool:
        return at >= self._seen.n_bytes


class _Slices:
    """An object and not a generator: a request that breaks off leaves nothing half run behind."""

    def __init__(self, pieces: Sequence[bytes | _File]) -> None:
        self._pieces = iter(pieces)
        self._piece: bytes | _File = b""
        self._at = 0

    def __aiter__(self) -> _Slices:
        return self

    async def __anext__(self) -> bytes | memoryview:
        while self._is_over():
            following = next(self._pieces, None)
            if following is None:
                raise StopAsyncIteration
            self._piece, self._at = following, 0
        if isinstance(self._piece, bytes):
            start, self._at = self._at, self._at + _SLICE
            return memoryview(self._piece)[start : self._at]
        self._at, encoded = await self._piece.slice(self._at)
        return encoded

    def _is_over(self) -> bool:
        piece = self._piece
        return self._at >= len(piece) if isinstance(piece, bytes) else piece.is_over(self._at)


def _of_url(text: str) -> Reference | str:
    if text.startswith("data:"):
        return "a data: URL is not read here: name the path of an image, or an https:// address"
    if text[:8].lower() != "https://":
        return f"{text[:60]}: must be the path of an image, or an https:// address"
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole or _ODD_IN_URL.search(text):
        return f"{text[:60]}: is no address of an image"
    if parts.username is not None or parts.password is not None:
        return "an address must not hold a user or password: save the image as a file"
    return Reference(source=text)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: str, status: os.stat_result) -> Seen:
    if not stat.S_ISREG(status.st_mode):
        raise _Unfit("is not a file")
    if status.st_size > MOST_BYTES:
        raise _Unfit(f"is {status.st_size:,} bytes long: at most {MOST_BYTES:,} are sent")
    with Path(path).open("rb") as file:
        media_type = media_type_of(file.read(16))
        if media_type not in _SENDABLE:
            raise _Unfit(f"is {media_type or 'no image'}: a PNG, JPEG, WebP or GIF can be sent")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Seen(_stamp(status), sha256, media_type, status.st_size)


def _label(seen: Seen) -> bytes:
    """What stands before the base64: the true type, whatever the file is called."""
    return f"data:{seen.media_type};base64,".encode()


def _encoded(path: str, seen: Seen) -> bytes:
    return _label(seen) + b64encode(_part(path, 0, seen.n_bytes))


def _part(path: str, at: int, n_bytes: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(at)
        return file.read(n_bytes)
