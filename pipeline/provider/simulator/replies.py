"""Replies that are kept, so that a request which comes again is answered again and not charged."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.provider.repeats import CLEAR, is_cache
from pipeline.provider.simulator.faults import SOUND, Delivery, Play

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.provider.simulator.asked import Asked
    from pipeline.provider.simulator.said import Frame

MOST_KEPT = 100_000
"""How many replies are remembered; older ones are forgotten, so memory is bounded."""

_MADE_NOTHING = frozenset({Delivery.HANG, Delivery.RESET})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reply as it would be given once more: how it is played, and its frame."""

    play: Play
    frame: Frame


class Replies:
    """What was made for each request that can be known again, however it was delivered."""

    def __init__(self, header: str | None) -> None:
        """``header`` tells which request it is; None: no request is known again."""
        self._header = header
        self._is_cache = is_cache(header)
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def known(self, headers: Mapping[str, str], asked: Asked) -> Kept | None:
        """The reply to a request that came before, None where it is new."""
        name = self._name(headers, asked)
        if self._is_cache and headers.get(CLEAR) == "true":
            self._kept.pop(name, None)
        return self._kept.get(name)

    def keep(self, headers: Mapping[str, str], asked: Asked, reply: Kept) -> None:
        """Keep what was made for a request, if anything was."""
        name = self._name(headers, asked)
        if name and _is_made(reply.play):
            frame = reply.frame
            # A reply from OpenRouter's cache has an id of its own and costs nothing.
            again = replace(frame, id=f"{frame.id}-hit", cost_usd=0.0) if self._is_cache else frame
            self._kept[name] = Kept(play=_whole(reply.play), frame=again)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def _name(self, headers: Mapping[str, str], asked: Asked) -> str:
        value = headers.get(self._header or "", "")
        if self._is_cache:
            return f"{asked.key} {asked.is_streamed}" if value == "true" else ""
        return value


def _is_made(play: Play) -> bool:
    return play.is_billed or (play.head is None and play.delivery not in _MADE_NOTHING)


def _whole(play: Play) -> Play:
    """What the model said, without what went wrong on its way."""
    return SOUND if play.head else replace(play, delivery=Delivery.WHOLE)
