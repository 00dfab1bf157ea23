"""What lets a provider know a request again: the same for a second try, another after an answer."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Past, Reference, Task
from pipeline.provider.chat import Chat
from pipeline.provider.images import Images
from pipeline.provider.repeats import CACHE, CLEAR, is_cache, marked, value_of
from pipeline.provider.samples import DistinctSamples

HEADER = "Idempotency-Key"
CHAT = Chat(is_streamed=False, mask=str)

ids = st.text("0123456789abcdef", min_size=20, max_size=20)
pasts = st.builds(Past, n_answers=st.integers(0, 9), is_open=st.booleans())
tasks = st.builds(
    Task,
    id=ids,
    index=st.integers(0, 9),
    sample=st.integers(0, 3),
    prompt=st.text(min_size=1, max_size=9),
    model=st.sampled_from(["m", "n"]),
    references=st.sampled_from([(), (Reference(source="/a.png", sha256="00"),)]),
)


def value(task: Task, past: Past = Past()) -> str:  # noqa: B008 - frozen
    return value_of(CHAT.request_for(task), task, past)


@given(tasks, pasts)
def test_a_second_try_has_the_value_of_the_first(task: Task, past: Past) -> None:
    """Whether the first was lost is no part of it, so it is the same before and after a kill."""
    assert value(task, past) == value(replace(task), replace(past, is_open=not past.is_open))


@given(tasks, pasts, pasts)
def test_after_an_answer_the_value_is_another(task: Task, one: Past, other: Past) -> None:
    assert (value(task, one) == value(task, other)) is (one.n_answers == other.n_answers)


@given(tasks, tasks, pasts, pasts)
def test_two_tasks_never_share_a_value(one: Task, other: Task, now: Past, then: Past) -> None:
    if one.id != other.id:
        assert value(one, now) != value(other, then)


@given(st.lists(st.text("0123456789abcdef", min_size=20, max_size=20), unique=True), st.data())
def test_samples_of_one_prompt_never_share_a_value(ids: list[str], data: st.DataObject) -> None:
    """A sample is a task of its own, whatever it has met so far."""
    samples = [Task(id=one, index=0, sample=k, prompt="p", model="m") for k, one in enumerate(ids)]
    values = [value(sample, data.draw(pasts)) for sample in samples]
    assert len(set(values)) == len(samples)


@given(tasks, pasts)
def test_a_known_value_never_comes_with_another_body(task: Task, past: Past) -> None:
    streamed = Chat(is_streamed=True, mask=str).request_for(task)
    assert value_of(streamed, task, past) != value(task, past)


@given(tasks, pasts)
def test_a_value_is_fit_for_a_header(task: Task, past: Past) -> None:
    request = CHAT.request_for(task)
    sent = marked(HEADER, request, task, past)
    assert re.fullmatch(r"[0-9a-f]{32}", sent.headers[HEADER])
    assert replace(sent, headers=request.headers) == request


def test_every_dialect_is_marked() -> None:
    task = Task(id="0" * 20, index=0, sample=0, prompt="p", model="m")
    for dialect in ("images", "openrouter-images"):
        request = Images(dialect=dialect, is_streamed=False, mask=str).request_for(task)
        assert marked(HEADER, request, task, Past()).headers.keys() == {HEADER}


@pytest.mark.parametrize(
    ("past", "headers"),
    [
        (Past(), {CACHE: "true"}),
        (Past(is_open=True), {CACHE: "true"}),
        (Past(n_answers=1), {CACHE: "true", CLEAR: "true"}),
        (Past(n_answers=1, is_open=True), {CACHE: "true"}),
        (Past(n_answers=2), {CACHE: "true", CLEAR: "true"}),
    ],
)
def test_openrouters_cache_is_cleared_for_a_new_answer_and_read_for_a_lost_one(
    past: Past, headers: dict[str, str]
) -> None:
    task = Task(id="0" * 20, index=0, sample=0, prompt="p", model="m")
    assert marked(CACHE, CHAT.request_for(task), task, past).headers == headers
    assert marked(CACHE.lower(), CHAT.request_for(task), task, past).headers.keys() == {
        name.lower() if name == CACHE else name for name in headers
    }


def test_samples_differ_by_their_bodies_where_the_cache_is_keyed_by_them() -> None:
    samples = [Task(id=f"{k:020}", index=0, sample=k, prompt="p", model="m") for k in range(9)]
    asking = DistinctSamples(CHAT)
    assert len({asking.request_for(sample).body for sample in samples}) == 9


def test_the_cache_is_known_however_it_is_written() -> None:
    assert is_cache("x-openrouter-CACHE")
    assert not any(map(is_cache, (None, "", HEADER, CLEAR)))
