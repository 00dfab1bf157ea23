"""What the engine needs of the limits: a Gate, what it gives, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.core.model import RateLimit
    from pipeline.core.ports import Hold


class Ending(Enum):
    """What a lane is told of an attempt: what moves its limits, and what moves none."""

    OK = "answered"
    REFUSED = "too many requests"
    FAULT = "the endpoint is unwell"
    CANCELLED = "ended by us, unheard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Leave to send one request, given at ``left_at`` (monotonic seconds).

    ``n_in_flight``: with this one, as it left; ``n_images``: how many it is taken to bring.
    """

    number: int
    left_at: float
    n_in_flight: int = 1
    n_images: float = 1.0


class Gate(Protocol):
    """Admission to one endpoint and key. ``now`` is monotonic seconds, always an argument."""

    @property
    def is_sick(self) -> bool:
        """Whether the endpoint is down for a while: its faults say nothing of the tasks."""

    def wait(self, now: float) -> float:
        """Seconds until the next may leave: 0 = go, inf = only after one comes back."""

    def leave(self, now: float) -> Ticket:
        """One leaves now; only after ``wait(now)`` said 0."""

    def back(  # noqa: PLR0913 - all that a reply can say of limits
        self,
        ticket: Ticket,
        now: float,
        what: Ending,
        *,
        retry_after_s: float | None = None,
        limit: RateLimit | None = None,
        label: str | None = None,
        n_images: int | None = None,
    ) -> None:
        """One came back, with what it met and what the server said, as far as it did.

        ``retry_after_s``: its hint; ``limit``: what its headers tell; ``label``: a refusal's words;
        ``n_images``: how many images it brought.
        """

    def holding(self, now: float) -> Hold:
        """What holds the next one back, and the limits as they are now."""
