"""A row: one prompt as it was written, with settings of its own and whatever else it carries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.core.model import Keep
from pipeline.errors import Fault
from pipeline.job.mistakes import in_words
from pipeline.job.spec import RowSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = ("model", "aspect_ratio", "image_size", "seed", "params", "references", "keep")
"""What a row, or an axis of that name, sets for its tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One prompt. ``line`` counts from 1 in its file; ``meta`` holds its other columns.

    ``id`` is the row's own, as it was written; it stands in ``meta["id"]`` too.
    """

    line: int = field(compare=False)
    prompt: str
    id: str | int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def value_of(self, key: str) -> Any:
        """What the row says under ``key``: its prompt, a setting or a column; None for nothing."""
        if key == "prompt":
            return self.prompt
        return self.settings[key] if key in self.settings else self.meta.get(key)

    def with_meta(self, more: Mapping[str, Any]) -> Row:
        """The same row with further columns."""
        return replace(self, meta={**self.meta, **more})


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


def checked(cells: Mapping[str, Any], *, file: str, line: int) -> Row | list[Fault]:
    """The row these cells are, or every fault in them at this line."""
    try:
        return row_of(RowSpec.model_validate(cells), line)
    except ValidationError as bad:
        return [
            Fault(file, line, 0, ".".join(map(str, path)), what)
            for path, what in in_words(bad, RowSpec)
        ]
