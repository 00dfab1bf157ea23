"""YAML, both ways: a file's text as a document with places, and a mapping as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import Fault
from pipeline.job import document as documents
from pipeline.job.document import Document, Event, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_BYTES = 1024**2
"""The largest job or profile that is read."""

# libyaml's own recursion is never used: only its events, one at a time, are.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# YAML 1.1 ends a line at these, editors and YAML 1.2 do not: they are hidden from the parser.
_BREAKS = "\u0085\u2028\u2029"
_STAND_INS = "\ufdd0\ufdd1\ufdd2"  # noncharacters, which no text has
_HIDE = str.maketrans(_BREAKS, _STAND_INS)
_SHOW = str.maketrans(_STAND_INS, _BREAKS)
_UNPRINTABLE = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]"
)

# What libyaml says of the commonest slips, and what it means.
_SAYS = {
    "cannot start any token": "text that begins with `{at}` goes in quotes",
    "unexpected end of stream": "this quote is never closed",
    "did not find expected ',' or ']'": "this `[` is never closed, or a comma is missing behind it",
    "did not find expected ',' or '}'": "this `{{` is never closed, or text in it that holds `{{`, "
    "`,` or `: ` lacks its quotes",
    "did not find expected key": "this line stands out of line with those above it: indent it as "
    "they are, or put text that holds quotes or brackets into quotes",
    "could not find expected ':'": "this line is no `key: value`: a colon and a space are missing",
    "mapping values are not allowed": "a second `: ` in one line: put the text that holds it into "
    "quotes",
}


class Faulted(Exception):
    """What a file has wrong, before it is known whose exit code that is."""

    def __init__(self, faults: list[Fault]) -> None:
        """``faults``: all of them, in the file's order."""
        super().__init__()
        self.faults = faults


def settings_in(file: str, *, example: str, larger: int = 1) -> Document:
    """The mapping in ``file``, its own ``faults`` still to be raised.

    ``example``: a setting that could stand there; ``larger``: so many times the usual size is read.
    Raises :class:`Faulted` where there is no mapping, OSError where the file cannot be read.
    """
    document = document_in(_bytes_of(file, larger * MOST_BYTES), file, larger=larger)
    if not isinstance(document.value, dict):
        what = f"must be a mapping of settings, such as `{example}`{_no_space(document.value)}"
        raise Faulted([Fault(file, 1, 1, "", what)])
    return document


def document_in(data: bytes, file: str, *, larger: int = 1) -> Document:
    """The document in ``data``, called ``file``; raises :class:`Faulted`."""
    most_values = larger * documents.MOST_VALUES
    try:
        return documents.build(_events_in(_text_of(data)), file, most_values=most_values)
    except Unreadable as bad:
        raise Faulted([Fault(file, bad.line, bad.col, "", bad.what)]) from None


def text_of(mapping: Mapping[str, Any]) -> str:
    """The YAML that reads back as ``mapping``."""
    text: str = yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return text


def _no_space(value: Any) -> str:
    is_pressed = isinstance(value, str) and re.match(r"\w+:\S", value)
    return "; a space follows the `:` of a key" if is_pressed else ""


def _bytes_of(file: str, most_bytes: int) -> bytes:
    with Path(file).open("rb") as opened:
        data = opened.read(most_bytes + 1)
    if len(data) > most_bytes:
        what = f"larger than {most_bytes:,} bytes: keep long lists in their own file"
        raise Faulted([Fault(file, 0, 0, "", what)])
    return data


def is_utf16(data: bytes) -> bool:
    """Whether this is how a text in UTF-16 begins, with its mark or without."""
    return data[:2] in {b"\xff\xfe", b"\xfe\xff"} or data[:2].count(0) == 1


def _text_of(data: bytes) -> str:
    if is_utf16(data):
        raise Unreadable(1, 0, "is UTF-16: save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = data.count(b"\n", 0, bad.start) + 1
        raise Unreadable(line, 0, "not UTF-8: save the file as UTF-8") from None
    if strange := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        raise Unreadable(line, 0, f"holds the control character {strange[0]!r}: remove it")
    return text


def _events_in(text: str) -> Iterator[Event]:
    """What the YAML parser says of ``text``; raises :class:`Unreadable`."""
    try:
        for event in yaml.parse(text.translate(_HIDE), Loader=_LOADER):
            if said := _said(event):
                yield said
    except yaml.MarkedYAMLError as bad:
        raise _unreadable(bad, text) from None


def _said(event: yaml.Event) -> Event | None:
    mark = event.start_mark
    at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    match event:
        case yaml.ScalarEvent():
            text = event.value.translate(_SHOW)
            return Event("scalar", *at, text, event.style in {"", None}, event.anchor, event.tag)
        case yaml.CollectionStartEvent():
            is_list = isinstance(event, yaml.SequenceStartEvent)
            return Event("list" if is_list else "mapping", *at, anchor=event.anchor, tag=event.tag)
        case yaml.CollectionEndEvent():
            return Event("end", *at)
        case yaml.AliasEvent():
            return Event("alias", *at, event.anchor or "")
        case yaml.DocumentStartEvent():
            return Event("document", *at)
    return None


def _unreadable(bad: yaml.MarkedYAMLError, text: str) -> Unreadable:
    """The parser's complaint; what was opened and never closed is placed where it was opened."""
    is_open = bad.context and re.search("quoted|flow|simple key", bad.context)
    mark = (bad.context_mark if is_open else None) or bad.problem_mark or bad.context_mark
    what = f"{bad.context or ''} {bad.problem}".strip()
    if not mark:
        return Unreadable(0, 0, f"not YAML: {what}")
    line = text.split("\n", mark.line + 1)[mark.line : mark.line + 1] or [""]
    at = line[0][mark.column : mark.column + 1]
    says = next((says for phrase, says in _SAYS.items() if phrase in what), what)
    says = says if at != "\t" else "a line is indented with spaces, not with tabs"
    return Unreadable(mark.line + 1, mark.column + 1, f"not YAML: {says.format(at=at)}")


def _as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if documents.is_text(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


# Writes text so that it reads back as text, and everything out however often it stands there.
_Dumper: Any = type("_Dumper", (_DUMPER,), {"ignore_aliases": lambda *_: True})
_Dumper.add_representer(str, _as_text)
