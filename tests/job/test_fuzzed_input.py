"""Whatever a job, a profile, a template, a path or a prompt file holds, it fails as a value."""

from __future__ import annotations

import time
import tracemalloc
import unicodedata
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs import load, surveyed
from pipeline.core.model import Keep, Task
from pipeline.errors import BadJob, BadOutput, BadProfile, BadUsage, Fault, visible
from pipeline.job.job import Filed
from pipeline.job.load import load_profile
from pipeline.job.naming import Naming
from pipeline.job.rows import Row
from pipeline.job.sources import rows
from pipeline.job.template import BadTemplate, Template, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_S = 1.0
MOST_BYTES = 64 * 1024**2
GOOD = b"""\
name: sunsets
provider: {base_url: "https://x.test/v1", model: m, headers: {X-A: b}, max_body: 3MiB}
prompts:
  - &a Generate a beautiful sunset
  - {id: city, prompt: A city, aspect_ratio: 16:9, seed: 3, params: {x: [1, {y: null}]}}
  - *a
template: "{{prompt}}, {{style}} {{sample:03}}"
matrix:
  style: [oil painting, studio photo]
  exclude: [{id: city, style: oil painting}]
  include: [{style: ukiyo-e, n: 1}]
samples: 2
image_size: 2K
output: {dir: out, path: "images/{{index:06}}-{{slug}}-{{id}}.{{ext}}"}
limits: {concurrency: 8, requests_per_minute: 60.5}
retry: {attempts: 5, max_wait: 60}
stop: {failures_in_a_row: 25}
"""
TOKENS = st.sampled_from(
    b"{{ }} { } [ ] : - ? & * ! | > % @ ` ' \" # , ~ <<: *a &a !!x .nan .inf 1e999 0x 010 yes null "
    b"true -1 0 99999999999999999999 ../ .state/ {{env}} \xff \xc0\xaf \x00 \x1b[31m \xef\xbb\xbf "
    b"\xe2\x80\xae \xed\xa0\x80 --- ... \\ud800 <text> exclude: include: matrix: provider:".split()
) | st.sampled_from([b"\n", b"\t", b" ", b"\r", b"\n  - ", b'"\\ud800"', b"[" * 70, b"\n---\n"])
PIECES = st.lists(TOKENS | st.binary(max_size=6), max_size=6).map(b"".join)
NASTY = st.text(st.characters(exclude_categories=[]), max_size=300) | st.sampled_from(
    ["..", ".", "/", "../../x", "\\", "\0", "con", ".state", "manifest.jsonl", "ü" * 300, "\ud800"]
)
QUICK = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good job with a few stretches of it replaced."""
    text = GOOD
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(PIECES) + text[end:]
    return text


def stopped_or_done(act: Callable[[], object]) -> str | None:
    """What stopped it, with its faults; within a second and 64 MiB either way."""
    tracemalloc.start()
    began = time.process_time()
    try:
        act()
    except (BadJob, BadProfile) as stop:
        return str(stop)
    except (BadUsage, BadOutput) as stop:
        return visible(str(stop))
    finally:
        took = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert took < MOST_S
        assert peak < MOST_BYTES
    return None


def check_told(told: str | None) -> None:
    """What is told can be printed, and every fault is one line."""
    unseen = {"Cc", "Cs", "Zl", "Zp"}
    for line in (told or "told").split("\n"):
        assert line
        assert unseen.isdisjoint(map(unicodedata.category, line))


def test_the_job_that_is_mutated_is_a_good_one(tmp_path: Path) -> None:
    assert surveyed(load(tmp_path, GOOD)).n_tasks == 10


@QUICK
@given(st.binary(max_size=200) | PIECES | mutated())
def test_whatever_bytes_are_a_job_it_loads_or_is_at_fault(tmp_path: Path, data: bytes) -> None:
    check_told(stopped_or_done(lambda: surveyed(load(tmp_path, data))))


@settings(QUICK, max_examples=25)
@given(mutated().map(lambda text: text[: text.index(b"\n")]) | PIECES, st.text(max_size=12))
def test_whatever_is_set_on_the_command_line_it_loads_or_is_at_fault(
    tmp_path: Path, value: bytes, key: str
) -> None:
    text = value.decode(errors="surrogateescape")
    every = (f"{key}={text}", f"{text}={key}", f"template={text}", f"params.{key}={text}", text)
    for act in (partial(load, tmp_path, GOOD, settings=(setting,)) for setting in every):
        check_told(stopped_or_done(act))


@QUICK
@given(PIECES, st.sampled_from(["base_url", "headers", "simulator", "max_body", "dialect", "x"]))
def test_whatever_bytes_are_a_profile_it_loads_or_is_at_fault(
    tmp_path: Path, piece: bytes, key: str
) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(b"model: m\n" + key.encode() + b": " + piece)
    check_told(stopped_or_done(lambda: load_profile(str(file))))


@settings(max_examples=200, deadline=None)
@given(
    st.text() | st.lists(st.sampled_from(["{{", "}}", "{", "}", "a", ":", "05", " "])).map("".join)
)
@example("{{" + " " * 200_000)
@example("{{ " * 100_000)
@example("{{a" * 100_000 + "}}")
def test_a_template_is_taken_apart_at_once_or_is_none(text: str) -> None:
    began = time.process_time()
    try:
        parsed = parse(text)
    except BadTemplate:
        assert "{{" in text
    else:
        values = dict.fromkeys(parsed.names, 7)
        filled = parsed.render(values)
        assert ("{{" in text) == any(not isinstance(piece, str) for piece in parsed.pieces)
        assert parsed.names or filled == text
    assert time.process_time() - began < MOST_S


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_filled_again(value: str, other: str) -> None:
    template = parse("<{{a}}|{{b}}>")
    assert isinstance(template, Template)
    hostile = {"a": "{{b}}" + value, "b": other}
    assert template.render(hostile) == f"<{{{{b}}}}{value}|{other}>"


def task_of(value: str) -> Task:
    return Task(
        id="0123456789abcdef0123",
        index=7,
        sample=0,
        prompt=value,
        model=value,
        aspect_ratio=None,
        image_size=None,
        seed=None,
        params={},
        keep=Keep.ALL,
        vars={"a": value},
        meta={"id": value, "b": value},
    )


PATHS = st.lists(
    st.sampled_from(["{{a}}", "{{b}}", "{{id}}", "{{index:04}}", "{{slug}}", "{{row}}"])
    | st.sampled_from(["/", ".", "..", "~", "{{model}}"])
    | st.text(st.characters(exclude_categories=[]), max_size=4)
    | st.sampled_from(["x" * 240, ".state", "manifest.jsonl", "-"]),
    min_size=1,
    max_size=8,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(PATHS, NASTY, st.sampled_from([0, 1, 99]))
@example("{{a}}/{{b}}", "..", 0)
@example("{{a}}", "manifest.jsonl", 0)
def test_no_name_leaves_the_folder_and_no_part_is_too_long(
    path: str, value: str, image: int
) -> None:
    try:
        naming = Naming.of(path)
        named = naming.path_for(task_of(value), image, "png")
    except BadTemplate:
        return
    parts = named.split("/")
    assert not PurePosixPath(named).is_absolute()
    assert all(part not in {"", ".", ".."} and not part.startswith(".") for part in parts)
    assert parts[0].casefold() not in {
        ".state",
        "manifest.jsonl",
        "job.yaml",
        "metadata.jsonl",
        "~",
    }
    assert all(len(part.encode()) <= 255 for part in parts)
    assert len(named) <= 1000
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in named)
    assert named.endswith(".png")


CELLS = st.sampled_from([b",", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b"a", b"\xff", b"\x00"])
HEADS = st.sampled_from([b"prompt,seed,params\n", b"prompt\tid\n", b'{"prompt": "a"}\n', b""])
JSONS = st.sampled_from(
    [b'{"prompt":', b"}", b"{", b"[" * 65, b'"', b'"a"', b'"\\ud800"', b"NaN", b"1e999", b",", b":"]
)
LINES = st.builds(
    lambda head, cells: head + b"".join(cells),
    HEADS,
    st.lists(CELLS | JSONS | st.binary(max_size=4), max_size=40),
)


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl"])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=LINES)
def test_whatever_bytes_are_a_prompt_file_they_are_rows_or_faults(
    tmp_path: Path, kind: str, data: bytes
) -> None:
    file = tmp_path / f"p.{kind}"
    file.write_bytes(data)
    found = list(rows(Filed(label=file.name, path=str(file), column="prompt", id=None, limit=None)))
    assert found
    for one in found:
        if isinstance(one, Fault):
            assert one.line <= data.count(b"\n") + 1
            check_told(str(one))
        else:
            assert isinstance(one, Row)
            assert one.prompt.strip()
            orjson.dumps([one.prompt, dict(one.meta), one.id])
