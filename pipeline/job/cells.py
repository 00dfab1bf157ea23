"""Tables as text: lines of .csv and .tsv taken apart into cells."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"(?=\t|$)')
_LARGEST_RECORD = 4 * 1024**2


class BadCells(ValueError):
    """A record that cannot be taken apart."""


Record = tuple[int, "list[str] | BadCells"]
"""The line a record begins in, from 1, and its cells; none at all for a blank line."""


def records_of_csv(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    """Records by RFC 4180: a quoted cell may hold commas, doubled quotes and line breaks."""
    csv.field_size_limit(_LARGEST_RECORD)
    counted = _Counted(lines)
    reader = csv.reader(counted, strict=True)
    while True:
        counted.first = 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as bad:
            yield counted.first, BadCells(f"not a record of a .csv file: {_in_words(str(bad))}")
        else:
            yield counted.first, cells


_ADVICE = "a cell that holds a quote or a comma is quoted, and its own quotes are doubled"
_SAYS = {
    "unexpected end of data": "its quote is never closed",
    "new-line character": "a carriage return stands in a cell without quotes",
    "field larger": f"a cell is longer than {_LARGEST_RECORD:,} characters",
}


def _in_words(bad: str) -> str:
    says = next((says for phrase, says in _SAYS.items() if phrase in bad), bad)
    return f"{says}; {_ADVICE}"


class _Counted:
    """Lines without their numbers; ``first`` is the number of the first one since it was 0.

    A record that goes on for too long, behind a stray quote or on purpose, ends them.
    """

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.first = 0

    def __iter__(self) -> Iterator[str]:
        n_characters = 0
        for number, text in self._lines:
            n_characters = n_characters + len(text) if self.first else len(text)
            self.first = self.first or number
            if n_characters > _LARGEST_RECORD:
                raise csv.Error(f"it is longer than {_LARGEST_RECORD:,} characters")
            yield text


def records_of_tsv(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    """Records, one a line. A quote is a character like any other, unless it quotes a whole cell."""
    for number, text in lines:
        bare = text.removesuffix("\n").removesuffix("\r")
        yield number, _unquoted(bare) if '"' in bare else bare.split("\t") if bare else []


def _unquoted(text: str) -> list[str]:
    cells: list[str] = []
    at = 0
    while at <= len(text):
        if quoted := _QUOTED.match(text, at):
            cells.append(quoted[1].replace('""', '"'))
            end = quoted.end()
        else:
            end = text.find("\t", at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end])
        at = end + 1
    return cells
