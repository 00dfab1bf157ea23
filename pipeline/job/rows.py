"""A row: one prompt as it was written, with settings of its own and whatever else it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import ValidationError

from pipeline.core.model import Keep
from pipeline.errors import Fault
from pipeline.job.mistakes import in_words
from pipeline.job.spec import RowSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = ("model", "aspect_ratio", "image_size", "seed", "params", "references", "keep")
"""What a row, or an axis of that name, sets for its tasks."""


_SETTINGS = frozenset(SETTINGS)


class Row(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One prompt. ``line`` counts from 1 in its file; ``meta`` holds its other columns.

    ``id`` is the row's own, as it was written; it stands in ``meta["id"]`` too. No dataclass, as
    there may be millions: it is made in a tenth of the time. Rows are equal wherever they stand.
    """

    line: int
    prompt: str
    id: str | int | None = None
    settings: Mapping[str, Any] = msgspec.field(default_factory=dict)
    meta: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def value_of(self, key: str) -> Any:
        """What the row says under ``key``: its prompt, a setting or a column; None for nothing."""
        if key == "prompt":
            return self.prompt
        return self.settings[key] if key in self.settings else self.meta.get(key)

    def with_meta(self, more: Mapping[str, Any]) -> Row:
        """The same row with further columns."""
        return msgspec.structs.replace(self, meta={**self.meta, **more})

    def __eq__(self, other: object) -> bool:
        """Whether it says the same."""
        return isinstance(other, Row) and self._said() == other._said()

    def __hash__(self) -> int:
        """Of what can be hashed."""
        return hash((self.prompt, self.id))

    def _said(self) -> tuple[Any, ...]:
        return self.prompt, self.id, dict(self.settings), dict(self.meta)


def row_of(spec: RowSpec, line: int) -> Row:
    """The row a checked mapping is."""
    meta = dict(spec.__pydantic_extra__ or {})
    if spec.id is not None:
        meta = {"id": spec.id, **meta}
    settings = {key: value for key in SETTINGS if (value := getattr(spec, key)) is not None}
    if spec.references is not None:
        settings["references"] = tuple(spec.references)
    if spec.keep is not None:
        settings["keep"] = Keep(spec.keep)
    return Row(line=line, prompt=spec.prompt, id=spec.id, settings=settings, meta=meta)


def checked(cells: dict[str, Any], *, file: str, line: int) -> Row | list[Fault]:
    """The row these cells are, or every fault in them at this line.

    What a row of a prompt, an id and columns has to be is seen at once, most rows are no more.
    """
    prompt, own = cells.get("prompt"), cells.get("id")
    is_named = type(own) is int or (type(own) is str and own.strip())
    is_plain = (own is None or is_named) and _SETTINGS.isdisjoint(cells)
    if not is_plain or not isinstance(prompt, str) or not prompt.strip():
        return _checked_in_full(cells, file=file, line=line)
    meta = {key: value for key, value in cells.items() if key not in {"prompt", "id"}}
    return Row(line=line, prompt=prompt, id=own, meta=meta if own is None else {"id": own, **meta})


def _checked_in_full(cells: Mapping[str, Any], *, file: str, line: int) -> Row | list[Fault]:
    """The same for a row that says more than its prompt and what is only kept with it."""
    try:
        return row_of(RowSpec.model_validate(cells), line)
    except ValidationError as bad:
        return [
            Fault(file, line, 0, ".".join(map(str, path)), what)
            for path, what in in_words(bad, RowSpec)
        ]
