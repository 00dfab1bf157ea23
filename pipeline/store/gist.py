"""What the fold needs of a manifest line, and nothing more: a line is parsed at every start."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MADE = "made"
_NO_REASON = (None, _MADE)


class Displaced(msgspec.Struct, gc=False, frozen=True):
    """A file that was moved aside, by the task it belonged to, None where no line named it."""

    id: str | None = None


class Gist(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """The fields that count, in the order of a line, in which they are found quickest."""

    id: str
    status: Literal["made", "failed"]
    why: str | None = None
    images: list[msgspec.Raw]
    cost_usd: float | None = None
    started_at: str = ""
    finished_at: str = ""
    latency_s: float | None = 0.0
    run: str | None = None
    maybe_billed: int | None = 0
    orphaned: tuple[Displaced, ...] = ()


def gists_of(lines: Sequence[bytes]) -> list[Gist]:
    """The gists of lines, with or without their newlines, up to the first that is no record."""
    if all(map(bytes.isascii, lines)):
        with suppress(ValueError, RecursionError):
            gists = list(map(_decode, lines))
            if all(map(_is_sound, gists)):
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
        if not _is_sound(gist):
            return
        yield gist


def _is_sound(gist: Gist) -> bool:
    return gist.status == _MADE or gist.why not in _NO_REASON


_decode = msgspec.json.Decoder(Gist).decode
