"""A YAML document as plain values, with the place of every key, and guards on the way.

Plain words are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema),
as editors read them: ``16:9`` and ``2026-11-22`` are text. What older readers take for something
else (``yes``, ``off``, ``010``) is a fault that says how to write it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.errors import Fault
from pipeline.job.job import Place
from pipeline.job.template import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.job.mistakes import Path

MOST_DEPTH = 64
MOST_ALIASED = 100_000
MOST_VALUES = 250_000
"""As many values as a document may hold: with their places, they take some 100 MB."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {
    spelled: value
    for word, value in (("true", True), ("false", False))
    for spelled in (word, word.capitalize(), word.upper())
}
_DOUBTFUL = {"yes": True, "on": True, "no": False, "off": False}
_SWITCHES = frozenset({"adaptive", "stream", "remote_images", "svg", "hedge", "allow_http"})
_SWITCH_PARENTS = frozenset({(), ("limits",), ("params",), ("provider",), ("provider", "limits")})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)|0x[0-9a-fA-F]+|0o[0-7]+")
_LED_BY_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1  # what JSON readers can be trusted with
_MOST_DIGITS = 400


class Event(NamedTuple):
    """One thing a YAML parser says. ``line`` and ``col`` count from 1.

    ``document`` opens a document; ``end`` closes a list or mapping; ``text`` is a scalar's, or the
    anchor an ``alias`` stands for. ``is_plain``: the scalar had no quotes.
    """

    kind: Literal["document", "scalar", "list", "mapping", "end", "alias"]
    line: int
    col: int
    text: str = ""
    is_plain: bool = False
    anchor: str | None = None
    tag: str | None = None


class Unreadable(Exception):
    """The document cannot be read to its end."""

    def __init__(self, line: int, col: int, what: str) -> None:
        """``line`` and ``col`` count from 1, 0 where the place is unknown."""
        super().__init__(what)
        self.line, self.col, self.what = line, col, what


@dataclass(slots=True, kw_only=True)
class Document:
    """``value`` is None, a bool, number, text, list or dict; ``places`` where each key stands."""

    file: str
    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def place_of(self, path: Path) -> Place:
        """The place of the value at ``path``, or of the nearest one above it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(self.file, 1, 1))

    def fault(self, path: Path, what: str) -> Fault:
        """A fault of the value at ``path``."""
        return Fault(*self.place_of(path), ".".join(map(str, path)), what)


def build(events: Iterator[Event], file: str, *, most_values: int = MOST_VALUES) -> Document:
    """The one document in ``events``; what is wrong but can be passed over is in ``faults``.

    Raises :class:`Unreadable`, also for nesting, aliases, values and tags beyond the guards.
    """
    builder = _Builder(events, file, most_values)
    if next(events, None) is None:
        raise Unreadable(1, 1, "the file is empty")
    builder.document.value = builder.value(next(events), (), 0)
    if (more := next(events, None)) is not None:
        raise Unreadable(more.line, more.col, "a second document begins: one file holds one")
    return builder.document


class _Builder:
    """Folds events into values; recursion is as deep as the document, at most 64."""

    def __init__(self, events: Iterator[Event], file: str, most_values: int) -> None:
        self._events = events
        self._most_values = most_values
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._n_built = 0
        self._n_aliased = 0
        self.document = Document(file=file)

    def value(self, event: Event, path: Path, depth: int) -> Any:
        """The value that begins with ``event``."""
        self._guard(event, depth)
        before = self._n_built
        self._n_built += 1
        if event.kind == "alias":
            return self._aliased(event)
        if event.kind == "list":
            value: Any = self._list(path, depth)
        elif event.kind == "mapping":
            value = self._mapping(path, depth)
        else:
            value = self._scalar(event, path)
        if event.anchor:
            self._anchors[event.anchor] = value, self._n_built - before
        return value

    def _guard(self, event: Event, depth: int) -> None:
        if event.tag is not None:
            raise _tagged(event)
        if depth >= MOST_DEPTH and event.kind in {"list", "mapping"}:
            raise Unreadable(event.line, event.col, f"nested more than {MOST_DEPTH} levels deep")
        if self._n_built >= self._most_values:
            what = f"more than {self._most_values:,} values: keep long lists in their own file"
            raise Unreadable(event.line, event.col, what)

    def _aliased(self, event: Event) -> Any:
        if event.text not in self._anchors:
            what = f"`*{event.text}` stands for nothing that is complete above it"
            raise Unreadable(event.line, event.col, what)
        value, n_nodes = self._anchors[event.text]
        self._n_built += n_nodes
        self._n_aliased += n_nodes
        if self._n_aliased > MOST_ALIASED:
            what = f"aliases repeat more than {MOST_ALIASED:,} values: write them out"
            raise Unreadable(event.line, event.col, what)
        return value

    def _list(self, path: Path, depth: int) -> list[Any]:
        values: list[Any] = []
        while (event := next(self._events)).kind != "end":
            here = (*path, len(values))
            self.document.places[here] = Place(self.document.file, event.line, event.col)
            values.append(self.value(event, here, depth + 1))
        return values

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while (event := next(self._events)).kind != "end":
            key = self._key(event)
            here = (*path, key)
            place = Place(self.document.file, event.line, event.col)
            if is_repeated := key in values:
                first = self.document.places[here].line
                what = f"is given twice, first in line {first}: keep one"
                self.document.faults.append(Fault(*place, ".".join(map(str, here)), what))
            else:
                self.document.places[here] = place
            value = self.value(next(self._events), here, depth + 1)
            if not is_repeated:
                values[key] = value
        return values

    @staticmethod
    def _key(event: Event) -> str:
        if event.tag is not None:
            raise _tagged(event)
        if event.kind != "scalar":
            what = "a key is plain text; text that begins with `{` or `[` goes in quotes"
            raise Unreadable(event.line, event.col, what)
        if event.text == "<<" and event.is_plain:
            raise Unreadable(event.line, event.col, "`<<` is not read: write the keys out")
        return event.text

    def _scalar(self, event: Event, path: Path) -> Any:
        if not event.is_plain:
            return event.text
        text = event.text
        if text.lower() in _DOUBTFUL:
            return self._doubtful(event, path)
        if _NO_NUMBER.fullmatch(text):
            self._note(path, f"{text} is no number to count with")
        elif _LED_BY_ZERO.fullmatch(text):
            what = f"`{text}` is read in different ways: leave out the zeros in front, or quote it"
            self._note(path, what)
        else:
            value = plain(text)
            if _is_sound(value):
                return value
            what = f"{shown(text)[1:-1]} is too large a number; where text is meant, quote it"
            self._note(path, what)
        return 0

    def _doubtful(self, event: Event, path: Path) -> bool:
        value = _DOUBTFUL[event.text.lower()]
        if not (path and path[-1] in _SWITCHES and path[:-1] in _SWITCH_PARENTS):
            word = "true" if value else "false"
            what = f"`{event.text}` is read in different ways: put it in quotes, or write {word}"
            self._note(path, what)
        return value

    def _note(self, path: Path, what: str) -> None:
        self.document.faults.append(self.document.fault(path, what))


def _tagged(event: Event) -> Unreadable:
    tag = (event.tag or "").replace("tag:yaml.org,2002:", "!!")
    return Unreadable(event.line, event.col, f"the tag `{tag}` is not read: remove it")


def plain(text: str) -> Any:
    """What unquoted ``text`` means: null, true or false, a number, or itself."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if len(text) > _MOST_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def is_text(text: str) -> bool:
    """Whether unquoted ``text`` is certainly read as itself."""
    return (
        plain(text) is text
        and text.lower() not in _DOUBTFUL
        and not _NO_NUMBER.fullmatch(text)
        and not _LED_BY_ZERO.fullmatch(text)
    )


def _is_sound(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or _LOWEST <= value <= _HIGHEST


def with_setting(document: Document, path: Path, value: Any, place: Place) -> None:
    """Put ``value`` at ``path``, as if it stood there; raises ValueError where nothing can."""
    if len(path) > MOST_DEPTH:
        raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
    mapping = document.value = dict(document.value)
    for depth, key in enumerate(path[:-1]):
        inner = mapping.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise ValueError(f"`{'.'.join(map(str, path[: depth + 1]))}` holds no keys of its own")
        own = dict(inner or {})
        mapping[key] = own
        mapping = own
        if inner is None:
            document.places.setdefault(path[: depth + 1], place)
    mapping[path[-1]] = value
    for known in [p for p in document.places if p[: len(path)] == path]:
        del document.places[known]
    document.places[path] = place


def places_by_key(places: Mapping[Path, Place]) -> dict[str, Place]:
    """The places of settings by their dotted keys, without those of single prompts."""
    return {
        ".".join(map(str, path)): place
        for path, place in places.items()
        if len(path) < 2 or path[0] != "prompts" or isinstance(path[1], str)
    }
