"""SECURITY.md names tests that there are, and every test of this folder."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_NAMED = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")
_SOURCES = re.compile(r"`((?:pipeline|\w+)/[\w/]+\.py)`")
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def text() -> str:
    return (ROOT / "SECURITY.md").read_text()


def test_every_test_that_is_named_is_there() -> None:
    named = _NAMED.findall(text())
    assert len(named) > 60
    missing = [
        f"{file}::{test}"
        for file, test in named
        if test not in _TEST.findall((ROOT / "tests" / file).read_text())
    ]
    assert missing == []


def test_every_module_that_is_named_is_there() -> None:
    sources = [
        one.removeprefix("pipeline/") for one in _SOURCES.findall(text()) if "test_" not in one
    ]
    assert sources
    assert [one for one in sources if not (ROOT / "pipeline" / one).is_file()] == []


def test_every_row_names_a_test() -> None:
    table = text().partition("## What is not defended")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert [row for row in rows if not _NAMED.search(row)] == []
