"""A record holds everything that was sent, and a line can hold every record."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeping import course, failed, made, task

from pipeline.core.model import Answer, Failed, Keep, Task, Why
from pipeline.store.record import line_of, record_of, task_of

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
_JSON = st.recursive(_LEAF, lambda one: st.lists(one) | st.dictionaries(_TEXT, one), max_leaves=8)
_COLUMNS = st.dictionaries(_TEXT, _JSON, max_size=4)
_TASKS = st.builds(
    Task,
    id=_TEXT,
    index=st.integers(0, 10**9),
    sample=st.integers(0, 10_000),
    prompt=_TEXT,
    model=_TEXT,
    aspect_ratio=st.none() | _TEXT,
    image_size=st.none() | _TEXT,
    seed=st.none() | st.integers(0, 2**53),
    params=_COLUMNS,
    keep=st.sampled_from(Keep),
    vars=_COLUMNS,
    meta=_COLUMNS,
)


@given(_TASKS)
def test_a_task_comes_back_from_its_line_as_it_was(of: Task) -> None:
    line = line_of(record_of(made(of), files=[], run="r"))
    assert task_of(orjson.loads(line)) == of
    assert line.count(b"\n") == 1


def test_the_fields_stand_in_the_order_of_the_contract() -> None:
    record = record_of(failed(task()), files=[], run="r")
    assert " ".join(record) == (
        "id status why index sample prompt model served_model params vars meta images text detail "
        "attempts request_id usage cost_usd provider started_at finished_at latency_s run "
        "aspect_ratio image_size seed keep maybe_billed orphaned warnings references unpriced "
        "answers"
    )


def test_a_line_of_an_earlier_version_lacks_what_was_added_later() -> None:
    record = record_of(failed(task(3)), files=[], run="r")
    later = "aspect_ratio image_size seed keep maybe_billed orphaned warnings references"
    for added in (*later.split(), "unpriced", "answers"):
        del record[added]
    assert task_of(record) == task(3)


def test_requests_that_may_be_billed_are_counted_in_the_line() -> None:
    record = record_of(failed(task(), Why.LOST, n_maybe_billed=2), files=[], run="r")
    assert (record["status"], record["why"], record["maybe_billed"]) == ("failed", "lost", 2)


@pytest.mark.parametrize("payload", ["A" * 1024, "iVBORw0KGgo" * 1000 + "==", "a_-" * 500])
def test_a_payload_in_text_or_detail_is_cut_out(payload: str) -> None:
    said = Answer(text=f"here: {payload} !", detail=payload)
    outcome = Failed(task=task(), why=Why.BAD_REPLY, answer=said, course=course())
    record = record_of(outcome, files=[], run="r")
    assert (record["text"], record["detail"]) == ("here: … !", "…")


def test_long_ordinary_text_is_kept() -> None:
    text = "a sunset over mountains, " * 200
    outcome = Failed(task=task(), why=Why.NO_IMAGE, answer=Answer(text=text), course=course())
    assert record_of(outcome, files=[], run="r")["text"] == text


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ("lone \ud800 surrogate", "lone � surrogate"),
        (2**80, 2**80),
        ({1: float("inf"), "a\udfff": ("x", None, True)}, {"1": None, "a�": ["x", None, True]}),
    ],
)
def test_what_strict_json_cannot_say_is_replaced_and_never_an_error(odd: Any, said: Any) -> None:
    line = line_of({"value": odd, "also": "\ud83d\ude00" if isinstance(odd, dict) else ""})
    assert b"NaN" not in line
    assert b"Infinity" not in line
    value = orjson.loads(line)["value"]
    assert value == said or isinstance(said, int)
    line.decode()
