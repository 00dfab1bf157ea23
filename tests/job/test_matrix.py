"""The matrix: the semantics of GitHub Actions, with the rows as one more axis."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.job.matrix import Grid, Matrix


def cells(matrix: Matrix, **row: Any) -> list[dict[str, Any]]:
    return [dict(cell) for cell in Grid(matrix).cells(row.get)]


def nothing(_: str) -> None:
    return None


def test_without_a_matrix_there_is_one_empty_cell() -> None:
    assert cells(Matrix()) == [{}]


def test_axes_multiply_in_the_order_they_are_written() -> None:
    matrix = Matrix(axes={"a": [1, 2], "b": ["x", "y"]})
    assert cells(matrix) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_include_does_what_the_example_of_github_actions_does() -> None:
    matrix = Matrix(
        axes={"fruit": ["apple", "pear"], "animal": ["cat", "dog"]},
        include=[
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    )
    assert cells(matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_include_alone_makes_the_combinations() -> None:
    matrix = Matrix(include=[{"site": "a"}, {"site": "b"}])
    assert cells(matrix) == [{"site": "a"}, {"site": "b"}]


def test_exclude_comes_before_include() -> None:
    matrix = Matrix(axes={"a": [1, 2], "b": [1, 2]}, exclude=[{"a": 1}], include=[{"a": 1, "b": 1}])
    assert cells(matrix) == [{"a": 2, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 1}]


def test_exclude_can_name_a_row() -> None:
    matrix = Matrix(
        axes={"style": ["oil", "photo"]},
        exclude=[{"id": "city", "style": "oil"}],
        include=[{"style": "ukiyo-e"}],
    )
    assert cells(matrix, id="city") == [{"style": "photo"}, {"style": "ukiyo-e"}]
    assert len(cells(matrix, id="sea")) == 3


def test_exclude_can_leave_out_whole_rows_without_any_axis() -> None:
    matrix = Matrix(exclude=[{"district": "Shibuya"}])
    assert cells(matrix, district="Shibuya") == []
    assert cells(matrix, district="Ginza") == [{}]


def test_a_cell_excluded_for_one_row_is_not_brought_back_by_an_include_for_all() -> None:
    matrix = Matrix(
        axes={"style": ["oil", "photo"]},
        exclude=[{"id": "city", "style": "oil"}],
        include=[{"style": "oil", "frame": "gold"}],
    )
    assert cells(matrix, id="city") == [{"style": "photo"}]
    assert cells(matrix, id="sea")[0] == {"style": "oil", "frame": "gold"}


def test_include_can_name_a_row() -> None:
    matrix = Matrix(axes={"style": ["oil"]}, include=[{"id": "city", "style": "sepia"}])
    assert cells(matrix, id="city") == [{"style": "oil"}, {"style": "sepia"}]
    assert cells(matrix, id="sea") == [{"style": "oil"}]


def test_true_is_not_one() -> None:
    matrix = Matrix(axes={"a": [1, True]}, exclude=[{"a": True}])
    assert cells(matrix) == [{"a": 1}]


def test_a_matrix_too_large_to_hold_is_gone_through_one_by_one() -> None:
    axes = {name: list(range(1000)) for name in "abcdef"}
    grid = Grid(Matrix(axes=axes))
    assert grid.count(nothing) == 10**18
    assert next(grid.cells(nothing)) == dict.fromkeys("abcdef", 0)


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1
    ),
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=1), max_size=3),
)
def test_excluded_combinations_are_exactly_those_that_match(
    axes: dict[str, list[int]], exclude: list[dict[str, int]]
) -> None:
    exclude = [entry for entry in exclude if entry.keys() <= axes.keys()]
    every = cells(Matrix(axes=axes))
    kept = cells(Matrix(axes=axes, exclude=exclude))
    gone = [c for c in every if any(entry.items() <= c.items() for entry in exclude)]
    assert kept == [c for c in every if c not in gone]
