"""The matrix: axes multiplied, then thinned by ``exclude`` and widened by ``include``.

The rules are those of GitHub Actions
(https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax, "include"):
an entry of ``include`` is added to every original combination whose axes it does not contradict,
and becomes a combination of its own where there is none. The rows are one more, outer axis: an
``exclude`` may name a row's keys and columns, an ``include`` its ``id``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.job.template import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Cell = dict[str, Any]
"""One combination: a value for each axis, and what ``include`` adds."""

_FEW = 10_000  # so many cells are kept as a list, more are made again for every row


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """``matrix:`` as it was written."""

    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    exclude: Sequence[Mapping[str, Any]] = ()
    include: Sequence[Mapping[str, Any]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a cell may have: the axes, then what ``include`` adds."""
        added = (key for entry in self.include for key in entry if key != "id")
        return tuple(dict.fromkeys((*self.axes, *added)))

    @property
    def n_products(self) -> int:
        """How many combinations the axes alone give, without making them."""
        return math.prod(map(len, self.axes.values())) if self.axes else 0


class Grid:
    """The cells of a matrix, row by row.

    ``n_certain``: how many every row has, None where that takes a look.
    """

    def __init__(self, matrix: Matrix) -> None:
        """Sort the entries into those that hold for all rows and those that look at the row."""
        self._axes = matrix.axes
        self._is_plain = not (matrix.axes or matrix.include or matrix.exclude)
        self._exclude = [e for e in matrix.exclude if not _row_keys(e, matrix)]
        self._exclude_by_row = [e for e in matrix.exclude if _row_keys(e, matrix)]
        self._include = matrix.include
        self._include_by_row = any("id" in entry for entry in matrix.include)
        self._fits = [self._fits_in_row(entry) for entry in self._include]
        is_bare = not (matrix.exclude or matrix.include)
        self.n_certain = (matrix.n_products or 1) if is_bare else None
        is_few = matrix.n_products <= _FEW
        self._everywhere = list(self._cells(_nothing)) if is_few else None

    def cells(self, value_of: Callable[[str], Any]) -> Iterator[Cell]:
        """The cells of one row; ``value_of`` gives the row's value of a key, None for none."""
        if self._is_plain:
            return iter(({},))
        gone = [e for e in self._exclude_by_row if self._names_row(e, value_of)]
        if not gone and not self._include_by_row and self._everywhere is not None:
            return iter(self._everywhere)
        return self._cells(value_of, gone)

    def count(self, value_of: Callable[[str], Any]) -> int:
        """How many cells the row has."""
        if self.n_certain is not None:
            return self.n_certain
        return sum(1 for _ in self.cells(value_of))

    def _cells(
        self, value_of: Callable[[str], Any], gone: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[Cell]:
        here = [
            (self._without_id(entry), self._fits_in_row(entry, gone) if "id" in entry else fits)
            for entry, fits in zip(self._include, self._fits, strict=True)
            if "id" not in entry or plain(entry["id"]) == plain(value_of("id"))
        ]
        for original in self._originals(gone):
            cell = dict(original)
            for entry, _ in here:
                if self._agrees(entry, original):
                    cell.update(entry)
            yield cell
        yield from (entry for entry, fits in here if not fits)

    def _originals(self, gone: Sequence[Mapping[str, Any]] = ()) -> Iterator[Cell]:
        if not self._axes and self._include:
            return  # then the entries of include are all there is
        excluded = [*self._exclude, *gone]
        for values in itertools.product(*self._axes.values()):
            cell = dict(zip(self._axes, values, strict=True))
            if not any(self._agrees(entry, cell) for entry in excluded):
                yield cell

    def _fits_in_row(
        self, entry: Mapping[str, Any], gone: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        return any(self._agrees(entry, cell) for cell in self._originals(gone))

    def _agrees(self, entry: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
        return all(
            plain(value) == plain(cell[key]) for key, value in entry.items() if key in self._axes
        )

    def _names_row(self, entry: Mapping[str, Any], value_of: Callable[[str], Any]) -> bool:
        return all(
            plain(value) == plain(value_of(key))
            for key, value in entry.items()
            if key not in self._axes
        )

    @staticmethod
    def _without_id(entry: Mapping[str, Any]) -> Cell:
        return {key: value for key, value in entry.items() if key != "id"}


def _row_keys(entry: Mapping[str, Any], matrix: Matrix) -> bool:
    return any(key not in matrix.axes for key in entry)


def _nothing(_: str) -> None:
    return None
