"""Reads one reply as it arrives: bytes to pieces of images, and at the end the verdict.

It knows bytes, JSON documents and events; what they mean it asks a dialect's :class:`Meaning`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.core.model import Answer, Failure, Reply, Why
from pipeline.core.ports import Broken, Found, Sighting
from pipeline.provider.complaint import complaint_of
from pipeline.provider.documents import parsed
from pipeline.provider.extract import Scanner
from pipeline.provider.faults import Complaint, failure_of, failure_of_break
from pipeline.provider.hints import wait_asked_for
from pipeline.provider.image import Inspector, Look
from pipeline.provider.mend import mended
from pipeline.provider.oddities import lost_image_in
from pipeline.provider.picture import PictureReader, sighting_of
from pipeline.provider.rates import limit_told
from pipeline.provider.redaction import (
    LONGEST_KEY,
    masked,
    named,
    of_usage,
    redacted,
    without_payload,
)
from pipeline.provider.remarks import remarks_on
from pipeline.provider.sse import DONE, Events
from pipeline.provider.values import MOST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pipeline.core.model import Task

MOST_TEXT_BYTES = 8 * 1024 * 1024
"""The most a document, or one event of a stream, may hold beside its images."""
MOST_STREAM_BYTES = 32 * 1024 * 1024
"""The most that all events of a stream may hold beside their images."""
MOST_IMAGES = 100
"""Images that are taken from one reply; what comes behind them is left where it is."""
_LONGEST_PAGE = 500
_MOST_LINES = 20_000  # of one event
_ONLY_LINKED = (
    "the reply gives the address of an image in its place: `remote_images: true` in the profile "
    "follows it"
)


class Meaning(Protocol):
    """What a dialect gathers from the parsed documents of one reply.

    ``labels`` are the types some images came with, in lower case, by their numbers.
    """

    text: str
    error: dict[str, Any] | None
    finish: set[str]
    labels: dict[int, str]
    n_images_named: int
    served_model: str | None
    request_id: str | None
    usage: dict[str, Any]
    cost_usd: float | None

    @property
    def runs(self) -> Collection[int]:
        """The numbers of the images, each once, in order."""

    @property
    def links(self) -> Sequence[str]:
        """Addresses, absolute or relative, that stand in the place of images."""

    def take(self, document: dict[str, Any]) -> None:
        """Take in one document: the whole reply, or one event of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a profile lets replies carry in the place of pixels."""

    svg: bool = False
    links: bool = False


NOTHING_ELSE = Allowed()


def _learn_nothing(_: Complaint) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the reply answers. ``learn`` is told of a complaint before it is judged.

    It returns whether the next request for ``task`` asks in another way.
    """

    task: Task
    learn: Callable[[Complaint], bool] = _learn_nothing


class ReplyReader:
    """Implements the Reader port for every dialect."""

    def __init__(
        self,
        reply: Reply,
        meaning: Meaning,
        *,
        asked: Asked,
        mask: Callable[[str], str],
        allowed: Allowed = NOTHING_ELSE,
    ) -> None:
        """``mask`` takes the key out of whatever the provider echoes."""
        self._asked = asked
        self._reply = reply
        self._meaning = meaning
        self._mask = mask
        self._allowed = allowed
        self._n_linked = 0
        self._is_mended = False
        self._scanner: Scanner | None = None
        self._events: Events | None = None
        self._start = b""
        self._text = bytearray()
        self._n_documents = self._n_garbage = self._n_bytes = 0
        self._is_flooded = False
        self._inspectors: dict[int, Inspector] = {}
        self._taken: set[int] = set()

    @property
    def request_id(self) -> str | None:
        """The id under which the provider knows this exchange, as soon as it is told."""
        headers = self._reply.headers
        told = headers.get("x-generation-id") or self._meaning.request_id
        return named(told or headers.get("x-request-id"), self._mask)

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Decoded pieces of images, each with the number of its image within the reply."""
        if self._is_flooded:
            return
        if self._scanner is None:
            # Gateways pad slow replies with blank lines: what it is shows in the first other byte.
            self._start = (self._start + chunk).lstrip(b"\xef\xbb\xbf \t\r\n")
            if not self._start:
                return
            chunk = self._begin()
        assert self._scanner
        for number, piece in self._scanner.feed(chunk):
            if number not in self._inspectors:
                self._inspectors[number] = Inspector(allows_svg=self._allowed.svg)
            worth_keeping = self._inspectors[number].feed(piece)
            if worth_keeping and self._takes(number):
                yield number, worth_keeping
        self._read_on()

    def _takes(self, number: int) -> bool:
        """Whether this image is among the first ones: every one that is taken is a file."""
        if len(self._taken) < MOST_IMAGES:
            self._taken.add(number)
        return number in self._taken

    def close(self, broken: Broken | None = None) -> Found | Failure:
        """The verdict; a reply that broke off behind a whole image still counts as found."""
        if self._scanner:
            self._scanner.close()
            self._read_on()
        for data in self._events.close() if self._events else [bytes(self._text)]:
            self._take_last(data)
        self._meaning.error = masked(self._meaning.error, self._mask)
        if images := self._whole_images():
            remarks = remarks_on(
                self._meaning,
                images,
                self._asked.task,
                n_garbage=self._n_garbage,
                broken="its end is missing" if self._is_mended and not broken else broken,
            )
            warnings = tuple(redacted(self._mask(remark)) for remark in remarks)
            return Found(images=images, answer=replace(self._answer(), warnings=warnings))
        if self._allowed.links and self._meaning.links and not (self._meaning.error or broken):
            # A link may be told of; one that held the key would tell of that.
            links = tuple(dict.fromkeys(map(self._mask, self._meaning.links)))
            return Found(images=(), answer=self._answer(), links=links)
        return self._failure(broken)

    def linked(self, reply: Reply) -> PictureReader:
        """A reader for what stands at a link; its image gets a number of its own."""
        self._n_linked += 1
        number = (self._scanner.n_runs if self._scanner else 0) + self._n_linked
        return PictureReader(reply, number, allows_svg=self._allowed.svg)

    def _begin(self) -> bytes:
        chunk, self._start = self._start, b""
        is_document = chunk[:1] in b'{["<0123456789-tfn'
        self._events = None if is_document else Events()
        self._scanner = Scanner(is_lines=not is_document)
        return chunk

    def _read_on(self) -> None:
        assert self._scanner
        skeleton = self._scanner.take_skeleton()
        if self._events:
            for data in self._events.feed(skeleton):
                self._take(data)
            held = self._events.n_bytes_held
        else:
            self._text += skeleton
            held = len(self._text)
        self._n_bytes += len(skeleton)
        if held > MOST_TEXT_BYTES or self._n_bytes > MOST_STREAM_BYTES:
            self._is_flooded = True
            self._text.clear()
            self._events = Events() if self._events else None

    def _take(self, data: bytes) -> None:
        if not data.strip() or data.strip() == DONE:
            return
        whole = parsed(data)
        # Some servers leave out the blank line between events.
        documents = [whole] if whole is not None else map(parsed, data.split(b"\n", _MOST_LINES))
        for document in documents:
            # Google's errors come as a list of one.
            one = document[0] if isinstance(document, list) and document else document
            if isinstance(one, dict):
                self._n_documents += 1
                self._meaning.take(one)
            else:
                self._n_garbage += 1

    def _take_last(self, data: bytes) -> None:
        """Take in what came last; where it broke off behind a whole image, up to there."""
        n_documents = self._n_documents
        self._take(data)
        if self._n_documents > n_documents or not any(map(self._sighting, self._inspectors)):
            return
        if whole := mended(data):
            self._take(whole)
            self._is_mended = self._n_documents > n_documents
            self._n_garbage -= self._is_mended

    def _whole_images(self) -> tuple[Sighting, ...]:
        seen: dict[str, Sighting] = {}
        for sighting in map(self._sighting, self._meaning.runs):
            if sighting:
                seen.setdefault(sighting.sha256, sighting)
        return tuple(seen.values())

    def _sighting(self, number: int) -> Sighting | None:
        look = self._look(number)
        return sighting_of(number, look) if look else None

    def _look(self, number: int) -> Look | None:
        inspector = self._inspectors.get(number)
        if inspector is None or (self._scanner and number in self._scanner.broken_runs):
            return None
        if inspector.has_type and number not in self._taken:
            return None
        return inspector.look()

    def _failure(self, broken: Broken | None) -> Failure:
        status, error = self._reply.status, self._meaning.error
        wait_s = wait_asked_for(self._reply.headers, error or {}, arrived_at=self._reply.arrived_at)
        if error is not None:
            complaint = complaint_of(error, status=status, finish=frozenset(self._meaning.finish))
            return self._refusal(complaint, wait_s)
        if not 200 <= status < 300:
            return self._refusal(self._page(), wait_s)
        if broken:
            return failure_of_break(broken.how, self._answer(str(broken)))
        if found_instead := self._found_instead():
            why, detail = found_instead
            return Failure(why=why, answer=self._answer(detail))
        silence = Complaint(
            words=frozenset(self._meaning.finish), message=self._meaning.text[:_LONGEST_PAGE]
        )
        lost = lost_image_in(self._meaning.usage, self._meaning.text)
        told = ", ".join(filter(None, (lost, *sorted(self._meaning.finish - {"stop"}))))
        return failure_of(silence, self._answer(told), retry_after_s=wait_s)

    def _found_instead(self) -> tuple[Why, str] | None:
        """What is wrong with a reply that is no error; None: it is silent about images."""
        if not self._n_documents or self._is_flooded:
            return Why.BAD_REPLY, self._what_came_instead()
        if self._meaning.links and not self._meaning.runs:
            return Why.NO_IMAGE, _ONLY_LINKED
        if self._meaning.runs or self._meaning.n_images_named:
            return Why.BAD_IMAGE, self._what_is_wrong()
        return None

    def _refusal(self, complaint: Complaint, wait_s: float | None) -> Failure:
        return failure_of(
            complaint,
            self._answer(complaint.message),
            retry_after_s=wait_s,
            arrived_at=self._reply.arrived_at,
            may_differ=self._asked.learn(complaint),
        )

    def _page(self) -> Complaint:
        """A reply with an error status and no JSON error in it."""
        text = self._mask(bytes(self._text).decode("utf-8", "replace").strip())
        is_html = text.lstrip()[:1] == "<" or "html" in self._reply.headers.get("content-type", "")
        told = f"HTTP {self._reply.status}"
        where = self._reply.headers.get("location")
        if where:
            told += f" to {where}"
        elif text and not is_html:
            told += f": {text[:_LONGEST_PAGE]}"
        return Complaint(status=self._reply.status, message=told, is_html=is_html)

    def _what_came_instead(self) -> str:
        if self._is_flooded:
            most = MOST_STREAM_BYTES if self._n_bytes > MOST_STREAM_BYTES else MOST_TEXT_BYTES
            return f"more than {most} bytes beside the images"
        text = bytes(self._text).decode("utf-8", "replace").strip()
        if not text and not self._n_garbage:
            return "the reply is empty"
        return "the reply is a web page" if text.startswith("<") else "the reply is not valid JSON"

    def _what_is_wrong(self) -> str:
        for number in self._meaning.runs:
            if self._scanner and number in self._scanner.broken_runs:
                return "the image is not valid base64"
            look = self._look(number)
            if look and look.problem:
                return look.problem
        return "the reply names an image and carries none"

    def _answer(self, detail: str | None = None) -> Answer:
        meaning = self._meaning
        text = without_payload(self._mask(meaning.text))
        if len(meaning.text) >= MOST_TEXT:
            text = text[:-LONGEST_KEY]
        return Answer(
            text=text or None,
            detail=redacted(self._mask(detail), self._asked.task.prompt) if detail else None,
            served_model=named(meaning.served_model, self._mask),
            request_id=self.request_id,
            usage=of_usage(meaning.usage, self._mask),
            cost_usd=meaning.cost_usd,
            limit=limit_told(self._reply.headers),
        )
