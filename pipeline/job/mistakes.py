"""What pydantic finds wrong, in the words of a person who reads the file again."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from pipeline.job.checks import MISTAKE
from pipeline.job.template import hint, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
"""The keys and numbers that lead from the top of a file to a value."""

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_SAYS = {
    "missing": "is missing",
    "int_type": "must be a whole number, not {input}",
    "int_from_float": "must be a whole number, not {input}",
    "float_type": "must be a number, not {input}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, not {input}",
    "greater_than": "must be greater than {gt:g}, not {input}",
    "greater_than_equal": "must be at least {ge:g}, not {input}",
    "less_than_equal": "must be at most {le:g}, not {input}",
    "list_type": "must be a list, not {input}",
    "tuple_type": "must be a list, not {input}",
    "dict_type": "must be a mapping of keys to values, not {input}",
    "model_type": "must be a mapping of keys to values, not {input}",
    "dataclass_type": "must be a mapping of keys to values, not {input}",
    "too_short": "must not be empty",
    "too_long": "must hold at most {max_length}, not {actual_length}",
}


def in_words(bad: ValidationError, top: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    """Every mistake as its path and what is wrong with it, in the order pydantic found them."""
    for error in bad.errors(include_url=False):
        if error["type"] == "too_short" and error["input"]:
            continue  # it is not empty: what is in it is faulty, and told by itself
        path = tuple(p for p in error["loc"] if not str(p).startswith("<"))
        yield path, _words(error, path, top)


def _words(error: ErrorDetails, path: Path, top: type[BaseModel]) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == MISTAKE:
        return error["msg"]
    if kind in _UNKNOWN:
        return _unknown(path, top)
    if kind in {"string_type", "prompt_type"}:
        return _not_text(value, error["msg"] if kind == "prompt_type" else "must be text")
    if kind in {"literal_error", "enum"}:
        words = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        near = hint(value, words) if isinstance(value, str) else ""
        return f"must be {' or '.join(words)}, not {shown(value)}{near}"
    says = _SAYS.get(kind)
    return says.format(input=shown(value), **context) if says else error["msg"]


def _not_text(value: Any, wanted: str) -> str:
    if isinstance(value, bool | int | float):
        return f"must be text: put {shown(value)} in quotes"
    return f"{wanted}, not {shown(value)}" if value is not None else f"{wanted}, and is empty"


def _unknown(path: Path, top: type[BaseModel]) -> str:
    name, known = str(path[-1]), keys_at(top, path[:-1])
    if near := hint(name, known):
        return f"unknown key{near}"
    for place in _places_of(name, top):
        return f"unknown key here (did you mean `{place}`?)"
    return f"unknown key: known here are {', '.join(known)}"


def _places_of(name: str, top: type[BaseModel]) -> Iterator[str]:
    for key in ("", *top.model_fields):
        if name in keys_at(top, (key,) if key else ()):
            yield f"{key}.{name}" if key else name


def keys_at(top: type[BaseModel], path: Path) -> list[str]:
    """The keys a mapping at ``path`` may have."""
    spec: Any = top
    for key in path:
        hints = typing.get_type_hints(spec) if spec else {}
        spec = hints.get(key, spec) if isinstance(key, str) else spec
        spec = next(_mappings_in(spec), None)
    return list(_fields_of(spec)) if spec else []


def _mappings_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and _fields_of(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _mappings_in(argument)


def _fields_of(spec: Any) -> Mapping[str, Any]:
    if isinstance(spec, type) and issubclass(spec, BaseModel):
        return spec.model_fields
    if isinstance(spec, type) and dataclasses.is_dataclass(spec):
        return {field.name: field for field in dataclasses.fields(spec)}
    return {}
