r"""Finds the images in a reply's bytes as they arrive and hands out decoded pieces.

A reply is a small JSON document with megabytes of base64 in a few of its strings. Copying those
as text is what costs, so they never become text here: the scanner copies everything *except*
base64 runs into a skeleton and decodes the runs as they pass. In the skeleton each run leaves a
reference (:func:`reference`), so that what remains is small JSON which a dialect can read.

A run starts behind ``base64,`` in any string, or fills a string from its start: at least
``LONG`` characters of the alphabet, or ``SHORT`` under a key that is known to hold images. It may
be split anywhere by the network and may hold escapes (``\/ \n \u002b``), percent codes, white
space and the URL-safe alphabet: clean pieces take the fast way, the rest a slower correct one.
The same scanner serves JSON documents and, with ``is_lines``, server-sent events, where a raw
line feed ends whatever string was open.
"""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from enum import Enum, auto
from typing import TYPE_CHECKING

from pybase64 import b64decode

from pipeline.provider.escapes import ESCAPE, HALF, LONGEST_ESCAPE, WITHIN, unescaped
from pipeline.provider.wrapped import goes_on

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 128
SHORT = 32
MOST_RUNS = 4_096
"""Runs that are looked for in one reply; whatever comes behind them is text."""
IMAGE_KEYS = frozenset(
    {b"b64_json", b"base64", b"data", b"image", b"image_base64", b"image_url", b"result", b"url"}
)

_ALPHABET = re.compile(rb"[A-Za-z0-9+/=_-]*")
# Where a string, a line or a run may begin or end; escapes are passed over in pairs. (Possessive
# groups would say it in one match, and Python before 3.11.5 matches them wrongly: gh-106052.)
_HALT = re.compile(rb'\\.|[\\"\n]|[bB][aA][sS][eE]64,', re.DOTALL)
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
# Strings that follow each other, too short for a run and without a data URL: most of a reply.
_ORDINARY = re.compile(
    rb'(?:[^"]*+"(?![^"]{32})[^"\\\nb]*+(?:b(?!ase64,)[^"\\\nb]*+)*")+', re.IGNORECASE
)
_STOP = re.compile(rb'["\n]|base64,', re.IGNORECASE)
_PART_OF_STOP = re.compile(rb"b(?:a(?:s(?:e(?:6(?:4)?)?)?)?)?\Z", re.IGNORECASE)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_REFERENCE = re.compile("\x00run:([0-9]{1,9})\x00")
_WHITE = b" \t\r\n"


def reference(number: int) -> str:
    """What stands for run ``number`` in the skeleton's strings, once they are parsed."""
    return f"\x00run:{number}\x00"


def references_in(text: str) -> list[int]:
    """The numbers of the runs that ``text`` refers to, in order."""
    return [int(number) for number in _REFERENCE.findall(text)]


def without_references(text: str, instead: str = "") -> str:
    """``text`` with every reference replaced."""
    return _REFERENCE.sub(instead, text) if "\x00" in text else text


class _State(Enum):
    OUTSIDE = auto()
    STRING_START = auto()
    TEXT = auto()
    RUN = auto()


class Scanner:
    """Splits the bytes of one reply into its skeleton and its decoded runs."""

    def __init__(self, *, is_lines: bool) -> None:
        """``is_lines``: server-sent events rather than one JSON document."""
        self.skeleton = bytearray()
        self.broken_runs: set[int] = set()
        self.n_runs = 0
        self._is_lines = is_lines
        self._state = _State.OUTSIDE
        self._held = b""
        self._quantum = b""
        self._is_padded = False
        self._n_in_run = 0
        self._line = 0
        self._string = b""
        self._is_key_behind = False

    def take_skeleton(self) -> bytes:
        """The skeleton since the last call; it is forgotten here."""
        taken = bytes(self.skeleton)
        self.skeleton.clear()
        return taken

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Decoded pieces, each with the number of its run (from 0)."""
        if self._held:
            chunk, self._held = self._held + chunk, b""
        at = 0
        while at < len(chunk):
            before = at, self._state
            if self._state is _State.RUN:
                at, piece = self._run(chunk, at)
                if piece:
                    yield self.n_runs - 1, piece
            elif self._state is _State.OUTSIDE:
                at = self._outside(chunk, at)
            elif self._state is _State.STRING_START:
                at = self._string_start(chunk, at)
            else:
                at = self._text(chunk, at)
            if (at, self._state) == before:
                self._held = chunk[at:]
                return

    def close(self) -> None:
        """No more bytes: what was held back for a decision goes into the skeleton."""
        self.skeleton += self._held
        self._held = b""
        if self._state is _State.RUN:
            self.broken_runs.add(self.n_runs - 1)

    # Each step below looks at ``chunk`` from ``at``, moves the state on, and returns how far it
    # got. A step that changes neither has seen too little: the rest waits for the next chunk.

    def _outside(self, chunk: bytes, at: int) -> int:
        if ordinary := _ORDINARY.match(chunk, at):
            at = ordinary.end()
            self.skeleton += ordinary[0]
            self._string = chunk[chunk.rfind(b'"', 0, at - 1) + 1 : at - 1]
            self._is_key_behind = False
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote
        between = chunk[at:end]
        self.skeleton += between
        colon, comma = between.rfind(b":"), between.rfind(b",")
        if colon != comma:
            self._is_key_behind = colon > comma
        if quote < 0:
            return end
        self.skeleton += b'"'
        self._state = _State.STRING_START
        return quote + 1

    def _string_start(self, chunk: bytes, at: int) -> int:
        key = self._string if self._is_key_behind else b""
        needed = SHORT if key in IMAGE_KEYS else LONG
        first_other = at + _n_of_alphabet(chunk, at, at + needed)
        if first_other < min(at + needed, len(chunk)) and chunk[first_other] not in b"\\%":
            self._string = b""
            self._state = _State.TEXT
            return at
        window = chunk[at : at + LONGEST_ESCAPE * needed]
        # Escapes that may stand within base64 are looked through; one cut in half is left away.
        seen = WITHIN.sub(b"/", HALF.sub(b"", window))
        n_clean = _n_of_alphabet(seen)
        if n_clean >= needed and self.n_runs < MOST_RUNS:
            self._begin_run()
        elif n_clean < len(seen) or n_clean >= needed or len(window) == LONGEST_ESCAPE * needed:
            self._string = b""
            self._state = _State.TEXT
        return at

    def _text(self, chunk: bytes, at: int) -> int:
        end = _end_of_text(chunk, at)
        self.skeleton += chunk[at:end]
        if len(self._string) < 32:
            self._string += chunk[at : min(end, at + 32)]
        stop = _STOP.match(chunk, end)
        if not stop:
            return end
        found = stop.group()
        self.skeleton += found
        if found == b'"':
            self._end_string()
        elif found != b"\n":
            if self.n_runs < MOST_RUNS:
                self._begin_run()
        elif self._is_lines:
            self._end_string()
        return stop.end()

    def _end_string(self) -> None:
        self._is_key_behind = False
        self._state = _State.OUTSIDE

    def _begin_run(self) -> None:
        self.n_runs += 1
        self._quantum = self._string = b""
        self._is_padded = False
        self._n_in_run = self._line = 0
        self._state = _State.RUN

    def _end_run(self, *, is_string_over: bool) -> bytes:
        """Decode what is left, padding it where the sender did not; leave the reference."""
        number = self.n_runs - 1
        self.skeleton += b"\\u0000run:%d\\u0000" % number
        self._state = _State.TEXT
        if is_string_over:
            self.skeleton += b'"'
            self._end_string()
        return self._decoded(self._quantum.rstrip(b"="), is_last=True)

    def _run(self, chunk: bytes, at: int) -> tuple[int, bytes]:
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote
        piece = self._clean_piece(chunk, at, end, is_last=quote >= 0)
        if piece is None and chunk.find(b"\\/", at, end) >= 0:  # as PHP and others write JSON
            plain = chunk[at:end].replace(b"\\/", b"/")
            piece = self._clean_piece(plain, 0, len(plain), is_last=quote >= 0)
        if piece is None:
            return self._odd_piece(chunk, at, end)
        if quote < 0:
            return end, piece
        return end + 1, piece + self._end_run(is_string_over=True)

    def _clean_piece(self, chunk: bytes, at: int, end: int, *, is_last: bool) -> bytes | None:
        """Decode a piece up to its last whole quantum; None: it holds more than plain base64."""
        stop = _without_padding(chunk, at, end) if is_last else end
        lead = -len(self._quantum) % 4
        body_end = at + lead + (stop - at - lead) // 4 * 4
        if self._is_padded or body_end < at + lead:
            return None
        tail = chunk[body_end:stop]
        if _n_of_alphabet(tail) < len(tail) or b"=" in tail:
            return None
        try:
            first = b64decode(self._quantum + chunk[at : at + lead], validate=True)
            rest = b64decode(memoryview(chunk)[at + lead : body_end], validate=True)
        except NotBase64:
            return None
        if chunk.find(b"=", max(at, body_end - 2), body_end) >= 0:
            return None
        self._quantum = tail
        self._n_in_run += stop - at
        return first + rest if first else rest

    def _odd_piece(self, chunk: bytes, at: int, end: int) -> tuple[int, bytes]:
        """Walk a piece with anything else in it, up to the end of the run or of the chunk."""
        clean = bytearray(self._quantum)
        over = False
        while at < end and not over:
            n = _n_of_alphabet(chunk, at, end)
            word = chunk[at : at + n]
            over = self._is_padded and bool(word.strip(b"="))
            if over:
                break
            clean += word
            at += n
            self._n_in_run += n
            self._is_padded = self._is_padded or b"=" in word
            if at == end:
                break
            length, char = self._odd(chunk, at)
            over = char is None
            if not length:
                break
            clean += char or b""
            self._n_in_run += len(char or b"")
            at += length
        self._quantum = bytes(clean)
        piece = self._whole_quanta()
        if over:
            return at, piece + self._end_run(is_string_over=False)
        if at == end < len(chunk):
            return end + 1, piece + self._end_run(is_string_over=True)
        return at, piece

    def _odd(self, chunk: bytes, at: int) -> tuple[int, bytes | None]:
        """What stands at ``at`` within a run: its length and its character.

        Length 0: the next chunk will tell. None: the run is over.
        """
        if chunk[at] in _WHITE:
            is_line_end = self._is_lines and chunk[at] == 0x0A
            return (0, None) if is_line_end else self._white(chunk, at, 1)
        if chunk[at] not in b"\\%":
            return 0, None
        escape = ESCAPE.match(chunk, at)
        if not escape:
            return 0, (b"" if len(chunk) - at < 6 else None)
        char = unescaped(escape.group())
        if char in _WHITE:
            return self._white(chunk, at, len(escape.group()))
        is_base64 = _ALPHABET.fullmatch(char) is not None
        return (len(escape.group()), char) if is_base64 else (0, None)

    def _white(self, chunk: bytes, at: int, length: int) -> tuple[int, bytes | None]:
        """As :meth:`_odd`, where ``length`` bytes of white space stand."""
        self._line = self._line or self._n_in_run
        if self._is_padded:
            return 0, None
        is_more = goes_on(chunk, at, line=self._line, before=self._n_in_run)
        if is_more is None:
            return 0, b""
        return (length, b"") if is_more else (0, None)

    def _whole_quanta(self) -> bytes:
        """Decode the whole quanta gathered, keep the rest."""
        end = len(self._quantum.rstrip(b"=")) // 4 * 4
        whole, self._quantum = self._quantum[:end], self._quantum[end:]
        return self._decoded(whole)

    def _decoded(self, clean: bytes, *, is_last: bool = False) -> bytes:
        # One character more than whole quanta cannot be padded: "A===" is no base64 either.
        padding = b"=" * (-len(clean) % 4) if is_last else b""
        try:
            return b64decode(clean.translate(_URL_SAFE) + padding, validate=True)
        except NotBase64:
            self.broken_runs.add(self.n_runs - 1)
            return b""


def _n_of_alphabet(text: bytes, at: int = 0, end: int | None = None) -> int:
    """How many bytes of ``text[at:end]`` from its start on are of the base64 alphabet."""
    match = _ALPHABET.match(text, at, len(text) if end is None else end)
    return match.end() - at if match else 0


def _end_of_text(chunk: bytes, at: int) -> int:
    """Where the text from ``at`` on stops, or may, depending on what comes next."""
    part = _PART_OF_STOP.search(chunk, max(at, len(chunk) - 6))
    end = part.start() if part else len(chunk)
    halts = _HALT.finditer(chunk, at, end)
    end = next((halt.start() for halt in halts if not _ESCAPED.fullmatch(halt[0])), end)
    is_escape = part is not None and end == part.start() - 1 and chunk[end] == 0x5C
    return len(chunk) if is_escape else end  # its letter is no beginning of anything


def _without_padding(chunk: bytes, at: int, end: int) -> int:
    """Where the base64 that ends at ``end`` ends without its padding."""
    while end > at and chunk[end - 1] == 0x3D:
        end -= 1
    return end
