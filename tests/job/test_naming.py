"""The naming rule: every image gets a harmless path inside the output folder."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Task
from pipeline.job.naming import Naming, is_safe_part, safe_part, slug
from pipeline.job.spec import DEFAULT_PATH
from pipeline.job.template import BadTemplate, MissingName

WEIRD = st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("./\\-~: "))


def task(**changes: Any) -> Task:
    usual = {
        "id": "0f" * 10,
        "index": 4321,
        "sample": 2,
        "prompt": "A Café, at night!",
        "model": "google/gemini",
    }
    return Task(**{**usual, **changes})


def path(text: str, image: int = 0, ext: str = "png", **changes: Any) -> str:
    return Naming.of(text).path_for(task(**changes), image, ext)


def test_the_default_path_reads_as_the_contract_shows_it() -> None:
    expected = "images/004/004321-a-cafe-at-night-" + "0f" * 10 + ".png"
    assert path(DEFAULT_PATH) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{index}}-{{sample}}.{{ext}}", "4321-2.webp"),
        ("{{model}}/{{id}}.{{ext}}", "google-gemini/" + "0f" * 10 + ".webp"),
        ("{{style}}/{{row}}.{{ext}}", "oil/city.webp"),
        ("{{district}}/{{seed}}.{{ext}}", "..Shibuya-x".lstrip(".") + "/9.webp"),
        ("a/{{id}}.png", "a/" + "0f" * 10 + ".webp"),
        ("a/{{sample:03}}", "a/002.webp"),
        ("{{image}}-{{sample}}.{{ext}}", "0-2.webp"),
    ],
)
def test_names_are_filled_in_and_made_safe(text: str, expected: str) -> None:
    meta = {"id": "city", "district": "..Shibuya/x"}
    assert path(text, ext="webp", vars={"style": "oil"}, meta=meta, seed=9) == expected


def test_further_images_of_a_reply_are_numbered_unless_the_path_does_it() -> None:
    assert [path("{{id}}.{{ext}}", image=n)[20:] for n in range(3)] == [".png", "-1.png", "-2.png"]
    assert path("{{id}}-{{image}}.{{ext}}", image=1)[20:] == "-1.png"


@pytest.mark.parametrize(
    "text",
    [
        "/abs/{{id}}.{{ext}}",
        "../{{id}}.{{ext}}",
        "a/../{{id}}",
        "a//{{id}}",
        "images/",
        "",
        "manifest.jsonl",
        "Metadata.jsonl",
        "job.yaml",
        "manifest.jsonl/{{id}}",
        "Metadata.JSONL/{{id}}.{{ext}}",
        "JOB.yaml/a/{{id}}",
        ".State/{{id}}",
        "images/{{prompt:05}}-{{id}}",
        "{{id:05}}",
        "{{slug:05}}-{{id}}",
        "{{model:05}}/{{id}}",
        "{{id}}-{{ext:05}}",
        ".state/{{id}}.{{ext}}",
        ".{{style}}/{{id}}",
        "a\\{{id}}",
        "a\u202e{{id}}",
        "{{id",
    ],
)
def test_a_path_that_can_name_no_file_inside_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        Naming.of(text)


@pytest.mark.parametrize("name", ["manifest.jsonl", "Metadata.jsonl", "JOB.YAML"])
def test_a_value_that_is_a_file_of_the_folder_itself_is_made_safe(name: str) -> None:
    assert path("{{a}}/{{sample}}", meta={"a": name}) == f"_{name}/2.png"
    assert path("{{a}}", meta={"a": name}) == f"{name}.png"
    assert path("b/{{a}}/{{sample}}", meta={"a": name}) == f"b/{name}/2.png"


@pytest.mark.parametrize("name", ["index", "sample", "image", "seed", "shard", "row", "column"])
def test_a_number_may_be_padded(name: str) -> None:
    padded = path(f"{{{{{name}:06}}}}-{{{{id}}}}", seed=9, meta={"id": 5, "column": 1.5})
    assert len(padded) == 6 + 1 + 20 + 4


def test_a_part_leaves_room_for_the_end_that_a_late_image_of_a_reply_gets() -> None:
    for size, is_fine in ((247, True), (248, False)):
        naming, longest = Naming.of("x/{{a}}{{b}}{{c}}"), {"a": "x" * 100, "b": "x" * 100}
        one = task(meta=longest | {"c": "x" * (size - 200)})
        assert len(naming.path_for(one, 0, "png")) == size + 6
        if is_fine:
            naming.check(one)
            continue
        with pytest.raises(BadTemplate, match=r"255 bytes, its end included"):
            naming.check(one)


@pytest.mark.parametrize("text", ["{{id}}.{{ext}}", "{{index}}-{{sample}}.{{ext}}"])
def test_some_paths_tell_tasks_apart_by_themselves(text: str) -> None:
    assert Naming.of(text).tells_apart


@pytest.mark.parametrize("text", ["{{index}}{{sample}}.{{ext}}", "{{index}}", "{{slug}}.{{ext}}"])
def test_other_paths_have_to_be_compared(text: str) -> None:
    assert not Naming.of(text).tells_apart


def test_the_default_path_needs_no_look_at_every_task() -> None:
    assert Naming.of(DEFAULT_PATH).is_certain


def test_a_part_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadTemplate, match="255 bytes"):
        path("{{a}}{{a}}{{a}}.{{ext}}", meta={"a": "x" * 100})


def test_a_name_the_task_lacks_is_named() -> None:
    with pytest.raises(MissingName, match="district"):
        path("{{district}}.{{ext}}")
    with pytest.raises(MissingName, match="row"):
        path("{{row}}.{{ext}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ünïcode Straße №5", "unicode-strae-no5"),
        ("東京", "image"),
        ("---", "image"),
        ("x" * 200, "x" * 80),
    ],
)
def test_a_slug_is_short_and_plain(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1"])
def test_names_of_devices_are_harmless(name: str) -> None:
    assert safe_part(name) == f"_{name}"


@given(WEIRD)
def test_every_text_becomes_one_harmless_part(text: str) -> None:
    part = safe_part(text)
    assert part not in {"", ".", ".."}
    assert not part.startswith(".")
    assert not set(part) & set('/\\:*?"<>|')
    assert len(part.encode()) <= 101
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in part)


@given(WEIRD, WEIRD)
def test_no_value_leads_out_of_the_folder(style: str, column: str) -> None:
    parts = path("{{a}}/{{b}}/{{prompt}}", vars={"a": style}, meta={"b": column}, prompt=style)
    assert len(parts.split("/")) == 3
    assert all(part and not part.startswith(".") for part in parts.split("/"))
    assert all(len(part.encode()) <= 255 for part in parts.split("/"))


@pytest.mark.parametrize("text", ["sunsets", "a b", "日本", "v1.2"])
def test_a_safe_name_is_taken_as_it_is(text: str) -> None:
    assert is_safe_part(text)


@pytest.mark.parametrize(
    "text", ["", "a/b", "..", ".x", "a\\b", "x ", "con", "a\u202eb", "x" * 201]
)
def test_a_name_that_is_no_safe_part_is_refused(text: str) -> None:
    assert not is_safe_part(text)


def test_a_seed_from_an_axis_is_named_as_it_is_sent() -> None:
    task = Task(id="0" * 20, index=0, sample=1, prompt="p", model="m", seed=8, vars={"seed": 7})
    assert Naming.of("{{seed}}-{{id}}.{{ext}}").path_for(task, 0, "png").startswith("8-")
