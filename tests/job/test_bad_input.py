"""Whatever is wrong with what a person wrote is told at its place, before anything is sent."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import pytest
from bad_input import CASES, Bad, Link
from beside import in_a_thread
from commands import ROOT, Desk

from pipeline import cli
from pipeline.core.simulation import Simulation
from pipeline.provider.simulator.server import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.provider.simulator.server import Listening

_LAST = re.compile(
    r"(1 fault|[\d,]+ faults(, the first 20 shown)?); nothing was sent, nothing was written"
)
# What a parser, a validator or Python would say to a programmer.
_JARGON = re.compile(
    r"Traceback|a bug of ours|pydantic|Errno|Error\b|Exception|NoneType|object at 0x"
    r"|(?<![!/.])\b(?:str|int|dict)\b|validat|(?i:input should)|\{(?:input|at|[gl][te])\}"
)
_PARSER = functools.cache(cli._parser)  # it is the same for every case, and dear to make
_UNPRINTABLE = re.compile(r"[^\n -~\u00a1-\u200a\u2010-\u2027\u2030-\u205f\u3000-\ud7ff]")


@pytest.fixture(scope="module")
def there() -> Iterator[Listening]:
    """The provider that nothing here may ever reach."""
    with in_a_thread(lambda: listening(Simulation(latency_s=0))) as server:
        yield server


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """A desk in a folder below the one that is watched, so that a way out of it would show."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr(cli, "_parser", _PARSER)
    return Desk(folder, monkeypatch, capsys)


@pytest.mark.parametrize("bad", CASES, ids=[str(case) for case in CASES])
def test_bad_input_is_told_at_its_place_and_nothing_is_sent_or_written(
    home: Desk, there: Listening, tmp_path: Path, bad: Bad
) -> None:
    _lay_out(home, there.base_url, bad)
    before = _everything_in(tmp_path)
    ended = home.run(*bad.command, stdin=bad.stdin)
    told = ended.err.replace(str(tmp_path), "{root}").replace(there.base_url, "{url}")
    told = told.replace(str(ROOT), "{us}")
    *lines, last = told.splitlines()
    if bad.is_faulty:
        assert _LAST.fullmatch(last), told
    else:
        lines = told.splitlines()[:1]
    said = "\n".join(lines)
    assert said == bad.told or (bad.begins and said.startswith(bad.told))
    assert ended.code == bad.code
    assert not ended.out
    assert not _JARGON.search(told)
    assert not _UNPRINTABLE.search(told)
    assert there.bill()["requests"] == 0
    assert _everything_in(tmp_path) == before


def _lay_out(home: Desk, base_url: str, bad: Bad) -> None:
    home.provider(base_url)
    home.environ(**bad.environ)
    for name, content in bad.files.items():
        path = home.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.to)
        else:
            data = content if isinstance(content, bytes) else content.encode()
            path.write_bytes(data.replace(b"{url}", base_url.encode()))


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _everything_in(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if _is_plain_file(path) else None
        for path in sorted(folder.rglob("*"))
    }
