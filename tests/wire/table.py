"""The table of cases as ``docs/wire.md`` holds it; run as a program it writes the file anew."""

from __future__ import annotations

from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cases
import cases_transport

if TYPE_CHECKING:
    from harness import Case

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"
START, END = "<!-- cases: written by tests/wire/table.py -->\n", "<!-- end of cases -->\n"
_HEAD = "| case | what arrives | what we do | test |\n|---:|---|---|---|\n"


def table() -> str:
    """A line for each sentence, with the names of the tests that hold it."""
    every = sorted(
        chain(cases.CASES, cases_transport.CASES, cases_transport.LISTS),
        key=lambda case: case.number,
    )
    said = groupby(every, key=lambda case: (case.number, case.arrives, case.we))
    return _HEAD + "".join(_line(*sentence, list(rows)) for sentence, rows in said)


def written_into(document: str) -> str:
    """``document`` with the table as it is now."""
    before, _, rest = document.partition(START)
    return before + START + "\n" + table() + "\n" + END + rest.partition(END)[2]


def _line(number: int, arrives: str, we: str, rows: list[Case]) -> str:
    names = f"`{rows[0].id}`" if len(rows) == 1 else f"`{rows[0].id}` and {len(rows) - 1} more"
    return f"| {number} | {_cell(arrives)} | {_cell(we)} | {names} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(written_into(DOCUMENT.read_text()))
