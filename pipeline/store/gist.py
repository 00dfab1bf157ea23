"""What a manifest line must say to be one: every line is held against it, at every start."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MADE = "made"


class Anything(msgspec.Struct, gc=False, frozen=True):
    """An object, whatever it holds: that is passed over."""


class Picture(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """An image that a line names."""

    file: str
    sha256: str
    bytes: int
    media_type: str
    width: int
    height: int


class Displaced(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A file that was moved aside, by the task it belonged to, None where no line named it."""

    file: str
    moved_to: str
    id: str | None = None


class Source(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """An input image: its address, or its path and content."""

    url: str | None = None
    path: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where nobody could find it."""
        if self.url is None and (self.path is None or self.sha256 is None):
            raise ValueError("neither an address nor a path with its SHA-256")


class Gist(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """The fields of a line in their order, in which they are found quickest.

    Whatever is read of a line later on is asked for here, so that a line that lacks it is found
    before anything is sent. What has a default came with a later version: a line may lack it.
    """

    id: str
    status: Literal["made", "failed"]
    why: str | None
    index: int
    sample: int
    prompt: str
    model: str
    served_model: str | None
    params: Anything
    vars: Anything
    meta: Anything
    images: list[Picture]
    text: str | None
    detail: str | None
    attempts: int
    request_id: str | None
    usage: Anything
    cost_usd: float | None
    provider: str
    started_at: str
    finished_at: str
    latency_s: float | None
    run: str
    aspect_ratio: str | None = None
    image_size: str | None = None
    seed: int | None = None
    keep: Literal["all", "first", "last"] = "all"
    maybe_billed: int | None = 0
    orphaned: tuple[Displaced, ...] = ()
    warnings: tuple[str, ...] = ()
    references: tuple[Source, ...] = ()
    unpriced: int | None = None
    answers: int | None = 0


def gap_of(gist: Gist) -> str | None:
    """What a line of the right form leaves open, None where it says everything."""
    if gist.status == _MADE:
        return None if gist.images else "made, but it names no image"
    return "failed, but it does not say why" if gist.why in {None, _MADE} else None


def gists_of(lines: Sequence[bytes]) -> list[Gist]:
    """The gists of lines, with or without their newlines, up to the first that is no record."""
    if all(map(bytes.isascii, lines)):
        with suppress(ValueError, RecursionError):
            gists = list(map(_decode, lines))
            odd = [gist for gist in gists if gist.status != _MADE or not gist.images]
            if not any(map(gap_of, odd)):
                return gists
    return list(_one_by_one(lines))


def _one_by_one(lines: Iterable[bytes]) -> Iterator[Gist]:
    """The same, where one of them may be none.

    The decoder passes over what it is not asked for without looking at its UTF-8: that is checked
    here, so that damage is found wherever it is.
    """
    for line in lines:
        try:
            line.decode()
            gist = _decode(line)
        except (ValueError, RecursionError):
            return
        if gap_of(gist):
            return
        yield gist


_decode = msgspec.json.Decoder(Gist).decode
