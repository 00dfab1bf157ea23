"""Task, Request, Reply, Image, Failure and its Why, Outcome: the values that travel."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Never, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pipeline.errors import Stop


class Why(StrEnum):
    """Why an attempt brought no image. The words are the manifest's."""

    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    LOST = "lost"
    BAD_REPLY = "bad_reply"
    BAD_IMAGE = "bad_image"
    NO_IMAGE = "no_image"
    REFUSED = "refused"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    AUTH = "auth"
    CREDIT = "credit"
    MODEL = "model"

    @property
    def is_final(self) -> bool:
        """Whether a later ``run`` leaves such a task alone (``rerun`` can still ask for it)."""
        return self in FINAL_WHYS

    @property
    def is_the_providers_fault(self) -> bool:
        """Whether it counts towards ``stop.failures_in_a_row``."""
        return self not in _NOT_THE_PROVIDERS_FAULT


CHARGED_WHYS: frozenset[str] = frozenset(
    {Why.BAD_REPLY, Why.BAD_IMAGE, Why.NO_IMAGE, Why.TOO_LARGE}
)
"""Reasons that come with a whole reply, which the provider may charge for."""

FINAL_WHYS: frozenset[str] = frozenset({Why.REFUSED, Why.REJECTED, Why.TOO_LARGE})
"""Reasons after which a later ``run`` leaves a task alone, as members and as words."""

_NOT_THE_PROVIDERS_FAULT = FINAL_WHYS | {Why.NO_IMAGE}

ANSWER_WHYS: frozenset[str] = FINAL_WHYS | {Why.BAD_REPLY, Why.BAD_IMAGE, Why.NO_IMAGE}
"""Reasons that say what became of a request: the next one for the same task is a new one."""


class Keep(StrEnum):
    """Which images of a reply that carries several are kept."""

    ALL = "all"
    FIRST = "first"
    LAST = "last"


class Secret:
    """An API key that cannot be printed by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hold ``value``; only :meth:`reveal` gives it back."""
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the one place that puts it on the wire."""
        return self._value

    def masked_in(self, text: str) -> str:
        """``text`` with every occurrence of the key replaced."""
        return text.replace(self._value, "***") if self._value else text

    def __repr__(self) -> str:
        """Never the key."""
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Never the key, whatever the width."""
        return format(repr(self), spec)

    def __copy__(self) -> Secret:
        """The same secret: there is one place that holds it."""
        return self

    def __deepcopy__(self, _: object) -> Secret:
        """The same secret: there is one place that holds it."""
        return self

    def __getstate__(self) -> Never:
        """Refuse: what is pickled goes to a file or another process."""
        raise TypeError("a key is never pickled: pass on the name of its variable instead")

    def __reduce_ex__(self, _: object) -> Never:
        """Refuse, see :meth:`__getstate__`."""
        self.__getstate__()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An input image: an absolute path with the SHA-256 of what lies there, or an https URL.

    A URL is handed on as it is and has no ``sha256``.
    """

    source: str
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """What a task's id takes in: the content where it is known, not its name."""
        return self.sha256 or self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request to be made: the unit of planning, retry and record.

    ``id`` hashes what is asked. ``index`` numbers the combination of row and matrix cell from 0,
    ``sample`` the wanted images of one combination from 0. ``vars`` holds the matrix axes,
    ``meta`` the row's other columns (its own id under ``id``), both as they were written.
    ``references`` are sent after the text, in this order.
    """

    id: str
    index: int
    sample: int
    prompt: str
    model: str
    aspect_ratio: str | None = None
    image_size: str | None = None
    seed: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    keep: Keep = Keep.ALL
    vars: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What goes out for one attempt: a path below the base URL and a JSON body.

    Where ``more`` follows, ``body`` is only the beginning of the JSON. A reference in there stands
    for its image as a data URL, which the transport puts in as it sends: it is in no body.
    ``headers`` go out beside those of every request.
    """

    path: str
    body: bytes
    is_streamed: bool
    more: tuple[bytes | Reference, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What comes back: the head at once, the body in pieces as they arrive.

    ``headers`` has lower-case names. ``arrived_at`` is when the head came, in seconds since the
    epoch, for hints given as dates. ``body`` raises :class:`pipeline.core.ports.Broken`.
    """

    status: int
    headers: Mapping[str, str]
    arrived_at: float
    body: AsyncIterator[bytes]


class Part(Protocol):
    """A file being written that has no name yet; it is kept or discarded as a whole."""

    def write(self, piece: bytes) -> None:
        """Append ``piece``; raises :class:`pipeline.errors.DiskTrouble`."""

    def discard(self) -> None:
        """Remove it; harmless when it was kept or removed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image whose bytes were checked; they lie in ``part`` until the store keeps them.

    ``file`` is where they are kept, relative to the output folder. ``media_type`` follows the
    bytes, not the label they came with; ``sha256`` is hexadecimal.
    """

    part: Part
    media_type: str
    width: int
    height: int
    n_bytes: int
    sha256: str
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A limit that the headers of a reply tell, its unit known: requests a minute."""

    per_minute: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reply says beside its images. ``text`` and ``detail`` hold no base64, no key.

    ``warnings``: what is odd about a reply that was taken all the same, a sentence each.
    ``limit``: how fast the provider lets requests in, where it says so.
    """

    text: str | None = None
    detail: str | None = None
    served_model: str | None = None
    request_id: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()
    limit: RateLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt without image: a row of the fault table, filled in.

    ``retry_after_s``: the server's hint, seconds from now. ``stop`` ends the whole run: the task
    is then in no line and stays owed; ``n_tries_before_stop`` more tries are allowed first, which
    cost no attempt. ``is_of_the_model``: a job of several models goes on without this one.
    """

    why: Why
    answer: Answer = field(default_factory=Answer)
    retry_after_s: float | None = None
    is_maybe_billed: bool = False
    stop: Stop | None = None
    is_of_the_model: bool = False
    n_tries_before_stop: int = 0

    @property
    def is_unpriced(self) -> bool:
        """Whether it was answered in a way that may have cost something, and nobody told how much.

        An error costs nothing; a reply without a usable image does. A refusal does where the model
        was asked at all, which its tokens show.
        """
        if self.is_maybe_billed or self.answer.cost_usd is not None:
            return False
        return self.why in CHARGED_WHYS or (self.why is Why.REFUSED and bool(self.answer.usage))

    @property
    def is_unbilled_fault(self) -> bool:
        """Whether it is the provider's fault, cost nothing, and leaves the run going."""
        is_billed = self.is_maybe_billed or self.is_unpriced or bool(self.answer.cost_usd)
        return self.why.is_the_providers_fault and not is_billed and self.stop is None

    @property
    def is_answer(self) -> bool:
        """Whether it says what became of the request, so that nothing of it is left open."""
        return self.why in ANSWER_WHYS and not self.is_maybe_billed


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a task met before, over all runs of its folder.

    ``n_answers``: how many of its requests were answered, by images or by what is wrong.
    ``is_open``: one that left since then was never answered, and may have been billed.
    """

    n_answers: int = 0
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a task went. Instants are UTC, ISO 8601 with milliseconds and ``Z``.

    ``started_at``: its first attempt left; ``finished_at``: its last one ended; ``latency_s``: how
    long that last one took. ``cost_usd`` adds up all attempts, None where none told its cost;
    ``n_maybe_billed`` counts the attempts that left and were never answered, ``n_unpriced`` those
    that were answered, may have cost something, and did not tell what.
    """

    attempts: int
    started_at: str
    finished_at: str
    latency_s: float
    cost_usd: float | None
    provider: str
    n_maybe_billed: int = 0
    n_unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A task that has its images."""

    task: Task
    images: tuple[Image, ...]
    answer: Answer
    course: Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A task that was given up, for now or for good (see :attr:`Why.is_final`)."""

    task: Task
    why: Why
    answer: Answer
    course: Course


Outcome = Made | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the store gives back for an outcome: the record as it stands on disk."""

    outcome: Outcome
    record: Mapping[str, Any]

    @property
    def files(self) -> tuple[str, ...]:
        """The images' paths, relative to the output folder."""
        return tuple(image["file"] for image in self.record["images"])
