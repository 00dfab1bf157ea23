"""The search for keys and base64 that ends every session of tests finds what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import Ended
from leaks import leaks_below, leaks_in

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-" + "found-0123456789"  # in two parts, so that this file is no leak itself
MARK = ";base" + "64,"


@pytest.mark.parametrize("text", [KEY, f"Bearer {KEY}.", f'"data:image/png{MARK}iVBOR"', "SK-ABC9"])
def test_a_leak_is_found(text: str) -> None:
    assert leaks_in(text)
    assert leaks_in(text.encode())


@pytest.mark.parametrize("text", ["task-12345", "risk-free", "a sk- b", "base64, they said", ""])
def test_a_word_is_no_leak(text: str) -> None:
    assert not leaks_in(text)


def test_the_first_command_that_says_a_key_fails_its_test() -> None:
    with pytest.raises(AssertionError):
        Ended(code=0, out="", err=f"the key {KEY} is wrong")


@pytest.mark.parametrize(
    "name",
    [
        "deep/out/manifest.jsonl",
        "deep/out/job.yaml",
        "deep/out/images/000/1.png",
        "deep/out/.state/parts/1.1.0",
        "deep/out/.state/journal.jsonl",
        ".cache/imagebatch/models-1.json",
    ],
)
@pytest.mark.parametrize("leak", [KEY, MARK])
def test_a_file_of_ours_with_a_leak_is_named(tmp_path: Path, name: str, leak: str) -> None:
    for one in ("deep/out/manifest.jsonl", name):
        (tmp_path / one).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one).write_text("{}\n")
    assert leaks_below(tmp_path) == []
    (tmp_path / name).write_bytes(b"\x00" + leak.encode() + b" and more\n")
    try:
        assert leaks_below(tmp_path) == [f"{tmp_path / name}: {leak}"]
    finally:
        (tmp_path / name).unlink()  # or the whole session ends with it


def test_what_a_test_wrote_for_the_tool_to_read_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text(f"# {KEY}\n")
    (tmp_path / "key.txt").write_text(KEY)
    assert leaks_below(tmp_path) == []
