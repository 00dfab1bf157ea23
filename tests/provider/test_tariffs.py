"""What lists of models say an image costs."""

from __future__ import annotations

import pytest

from pipeline.core.prices import Tariff
from pipeline.provider.catalog import Catalog, Model
from pipeline.provider.tariffs import tariff_in, tariff_of


@pytest.mark.parametrize(
    ("prices", "image_usd"),
    [
        ({"image_output": 0.04}, (0.04, 0.04)),
        ({"image_output": 0, "prompt": 0}, (0, 0)),
        ({"request": 0.02}, (0, 0)),
        ({"image_output": 0.00003}, None),
        ({"image_output": 0, "completion": 3}, None),
        ({"prompt": 0, "completion": 0}, None),
        ({"prompt": 0.3, "completion": 30}, None),
        ({}, None),
    ],
)
def test_an_image_is_sold_by_itself_or_by_tokens_nobody_counted(
    prices: dict[str, float], image_usd: tuple[float, float] | None
) -> None:
    tariff = tariff_of(Model(id="m", prices=prices), "s")
    assert (tariff.image_usd if tariff else None) == image_usd


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("google/gemini-2.5-flash-image", (1290, 1290)),
        ("google/gemini-3-pro-image-preview", (1120, 2000)),
        ("openai/gpt-5-image-mini", (272, 6240)),
        ("gpt-image-1", (272, 6240)),
        ("bytedance-seed/seedream-4.5", (4175, 4175)),
    ],
)
def test_a_token_price_makes_an_images_where_its_tokens_are_documented(
    name: str, tokens: tuple[int, int]
) -> None:
    tariff = tariff_of(Model(id=name, prices={"image_output": 0.0001}), "s")
    assert tariff
    assert tariff.image_usd == (tokens[0] * 0.0001, tokens[1] * 0.0001)
    assert tariff.image_tokens == tokens[0]


def test_what_is_beside_the_image_is_priced_by_the_unit() -> None:
    prices = {
        "image_output": 0.04,
        "request": 0.01,
        "prompt": 0.3,
        "completion": 2.5,
        "image": 0.001,
    }
    assert tariff_of(Model(id="m", prices=prices), "s") == Tariff(
        source="s",
        image_usd=(0.04, 0.04),
        request_usd=0.01,
        prompt_token_usd=0.3 / 1e6,
        said_token_usd=2.5 / 1e6,
        reference_usd=0.001,
    )


def test_a_model_is_found_by_any_of_its_names_and_a_variant_is_another_model() -> None:
    catalog = Catalog(models=(Model(id="v/m", also=("m",), prices={"image_output": 0.04}),))
    assert tariff_in(catalog, "m", "s") == tariff_in(catalog, "v/m", "s") is not None
    assert tariff_in(catalog, "v/m:free", "s") is None
    assert tariff_in(catalog, "other", "s") is None
