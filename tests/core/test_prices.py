"""What one request may cost, by every source that says something of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.prices import (
    SEEN,
    Ask,
    Price,
    Tariff,
    is_of_a_token,
    models_in,
    plain_usd,
    price_of,
)

FLAT = Tariff(source="flat", image_usd=(0.04, 0.04))
USD = st.floats(min_value=0, max_value=10)
TARIFFS = st.builds(
    Tariff,
    source=st.sampled_from("abc"),
    image_usd=st.tuples(USD, USD).map(lambda two: (min(two), max(two))),
    image_tokens=st.integers(0, 5000),
    request_usd=USD,
    prompt_token_usd=USD,
    said_token_usd=USD,
    reference_usd=USD,
    n_images=st.integers(1, 4),
)


def test_nobody_knows_where_no_source_says_anything() -> None:
    assert price_of(Ask(), ()) is None


def test_a_price_of_an_image_is_that_of_a_request() -> None:
    assert price_of(Ask(), [FLAT]) == Price(low_usd=0.04, high_usd=0.04, source="flat")


def test_images_asked_for_in_one_request_may_come_or_not() -> None:
    price = price_of(Ask(n_images=3), [FLAT])
    assert price
    assert (price.low_usd, price.high_usd) == (0.04, 3 * 0.04)


def test_the_most_holds_the_prompt_its_input_images_and_what_may_be_said() -> None:
    tariff = Tariff(
        source="s",
        image_usd=(1.0, 2.0),
        image_tokens=90,
        request_usd=10.0,
        prompt_token_usd=100.0,
        said_token_usd=1e6,
        reference_usd=1e9,
    )
    ask = Ask.of({"max_tokens": 100}, prompt_bytes=5, n_references=2)
    price = price_of(ask, [tariff])
    assert price
    assert price.low_usd == 11
    assert price.high_usd == 12 + (5 + 2 * 6240) * 100 + 10 * 1e6 + 2e9


@pytest.mark.parametrize("odd", [True, 0, -1, "3", 2.5, None])
def test_an_odd_number_of_images_is_none(odd: object) -> None:
    params = {"n": odd, "max_tokens": odd}
    assert Ask.of(params, prompt_bytes=5, n_references=1) == Ask(None, 5, 1)


def test_replies_seen_make_a_price_where_nobody_else_does_and_widen_any() -> None:
    assert price_of(Ask(), (), (0.03, 0.05)) == Price(low_usd=0.03, high_usd=0.05, source=SEEN)
    assert price_of(Ask(), [FLAT], (0.039, 0.041)) == Price(
        low_usd=0.039, high_usd=0.041, source=f"flat; {SEEN}"
    )


def test_a_reply_that_was_free_says_nothing_of_others() -> None:
    assert price_of(Ask(), (), (0, 0)) is None
    assert price_of(Ask(), [FLAT], (0, 0)) == price_of(Ask(), [FLAT])
    price = price_of(Ask(), [FLAT], (0, 0.05))
    assert price
    assert (price.low_usd, price.high_usd) == (0.04, 0.05)
    assert price_of(Ask(), (), (0, 0.05)) == Price(low_usd=0, high_usd=0.05, source=SEEN)


@given(
    st.lists(TARIFFS, max_size=3),
    st.none() | st.tuples(USD, USD).map(lambda two: (min(two), max(two))),
    st.builds(
        Ask,
        n_images=st.none() | st.integers(1, 9),
        prompt_bytes=st.integers(0, 9999),
        n_references=st.integers(0, 9),
        most_tokens=st.integers(1, 9999),
    ),
)
def test_a_price_holds_what_each_of_its_sources_says(
    tariffs: list[Tariff], seen: tuple[float, float] | None, ask: Ask
) -> None:
    price = price_of(ask, tariffs, seen)
    if price is None:
        assert not tariffs
        assert not seen or not seen[1]
        return
    assert 0 <= price.low_usd <= price.high_usd
    for tariff in tariffs:
        alone = price_of(ask, [tariff])
        assert alone
        assert price.low_usd <= alone.low_usd
        assert alone.high_usd <= price.high_usd
        assert tariff.source in price.source
    if seen:
        assert seen[1] <= price.high_usd
        assert not seen[0] or price.low_usd <= seen[0]


def test_models_to_fall_back_on_are_names_in_a_list() -> None:
    assert models_in({}) == models_in({"models": "n"}) == ()
    assert models_in({"models": ["m", "n", 3]}) == ("m", "n")


def test_what_is_too_little_for_an_image_is_a_tokens_price() -> None:
    assert is_of_a_token(0.00003)
    assert not is_of_a_token(0.003)
    assert not is_of_a_token(0)


@pytest.mark.parametrize(
    ("usd", "told"), [(0.00003, "0.00003"), (3, "3"), (0.039, "0.039"), (0, "0"), (100, "100")]
)
def test_a_price_has_every_digit_and_no_exponent(usd: float, told: str) -> None:
    assert plain_usd(usd) == told
