"""The provider's list of models: asked for once, then kept for a day in the user's cache folder.

What is kept is a file for each address and key, because a gateway may list other models to
another key; the key itself is not in it. It is a convenience only: a file that cannot be read or
written, is cut or is of tomorrow, is as good as none.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pipeline.core.model import Answer
from pipeline.core.ports import Break, Broken
from pipeline.errors import Misconfigured, Stop, Unreachable
from pipeline.job.environment import cache_folder
from pipeline.provider.catalog import (
    IMAGE_PATH,
    PATHS,
    Catalog,
    document_of,
    image_models_in,
    merged,
)
from pipeline.provider.complaint import complaint_of, error_in
from pipeline.provider.documents import parsed
from pipeline.provider.faults import Complaint, failure_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from pipeline.core.model import Secret
    from pipeline.job.job import Chosen
    from pipeline.provider.catalog import Model
    from pipeline.provider.http import Http

FRESH_S = 24 * 3600.0
"""How long a list is kept."""

MOST_BYTES = 16 << 20
"""The longest list that is read; the longest known ones have 1 MB."""

_LONGEST_WAIT_S = 5.0
"""How long a run waits for a list before it begins without one."""

NO_LIST = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A list as it was kept; ``age_s`` is how many seconds ago, ``asked_on`` the UTC day of it."""

    catalog: Catalog
    age_s: float
    asked_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a provider answered when its list was asked for."""

    status: int
    headers: Mapping[str, str]
    arrived_at: float
    document: object

    @property
    def has_list(self) -> bool:
        """Whether it gave one."""
        return 200 <= self.status < 300 and self.document is not None


async def ask(http: Http, *, dialect: str, key: Secret | None) -> Catalog:
    """Ask the provider for its list; raises a Stop where it cannot be reached, refuses, has none.

    OpenRouter's image API has a list of its own, which the general one completes with prices.
    """
    models: tuple[Model, ...] = ()
    for path in PATHS:
        listing = await fetch(http, path, key)
        if not listing.has_list:
            raise no_list(listing, path)
        if models := image_models_in(listing.document):
            break
    if dialect == "openrouter-images":
        listing = await fetch(http, IMAGE_PATH, key)
        if own := image_models_in(listing.document, make_images=True) if listing.has_list else ():
            models = merged(own, models)
    return Catalog(models=models)


async def fetch(http: Http, path: str, key: Secret | None) -> Listing:
    """One answer to one question, ``key`` taken out of it; raises :class:`Unreachable`."""
    try:
        async with http.get(path) as reply:
            body = await _whole(reply.body)
    except Broken as broken:
        raise Unreachable(f"the provider cannot be reached: {broken}") from None
    return Listing(
        status=reply.status,
        headers=reply.headers,
        arrived_at=reply.arrived_at,
        document=parsed(_masked(body, key)),
    )


def no_list(listing: Listing, path: str) -> Stop:
    """The stop for an answer that is no list: as the fault table has it, or one that shows it."""
    if 200 <= listing.status < 300:
        return Unreachable(f"GET {path} answers with no JSON. Check base_url in the profile")
    if listing.status in NO_LIST:
        what = f"the provider has no list of models: GET {path} answers {listing.status}"
        return Misconfigured(f"{what}. Check base_url in the profile")
    error = error_in(listing.document)
    told = Complaint(status=listing.status, is_html=listing.document is None)
    complaint = complaint_of(error, status=listing.status) if error else told
    stop = failure_of(complaint, Answer(detail=complaint.message or None)).stop
    return stop or Unreachable(f"the list of models is not to be had: HTTP {listing.status}")


async def known(http: Http, *, base_url: str, key: Secret | None, dialect: str) -> Catalog:
    """The list, kept or asked for; an empty one where a provider has none or takes too long."""
    if there := kept(base_url, key):
        return there.catalog
    try:
        async with asyncio.timeout(_LONGEST_WAIT_S):
            catalog = await ask(http, dialect=dialect, key=key)
    except (Stop, TimeoutError):
        return Catalog()  # the first request for an image tells what is wrong, if anything is
    keep(catalog, base_url, key)
    return catalog


def doubts(catalog: Catalog, models: Iterable[str], chosen: Chosen) -> tuple[str, ...]:
    """What the list has against ``models``, a sentence each; the provider's answer decides."""
    named = f" --provider {chosen.reference}" if isinstance(chosen.reference, str) else ""
    told = filter(None, map(catalog.doubt, models))
    return tuple(f"{doubt}. See: imagebatch models{named}" for doubt in told)


def kept(base_url: str, key: Secret | None) -> Kept | None:
    """The list that was kept for this address and key, None where it is gone or over a day old."""
    file = _file_for(base_url, key)
    try:
        document = orjson.loads(file.read_bytes()) if file else None
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(document, dict) or document.get("base_url") != base_url:
        return None
    asked_at = document.get("asked_at")
    if (
        not isinstance(asked_at, int | float)
        or not 0 <= (age_s := time.time() - asked_at) < FRESH_S
    ):
        return None
    asked_on = datetime.fromtimestamp(asked_at, UTC).date().isoformat()
    catalog = Catalog(models=image_models_in(document))
    return Kept(catalog=catalog, age_s=age_s, asked_on=asked_on)


def keep(catalog: Catalog, base_url: str, key: Secret | None) -> None:
    """Keep a list for a day; an empty one is not worth it."""
    file = _file_for(base_url, key)
    if file is None or not catalog.models:
        return
    document = {"base_url": base_url, "asked_at": time.time(), **document_of(catalog.models)}
    with suppress(OSError):
        _write_whole(file, orjson.dumps(document, option=orjson.OPT_INDENT_2))


async def _whole(body: AsyncIterator[bytes]) -> bytes:
    pieces, n_left = [], MOST_BYTES
    async for piece in body:
        n_left -= len(piece)
        if n_left < 0:
            raise Broken(Break.TOO_LARGE, f"more than {MOST_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _masked(body: bytes, key: Secret | None) -> bytes:
    return key.masked_in(body.decode("utf-8", "replace")).encode() if key else body


def _file_for(base_url: str, key: Secret | None) -> Path | None:
    """Named by what it is for; from a name of 80 bits nobody finds the key again."""
    folder = cache_folder()
    whose = f"{base_url}\n{key.reveal() if key else ''}".encode()
    name = hashlib.blake2b(whose, digest_size=10, person=b"models").hexdigest()
    return folder / f"models-{name}.json" if folder else None


def _write_whole(file: Path, content: bytes) -> None:
    """Two runs may write at once, and a third read: each of them meets a whole file."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(number, "wb") as part:
            part.write(content)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
