"""Prompt files: what every kind gives, and what is a fault at which line."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.model import Keep
from pipeline.errors import Fault
from pipeline.job.job import Filed
from pipeline.job.rows import Row
from pipeline.job.sources import rows, spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[..., list[Any]]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(name: str, data: str | bytes, **how: Any) -> list[Any]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(rows(Filed(label=name, path=str(path), **how)))

    return read


def prompts(found: list[Any]) -> list[str]:
    return [row.prompt for row in found]


def only_fault(found: list[Row | Fault]) -> Fault:
    (fault,) = [one for one in found if isinstance(one, Fault)]
    return fault


def test_a_text_file_is_a_prompt_a_line(read: Read) -> None:
    found = read("p.txt", b"\xef\xbb\xbfone\r\n\n  \n two\xe2\x80\xa8three \nlast")
    assert prompts(found) == ["one", " two\u2028three ", "last"]
    assert [row.line for row in found] == [1, 4, 5]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.txt", ""),
        ("p.txt", "\n \n"),
        ("p.csv", ""),
        ("p.csv", "prompt\n"),
        ("p.csv", "prompt\n\n\n"),
        ("p.jsonl", "\n"),
    ],
)
def test_a_file_without_prompts_is_a_fault(read: Read, name: str, data: Any) -> None:
    assert only_fault(read(name, data)).what == "holds no prompt"


def test_a_table_gives_settings_and_keeps_its_other_columns(read: Read) -> None:
    data = (
        "id,prompt,seed,params,keep,aspect_ratio,district\n"
        'city,"a city, at ""night""",7,"{""temperature"": 1.5}",first,16:9,Shibuya\n'
        ",plain,,,,,\n"
    )
    city, plain = read("p.csv", data)
    assert city.prompt == 'a city, at "night"'
    assert city.id == "city"
    assert city.settings == {
        "seed": 7,
        "params": {"temperature": 1.5},
        "keep": Keep.FIRST,
        "aspect_ratio": "16:9",
    }
    assert city.meta == {"id": "city", "district": "Shibuya"}
    assert (plain.id, plain.settings, plain.meta) == (None, {}, {"district": ""})


def test_a_quoted_cell_may_go_over_lines_and_faults_name_the_line_it_begins_in(read: Read) -> None:
    first, second, fault = read("p.csv", 'prompt,a\n"one\ntwo\n",1\nthree,2\n"x\ny",1,1\n')
    assert (first.prompt, first.line) == ("one\ntwo\n", 2)
    assert (second.prompt, second.line) == ("three", 5)
    assert (fault.line, fault.what) == (6, "3 cells, but the header has 2")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('"BUZZ" on a wall', '"BUZZ" on a wall'),
        ('the word "BUZZ"', 'the word "BUZZ"'),
        ('"a ""quoted"" cell"', 'a "quoted" cell'),
        ('"a\tb"', "a\tb"),
        ('5" nails', '5" nails'),
        ('"unclosed', '"unclosed'),
    ],
)
def test_quotes_in_a_tsv_are_text_unless_they_quote_a_cell(
    read: Read, cell: str, expected: str
) -> None:
    (row,) = read("p.tsv", f"prompt\tn\n{cell}\t1\n")
    assert (row.prompt, row.meta) == (expected, {"n": "1"})


@pytest.mark.parametrize(
    ("name", "data", "expected", "what"),
    [
        ("p.csv", "prompt,a\nx,1\n ,1\ny,1\n", (3, "prompt"), "is blank"),
        ("p.csv", 'prompt\nx\n""\n', (3, "prompt"), "is blank"),
        ("p.csv", "prompt\nx\n\ny\n", (3, "prompt"), "is blank"),
        ("p.csv", "prompt,a\nx,1\ny\n", (3, ""), "1 cell, but the header has 2"),
        ("p.csv", "prompt,a,a\nx,1,1\n", (1, "a"), "two columns"),
        ("p.csv", "Prompt,a\nx,1\n", (1, "prompts.column"), "did you mean `Prompt`"),
        ("p.csv", b"prompt\nx\n\xff\n", (3, ""), "byte 1 is not UTF-8"),
        ("p.csv", b"prompt\nx\n\xed\xa0\xbd\n", (3, ""), "byte 1 is not UTF-8"),
        ("p.csv", 'prompt\nx\n"a" b\n', (3, ""), "quoted"),
        ("p.csv", 'prompt\nx\n"a\nb\n', (3, ""), "quoted"),
        ("p.csv", "prompt,seed\nx,1\ny,1.5\n", (3, "seed"), "whole number"),
        ("p.csv", "prompt,seed\nx,1\ny,99999999999999999999\n", (3, "seed"), "whole number"),
        ("p.csv", "prompt,params\nx,{}\ny,[]\n", (3, "params"), "JSON"),
        ("p.csv", "prompt,keep\nx,all\ny,fist\n", (3, "keep"), "did you mean `first`"),
        ("p.csv", "prompt,references\nx,\ny,[a.png\n", (3, "references"), "JSON list"),
        ("p.tsv", "prompt\ta\nx\t1\ny\t1\t2\n", (3, ""), "3 cells"),
        ("p.txt", b"x\n\n\xff\n", (3, ""), "not UTF-8"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":" "}\n', (3, "prompt"), "is blank"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":3}\n', (3, "prompt"), "must be text"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":null}\n', (3, "prompt"), "must be text"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"a":3}\n', (3, "prompt"), "is missing"),
        ("p.jsonl", '{"prompt":"x"}\n\n["x"]\n', (3, ""), "must be an object"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x"\n', (3, ""), "not JSON"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","prompt":"y"}\n', (3, "prompt"), "twice"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"\\ud800"}\n', (3, ""), "surrogate"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","a":NaN}\n', (3, ""), "no number"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","a":1e999}\n', (3, ""), "no number"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","a":' + "9" * 30 + "}\n", (3, ""), "64 bits"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"a":' + "9" * 9000 + "}\n", (3, ""), "digits"),
        ("p.jsonl", '{"prompt":"x"}\n\n' + "[" * 99999 + "\n", (3, ""), ""),
        (
            "p.jsonl",
            '{"prompt":"x"}\n\n{"prompt":"x","a":' + "[" * 300 + "]" * 300 + "}",
            (3, ""),
            "",
        ),
        ("p.jsonl", b'{"prompt":"x"}\n\n{"prompt":"\xff"}\n', (3, ""), "not UTF-8"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","seed":true}\n', (3, "seed"), "whole number"),
        ("p.jsonl", '{"prompt":"x"}\n\n{"prompt":"x","id":1.5}\n', (3, "id"), "whole number"),
        (
            "p.jsonl",
            '{"prompt":"x"}\n\n{"prompt":"x","params":{"model":"y"}}\n',
            (3, "params"),
            "model",
        ),
    ],
)
def test_a_mistake_is_a_fault_at_its_line(
    read: Read, name: str, data: str | bytes, expected: tuple[int, str], what: str
) -> None:
    fault = only_fault(read(name, data))
    assert (fault.file, (fault.line, fault.key)) == (name, expected)
    assert what in fault.what


def test_faults_of_a_row_are_all_told_and_the_others_are_still_read(read: Read) -> None:
    found = read("p.jsonl", '{"prompt":"","seed":"x"}\n{"prompt":"fine"}\n')
    assert [getattr(one, "key", None) for one in found] == ["prompt", "seed", None]


def test_a_fault_names_the_column_as_the_file_does(read: Read) -> None:
    assert only_fault(read("p.jsonl", '{"Text":""}\n', column="Text")).key == "Text"


def test_the_columns_of_prompt_and_id_can_be_chosen(read: Read) -> None:
    data = '{"Text": "x", "prompt": "other", "Name": 7, "n": [1]}\n'
    (row,) = read("p.jsonl", data, column="Text", id="Name")
    assert (row.prompt, row.id) == ("x", 7)
    assert row.meta == {"id": 7, "n": [1], "prompt": "other"}


def test_a_column_that_an_own_id_would_hide_is_a_fault(read: Read) -> None:
    fault = only_fault(read("p.csv", "prompt,id,Name\nx,1,a\n", id="Name"))
    assert (fault.line, fault.key) == (2, "id")


def test_only_so_many_rows_are_read(read: Read) -> None:
    assert prompts(read("p.txt", "a\nb\nc\n", limit=2)) == ["a", "b"]


def test_a_byte_order_mark_and_a_line_separator_are_fine(read: Read) -> None:
    (row,) = read("p.csv", b"\xef\xbb\xbfprompt,a\r\nx\xe2\x80\xa8y,1\r\n")
    assert (row.prompt, row.meta) == ("x\u2028y", {"a": "1"})
    (row,) = read("p.jsonl", b'\xef\xbb\xbf{"prompt": "x\xe2\x80\xa8y"}\n')
    assert row.prompt == "x\u2028y"


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    (fault,) = rows(Filed(label="p.txt", path=str(tmp_path / "p.txt")))
    assert str(fault) == "p.txt: cannot read the prompts: No such file or directory"


def test_standard_input_is_spooled_once_and_named_so(tmp_path: Path) -> None:
    spool(io.BytesIO(b'{"prompt": "x"}\n{"prompt": ""}\n'), tmp_path / "stdin")
    source = Filed(label="<stdin>", path="-")
    for _ in range(2):
        row, fault = rows(source, file=tmp_path / "stdin")
        assert isinstance(row, Row)
        assert row.prompt == "x"
        assert str(fault) == "<stdin>:2: prompt: is blank"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(TEXT, st.text(st.characters(exclude_categories=["Cs"]))), min_size=1))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path: Path, table: list[tuple[str, Any]]
) -> None:
    path = tmp_path / "p.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("prompt", "note"), *table])
    found: list[Any] = list(rows(Filed(label="p.csv", path=str(path))))
    assert [(row.prompt, row.meta["note"]) for row in found] == table


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(TEXT, JSON), min_size=1))
def test_every_json_value_is_kept_as_it_is(tmp_path: Path, table: list[tuple[str, Any]]) -> None:
    path = tmp_path / "p.jsonl"
    for is_ascii in (True, False):
        lines = [json.dumps({"prompt": p, "x": x}, ensure_ascii=is_ascii) for p, x in table]
        path.write_bytes("\n".join(lines).encode())
        found: list[Any] = list(rows(Filed(label="p.jsonl", path=str(path))))
        assert [(row.prompt, row.meta["x"]) for row in found] == table


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.sampled_from(["txt", "csv", "tsv", "jsonl"]), st.binary())
def test_no_bytes_make_a_reader_crash(tmp_path: Path, kind: str, data: Any) -> None:
    path = tmp_path / f"p.{kind}"
    for head in (b"", b"prompt,a\n", b"prompt\ta\n"):
        path.write_bytes(head + data)
        assert list(rows(Filed(label="p", path=str(path))))
