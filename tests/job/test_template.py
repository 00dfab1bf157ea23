"""The template rule: names are filled in, nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.job.template import BadTemplate, MissingName, hint, parse


def render(text: str, **values: Any) -> str:
    return parse(text).render(values)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{{prompt}}, {{style}}", {"prompt": "a fox", "style": "oil"}, "a fox, oil"),
        ("{{ prompt }}", {"prompt": "a fox"}, "a fox"),
        ("{{n:05}}", {"n": 7}, "00007"),
        ("{{n:03}}", {"n": "7"}, "007"),
        ("{{n:04}}", {"n": -7}, "-007"),
        ("{{n:05}}", {"n": 1.5}, "001.5"),
        ("{{dc:title}}", {"dc:title": "x"}, "x"),
        ("{{Art Style}}", {"Art Style": "x"}, "x"),
        ("{ {{a}} }", {"a": True}, "{ true }"),
        ("{{a}}", {"a": None}, ""),
        ("{{a}}", {"a": {"b": [1, "é"]}}, '{"b": [1, "é"]}'),
        ("plain", {}, "plain"),
    ],
)
def test_a_template_is_filled(text: str, values: dict[str, Any], expected: str) -> None:
    assert render(text, **values) == expected


def test_what_is_filled_in_is_not_a_template() -> None:
    assert render("{{prompt}}", prompt="{{style}}", style="oil") == "{{style}}"


@pytest.mark.parametrize(
    ("text", "place"),
    [("a {{b", "character 3"), ("{{}}", "character 1"), ("{{a}} {{", "character 7")],
)
def test_a_broken_template_names_the_character(text: str, place: str) -> None:
    with pytest.raises(BadTemplate, match=place):
        parse(text)


def test_an_unknown_name_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(MissingName, match=r"`stlye` \(did you mean `style`\?\)"):
        render("{{stlye}}", style="oil", prompt="x")


@pytest.mark.parametrize("value", ["x", True, None, [1]])
def test_a_width_needs_a_number(value: Any) -> None:
    with pytest.raises(BadTemplate, match="needs a number"):
        render("{{n:05}}", n=value)


def test_no_hint_is_given_where_nothing_is_close() -> None:
    assert hint("zzz", ["style", "prompt"]) == ""


@given(st.text())
def test_any_text_is_a_template_or_a_bad_one_and_never_a_crash(text: str) -> None:
    try:
        template = parse(text)
    except BadTemplate:
        return
    values = dict.fromkeys(template.names, 1)
    if "{{" not in text:
        assert template.render(values) == text


@given(st.text(), st.text())
def test_a_value_stands_in_the_text_as_it_is(before: str, value: Any) -> None:
    before = before.replace("{", "")
    assert render(before + "{{x}}", x=value) == before + value
