"""What the engine needs of the stages: Provider, Transport, Store, Observer, Clock.

The Gate, which has words of its own, is in ``admission.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from pipeline.core.model import (
        Answer,
        Failure,
        Outcome,
        Part,
        Past,
        Receipt,
        Reply,
        Request,
        Task,
        Why,
    )


class Break(StrEnum):
    """How an exchange broke off. Those above ``IDLE`` happened before the request had left."""

    REFUSED = "connection refused"
    DNS = "host name not found"
    TLS = "TLS handshake failed"
    CONNECT_TIMEOUT = "no connection in time"
    UNSENDABLE = "the request cannot be sent"
    IDLE = "nothing arrived for too long"
    TOTAL = "the whole exchange took too long"
    RESET = "the connection broke before the reply"
    CUT = "the connection broke inside the reply"
    GARBLED = "not a valid HTTP reply"
    TOO_LARGE = "the reply is larger than max_body"
    FORBIDDEN = "links are followed over https, and to public addresses only"

    @property
    def is_before_sending(self) -> bool:
        """Whether the request cannot have reached the provider, so cannot have been billed."""
        return self in {
            Break.REFUSED,
            Break.DNS,
            Break.TLS,
            Break.CONNECT_TIMEOUT,
            Break.UNSENDABLE,
        }


class Broken(Exception):
    """Raised by a transport, and by a reply's body, when the exchange broke off."""

    def __init__(self, how: Break, detail: str = "") -> None:
        """``detail``: what the network said, without the key."""
        super().__init__(f"{how}: {detail}" if detail else str(how))
        self.how = how


class Intake(Protocol):
    """Reads images out of bytes as they arrive."""

    @property
    def request_id(self) -> str | None:
        """The id under which the provider knows this exchange, as soon as it is told."""

    def feed(self, chunk: bytes) -> Iterable[tuple[int, bytes]]:
        """Decoded pieces of images, each with the number of its image within the reply."""

    def close(self, broken: Broken | None = None) -> Found | Failure:
        """The verdict; ``broken`` when the body broke off before its end."""


class Reader(Intake, Protocol):
    """Reads one reply as its bytes arrive."""

    def linked(self, reply: Reply) -> Intake:
        """For what stands at one of :attr:`Found.links`: the image itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An image seen in a reply, by its number there; its bytes went out through ``feed``."""

    number: int
    media_type: str
    width: int
    height: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A reply with at least one whole image, in the order the reply gives them.

    ``links``: addresses to fetch the images from, where the reply gave those instead.
    """

    images: tuple[Sighting, ...]
    answer: Answer
    links: tuple[str, ...] = ()


class Provider(Protocol):
    """A dialect: how to ask and how to read. Never does I/O."""

    def request_for(self, task: Task) -> Request:
        """The request that asks for this task's images."""

    def reader_of(self, reply: Reply, task: Task) -> Reader:
        """A reader for this reply's status, headers and shape."""

    def failure_of(self, broken: Broken) -> Failure:
        """The verdict where no reply came at all."""


class Transport(Protocol):
    """Carries a request out and its reply back."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Reply]:
        """Open the exchange; raises :class:`Broken`."""


class Links(Protocol):
    """Follows the links of replies."""

    def open(self, link: str) -> AbstractAsyncContextManager[Reply]:
        """Open what a reply links to, showing no key to anyone; raises :class:`Broken`."""


class Budget(Protocol):
    """What may be spent; every request is reserved before it leaves."""

    def allows(self, model: str) -> bool:
        """Whether one more may leave now."""

    def is_used_up(self, model: str) -> bool:
        """Whether one more may never leave."""

    def reserve(self, model: str) -> None:
        """One leaves; only after :meth:`allows` said so."""

    def settle(self, model: str, *, cost_usd: float | None, is_charged: bool) -> None:
        """One came back: what it cost; where nobody told, whether it may have cost anything."""

    def reason(self, model: str) -> str:
        """Why nothing more is sent, for a person."""


class Trail(Protocol):
    """What the store is told of one attempt on its way; each raises DiskTrouble."""

    @property
    def past(self) -> Past:
        """What the task met before this attempt."""

    def answered(self) -> None:
        """Its reply says what became of it, and there are no images: a next try is a new one."""

    def heard(self, request_id: str) -> None:
        """The head of its reply came, with the id under which the provider knows it."""

    def part(self) -> Part:
        """A fresh part file for an image of its reply."""

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        """It came back without images that count. ``is_unpriced``: nobody told what it cost."""


class Store(Protocol):
    """Keeps images, then the record."""

    def begin(self, task: Task, attempt: int, *, at: str) -> Trail:
        """An attempt is about to leave: written down before it does."""

    async def keep(self, outcome: Outcome) -> Receipt:
        """Make the outcome last; returning is the acknowledgement."""


class Clock(Protocol):
    """The two times there are."""

    def now(self) -> float:
        """Monotonic seconds, for waiting and measuring."""

    def utc(self) -> str:
        """The wall clock, UTC, ISO 8601 with milliseconds and ``Z``."""

    def utc_in(self, seconds: float) -> str:
        """The same, ``seconds`` from now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An attempt (from 1) left."""

    task: Task
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """An attempt came back, with what it cost as far as the reply told."""

    cost_usd: float | None
    is_maybe_billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedAgain:
    """An attempt failed and another follows in ``wait_s`` seconds."""

    task: Task
    attempt: int
    why: Why
    detail: str | None
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A task has its outcome, and the outcome is kept."""

    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The endpoint asked everyone to wait ``wait_s`` seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The run goes on without ``model``; its tasks are given up unasked."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteClosed:
    """The run goes on without a provider of its pool."""

    route: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Nothing is sent any more; ``in_flight`` replies are waited for, at most ``grace_s``."""

    reason: str
    in_flight: int
    grace_s: float
    is_signalled: bool = False


class HeldBy(StrEnum):
    """What holds the next request back, in words."""

    NOTHING = "nothing"
    PACE = "the pace"
    WINDOW = "the window"
    GATE = "a pause the provider asked for"
    SICK = "the endpoint is unwell"
    DISK = "the disk"
    BUDGET = "the budget"
    END = "nothing left to send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What holds a lane's next request back now, and the lane's limits as they are now.

    ``until_s``: seconds from now, where known. ``per_minute``: its pace, requests a minute;
    ``window``: the most in flight; None where there is no such limit. ``is_measured``: found out by
    refusals; else told by the job, the profile or the provider.
    """

    by: HeldBy
    until_s: float | None = None
    per_minute: float | None = None
    window: int | None = None
    is_measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """How one lane stands: told at every tick of the progress line, and once more at the end.

    ``lane``: the provider's name, and its key's variable where several keys serve.
    """

    lane: str
    in_flight: int
    hold: Hold


Event = Sent | Back | TriedAgain | Settled | Held | LeftOut | RouteClosed | Draining | LaneState


class Observer(Protocol):
    """Is told, changes nothing."""

    def see(self, event: Event) -> None:
        """Something happened."""
