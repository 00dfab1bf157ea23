"""What reaches a terminal: our words and colours, nobody else's controls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.view.wording import Style, in_json, printable, seen

if TYPE_CHECKING:
    from commands import Desk

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\u009b8m\u200b"
HIDDEN = set("\x00\x07\x08\r\x1b\x7f\x85\x9b\u061c\u200b\u200e\u2028\u202e\u2066\ufeff")


@given(st.text())
def test_whole_lines_keep_their_ends_and_our_colours_alone(text: str) -> None:
    colored = Style(is_on=True)("made 3", "green")
    told = seen(f"{text}\n{colored}")
    assert told.endswith(f"\n{colored}")
    assert told.count("\n") == text.count("\n") + 1
    assert not HIDDEN & set(told.replace("\x1b[32m", "").replace("\x1b[0m", "")) - {"\x1b"}
    told.encode()


@pytest.mark.parametrize("code", ["8", "30", "5", "38;5;0", "2J", "?25l", "0;31", "32"])
def test_no_colour_but_ours_passes(code: str) -> None:
    passes = f"\x1b[{code}m" in seen(f"a\x1b[{code}mb")
    assert passes is (code == "32")


@given(st.text())
def test_a_word_of_others_is_one_line(text: str) -> None:
    assert not (HIDDEN | {"\n"}) & set(printable(text))


@given(st.dictionaries(st.text(), st.text()))
def test_json_says_the_same_and_shows_nothing_hidden(value: dict[str, str]) -> None:
    try:
        line = json.dumps(value, ensure_ascii=False)
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(value)
    told = in_json(line)
    assert json.loads(told) == value
    assert not HIDDEN & set(told)


@pytest.mark.parametrize("color", ["always", "never"])
def test_prompts_names_and_columns_do_not_reach_a_terminal_as_they_are(
    desk: Desk, color: str
) -> None:
    rows = [{"id": f"r{EVIL}", "prompt": f"cat {EVIL} {n}", f"c{EVIL}": EVIL} for n in range(2)]
    desk.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    desk.job("{file: rows.jsonl}")
    for words in (
        ("plan", "job.yaml"),
        ("run", "job.yaml", "-v"),
        ("status", "out"),
        ("verify", "out"),
        ("rerun", "out", "--id", f"nobody{EVIL}"),
        ("run", f"no{EVIL}.yaml"),
        ("run", "job.yaml", "--set", f"nam{EVIL}e=1"),
        ("run", "job.yaml", "--provider", f"no{EVIL}"),
        ("run", "job.yaml", "--bogus", EVIL),
        ("status", f"no{EVIL}"),
        ("plan", "job.yaml", "--json"),
    ):
        ended = desk.run(*words, "--color", color)
        told = (
            (ended.out + ended.err).replace("\x1b[", "")
            if color == "always"
            else ended.out + ended.err
        )
        assert not HIDDEN & set(told), words
        assert "\x1b[2J" not in ended.out + ended.err
        assert "\x1b]" not in ended.out + ended.err


def test_a_bad_row_is_told_without_what_is_hidden_in_it(desk: Desk) -> None:
    desk.write("rows.jsonl", json.dumps({"prompt": 3, f"{EVIL}": EVIL}) + "\n" + f'{{"{EVIL}\n')
    desk.job('{file: rows.jsonl, column: "p\\e[2J"}')
    ended = desk.run("run", "job.yaml")
    assert ended.code == 65
    assert not HIDDEN & set(ended.err)
