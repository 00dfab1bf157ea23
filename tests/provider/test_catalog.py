"""The list of models, in every shape seen."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.provider.catalog import Catalog, Model, document_of, image_models_in, merged


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


@pytest.mark.parametrize(
    ("name", "is_listed"),
    [
        ("google/flash", True),
        ("google/flash:free", True),
        ("flash-001", True),
        ("openai/gpt-image-1", True),
        ("google/flash-2", False),
        ("flash", False),
        ("openai", False),
    ],
)
def test_a_model_is_found_by_any_of_its_names(name: str, *, is_listed: bool) -> None:
    listed = [
        entry("google/flash", "image", canonical_slug="flash-001"),
        entry("openai/*", "image"),
    ]
    catalog = Catalog(models=image_models_in({"data": listed}))
    assert bool(catalog.find(name)) == is_listed
    assert (catalog.doubt(name) is None) == is_listed
    assert catalog.gives(name) == (("image",) if is_listed else None)


def test_a_provider_without_a_list_leaves_no_doubt() -> None:
    assert Catalog().doubt("anything") is None


def test_a_list_that_holds_nothing_but_image_models_need_not_say_so() -> None:
    listed = {"data": [{"id": "a"}, entry("b", "image")]}
    assert len(image_models_in(listed, make_images=True)) == 2


def test_what_one_list_does_not_say_another_may() -> None:
    models = merged(
        [Model(id="a"), Model(id="b", takes=("text",))],
        [Model(id="a", gives=("image",), prices={"request": 1.0}), Model(id="c")],
    )
    assert models == (
        Model(id="a", gives=("image",), prices={"request": 1.0}),
        Model(id="b", takes=("text",)),
    )


@given(
    st.lists(
        st.builds(
            Model,
            id=st.text(min_size=1, max_size=4).filter(str.isprintable),
            also=st.tuples() | st.tuples(st.text(min_size=5, max_size=6)),
            takes=st.tuples() | st.tuples(st.just("text")),
            gives=st.sampled_from([("image",), ("image", "text")]),
            prices=st.dictionaries(
                st.sampled_from(["prompt", "image_output"]), st.floats(0, 1e6), max_size=2
            ),
        ),
        unique_by=lambda model: model.id,
        max_size=4,
    )
)
def test_a_list_that_is_kept_comes_back_as_it_was(models: list[Model]) -> None:
    kept = orjson.loads(orjson.dumps(document_of(models)))
    assert image_models_in(kept) == tuple(sorted(models, key=lambda model: model.id))


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
