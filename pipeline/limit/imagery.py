"""So many images a minute, though nobody knows how many one request brings until it is answered.

Each request is taken to bring what the last ones brought on average, and the account is put right
when it is back. Where the provider refuses all the same, the margin is made a little wider.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pipeline.limit.pace import Pace

if TYPE_CHECKING:
    from pipeline.core.admission import Ticket

_WEIGHT = 1 / 16
_NARROWER, _NARROWEST, _WIDER_A_SECOND = 0.98, 0.92, 0.0005


class Imagery:
    """The pace of images. ``mean``: how many a request brings, as far as is known."""

    __slots__ = ("_left_at", "_pace", "_per_s", "_refused_at", "_share", "mean")

    def __init__(self, per_minute: float | None) -> None:
        """``per_minute``: as told; None sets no pace."""
        self._per_s = per_minute / 60 if per_minute else inf
        self._share = 1.0
        self._pace = Pace()
        self._left_at = inf
        self._refused_at = -inf
        self.mean = 1.0

    @property
    def due(self) -> float:
        """When the next request is due."""
        return self._pace.due

    @property
    def requests_per_minute(self) -> float | None:
        """Requests a minute that bring as many images as are allowed; None where all are."""
        return None if self._per_s == inf else 60 * self._per_s / self.mean

    def leave(self, now: float, *, held_until: float) -> None:
        """A request leaves; ``held_until``: until when something else held it."""
        since_s = min(1.0, max(0.0, now - self._left_at))
        self._left_at = now
        self._share = min(1.0, self._share + _WIDER_A_SECOND * since_s)
        interval_s = self.mean / (self._per_s * self._share)
        self._pace.leave(now, interval_s, held_until=held_until)

    def back(self, ticket: Ticket, n_images: int | None) -> None:
        """A request is back, and brought so many; None: nobody knows."""
        if n_images is None:
            return
        if n_images:
            self.mean += (n_images - self.mean) * _WEIGHT
        if ticket.left_at >= self._refused_at:
            self._pace.shift((n_images - ticket.n_images) / (self._per_s * self._share))

    def refused(self, left_at: float) -> bool:
        """The provider refuses what should have been let in: its account is empty, so is ours.

        What left before brought what it brought, and need not be put right any more. False where
        the margin is as wide as it gets: then it is not about images.
        """
        if self._share * _NARROWER < _NARROWEST:
            return False
        self._refused_at = left_at
        self._share *= _NARROWER
        return True
