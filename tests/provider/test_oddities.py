"""What is odd about a reply, what of it may be told, and when a quota comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Task
from pipeline.provider.halts import Halt, reset_at, stop_of
from pipeline.provider.oddities import doubt_about, lost_image_in
from pipeline.provider.redaction import LONGEST_DETAIL, masked, redacted
from pipeline.provider.samples import asks_for_cache

TASK = Task(id="0" * 20, index=0, sample=0, prompt="a cat", model="m")
NOON_S = 1_795_348_800  # 2026-11-22 12:00 UTC

# Pixels of providers at 1K: OpenRouter, guides/overview/multimodal/image-generation.
HONOURED = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:4": (864, 1184),
    "4:5": (896, 1152),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
    "1:8": (352, 2928),
}


@pytest.mark.parametrize("ratio", HONOURED)
def test_a_providers_own_rounding_is_no_oddity(ratio: str) -> None:
    assert doubt_about(*HONOURED[ratio], replace(TASK, aspect_ratio=ratio)) is None


@pytest.mark.parametrize(
    ("wanted", "pixels", "told"),
    [
        ({}, (1, 1), "placeholder"),
        ({"aspect_ratio": "16:9"}, (1024, 1024), "not the ratio 16:9"),
        ({"aspect_ratio": "9:16"}, (1344, 768), "not the ratio 9:16"),
        ({"image_size": "512x512"}, (1024, 1024), "not the 512x512"),
    ],
)
def test_an_image_that_is_not_as_asked_for_is_told(
    wanted: dict[str, Any], pixels: tuple[int, int], told: str
) -> None:
    assert told in (doubt_about(*pixels, replace(TASK, **wanted)) or "")


@given(st.text(max_size=8), st.integers(0, 9999), st.integers(0, 9999))
def test_no_wish_is_too_odd_to_be_compared(wish: str, width: int, height: int) -> None:
    doubt_about(width, height, replace(TASK, aspect_ratio=wish, image_size=wish))


@pytest.mark.parametrize(
    ("usage", "text", "is_lost"),
    [
        ({"completion_tokens": 1120}, "", True),
        ({"completion_tokens": 40, "completion_tokens_details": {"image_tokens": 1290}}, "", True),
        ({"completion_tokens": 1120}, "x" * 900, False),
        ({"completion_tokens": 12}, "", False),
        (
            {"completion_tokens": 5000, "completion_tokens_details": {"reasoning_tokens": 4900}},
            "",
            False,
        ),
        ({"completion_tokens": "many", "completion_tokens_details": [1]}, "", False),
        ({}, "", False),
    ],
)
def test_tokens_of_an_image_that_did_not_come_are_noticed(
    usage: dict[str, Any], text: str, *, is_lost: bool
) -> None:
    assert (lost_image_in(usage, text) is not None) is is_lost


def test_payload_accounts_and_the_prompt_are_not_told() -> None:
    prompt = 'a "portrait" of\nsomebody'
    said = f"data:image/png;base64,{'A' * 90} {'B' * 300} user_2abcDEF0123456789 {prompt} "
    told = redacted(said + orjson.dumps({"prompt": prompt}).decode(), prompt)
    for piece in ("AAAA", "BBBB", "2abcDEF", "portrait"):
        assert piece not in told


def test_a_short_prompt_is_a_word_like_others() -> None:
    assert redacted("no cat in this category", "cat") == "no cat in this category"


@given(st.text(max_size=5000), st.text(max_size=40))
def test_what_is_told_is_never_too_long(text: str, prompt: str) -> None:
    assert len(redacted(text, prompt)) <= LONGEST_DETAIL


def test_the_mask_reaches_every_text() -> None:
    value = {"a key": ["key", {"b": "my key"}], "n": 1, "none": None}
    assert "key" not in str(masked(value, lambda text: text.replace("key", "*")))
    assert masked(value, str) == value


@pytest.mark.parametrize(
    ("wait_s", "told"),
    [
        (None, ", at 2026-11-23 00:00 UTC"),
        (7200.0, ", at 2026-11-22 14:00 UTC"),
        (1e12, ", at 2027-12-27 12:00 UTC"),
    ],
)
def test_a_daily_quota_says_when_it_comes_back(wait_s: float | None, told: str) -> None:
    assert reset_at(NOON_S, wait_s) == told


@pytest.mark.parametrize("halt", Halt)
def test_whatever_stops_a_run_says_what_to_do(halt: Halt) -> None:
    stop = stop_of(halt, "their words", alternatives=("b/c",))
    assert "their words" in str(stop)
    assert "b/c" in str(stop)
    assert stop.exit_code != 1


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"X-OpenRouter-Cache": "true"}, True),
        ({"x-openrouter-cache": "1"}, True),
        ({"X-OpenRouter-Cache": "false"}, False),
        ({"X-Title": "true"}, False),
    ],
)
def test_a_cache_is_asked_for_by_its_header(headers: dict[str, str], *, asks: bool) -> None:
    assert asks_for_cache(headers) is asks
