"""The list of models, in every shape seen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.provider.catalog import Model, image_models_in


def entry(name: str, *gives: str, **more: Any) -> dict[str, Any]:
    shape = {"input_modalities": ["text"], "output_modalities": list(gives)}
    return {"id": name, "architecture": shape, **more}


def test_models_that_give_images_are_found_and_sorted() -> None:
    listed = {"data": [entry("b", "image", "text"), entry("t", "text"), entry("a", "image")]}
    assert [model.id for model in image_models_in(listed)] == ["a", "b"]
    assert image_models_in(listed)[1].gives == ("image", "text")


def test_prices_are_strings_and_minus_one_is_unknown() -> None:
    pricing = {"prompt": "0.0000003", "completion": -1, "image_output": "0.039", "x": "?"}
    (model,) = image_models_in({"data": [entry("m", "image", pricing=pricing)]})
    assert model.prices == {"prompt": 0.3, "image_output": 0.039}


@pytest.mark.parametrize("above", [True, False])
def test_display_units_are_per_million_already(*, above: bool) -> None:
    marked = {"pricing_in_display_units": True}
    one = entry("m", "image", pricing={"prompt": "0.3"}, **({} if above else marked))
    (model,) = image_models_in({"data": [one], **(marked if above else {})})
    assert model.prices == {"prompt": 0.3}


def test_a_list_that_says_nothing_about_modalities_is_shown_whole() -> None:
    assert image_models_in({"data": [{"id": "gpt-image-1"}, {"id": "other"}]}) == (
        Model(id="gpt-image-1"),
        Model(id="other"),
    )


def test_the_older_way_of_telling_modalities_is_understood() -> None:
    listed = [
        {"id": "a", "architecture": {"modality": "text->text+image"}},
        {"id": "b", "architecture": {"modality": "text->text"}},
    ]
    assert [model.id for model in image_models_in({"data": listed})] == ["a"]


json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "id", "architecture", "output_modalities", "pricing", "prompt"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(json)
def test_no_shape_breaks_it(document: object) -> None:
    assert isinstance(image_models_in(document), tuple)
