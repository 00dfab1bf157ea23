"""What pydantic finds wrong, in the words of a person who reads the file again."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
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

TAGS = frozenset({"<mapping>", "<text>", "<list>", "<member>"})
"""What pydantic names the members of a union by, among the keys that lead to a mistake."""

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_VERY_LIKE = 0.7  # a slip of the fingers; less alike is a key of the same name elsewhere
_MOST_GUESSED = 100  # so many unknown keys are compared with the known ones
_SAYS = {
    "int_type": "must be a whole number, not {input}",
    "int_from_float": "must be a whole number, not {input}",
    "float_type": "must be a number, not {input}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, not {input}",
    "greater_than": "must be greater than {gt}, not {input}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
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
    for n, error in enumerate(bad.errors(include_url=False)):
        if error["type"] == "too_short" and error["input"]:
            continue  # it is not empty: what is in it is faulty, and told by itself
        *above, last = error["loc"]
        is_unknown = error["type"] in _UNKNOWN  # then the last is a key, whatever it is called
        path = tuple(p for p in above if p not in TAGS)
        path += (last,) if is_unknown or last not in TAGS else ()
        if is_unknown:
            yield path, _unknown(path, top) if n < _MOST_GUESSED else "unknown key"
        else:
            yield path, _words(error)


def _words(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == MISTAKE:
        return error["msg"]
    if kind == "missing":
        return f"is missing{_meant(error['loc'], value)}"
    if kind in {"string_type", "prompt_type"}:
        return _not_text(value, error["msg"] if kind == "prompt_type" else "must be text")
    if kind in {"literal_error", "enum"}:
        words = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        near = hint(value, words) if isinstance(value, str) else ""
        return f"must be {' or '.join(words)}, not {shown(value)}{near}"
    says = _SAYS.get(kind)
    if says is None:
        return error["msg"]
    if value is None:
        says = says.replace(", not {input}", ", and is empty")
    exact = {name: _exact(bound) for name, bound in context.items()}
    return says.format(input=shown(value), **exact)


def _exact(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _meant(loc: tuple[str | int, ...], value: Any) -> str:
    """The key that was written in place of the one that is missing, where others are allowed."""
    others = itertools.islice(value if isinstance(value, dict) else (), _MOST_GUESSED)
    near = _nearest(str(loc[-1]), tuple(map(str, others)))
    return f" (did you write `{near}` for it?)" if near else ""


@functools.lru_cache(maxsize=64)  # the rows of a file mostly have the same keys
def _nearest(name: str, others: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name, others, n=1)), None)


def _not_text(value: Any, wanted: str) -> str:
    if isinstance(value, bool | int | float):
        return f"must be text: put {shown(value)} in quotes"
    return f"{wanted}, not {shown(value)}" if value is not None else f"{wanted}, and is empty"


def _unknown(path: Path, top: type[BaseModel]) -> str:
    name, known = str(path[-1]), keys_at(top, path[:-1])
    if near := hint(name, known, likeness=_VERY_LIKE):
        return f"unknown key{near}"
    for place in _places_of(name, top):
        return f"unknown key here (did you mean `{place}`?)"
    return f"unknown key{hint(name, known) or ': known here are ' + ', '.join(known)}"


def _places_of(name: str, top: type[BaseModel]) -> Iterator[str]:
    for key in ("", *top.model_fields):
        if name in keys_at(top, (key,) if key else ()):
            yield f"{key}.{name}" if key else name


def keys_at(top: type[BaseModel], path: Path) -> list[str]:
    """The keys a mapping at ``path`` may have, be it one kind of mapping or another."""
    specs: list[Any] = [top]
    for key, following in itertools.zip_longest(path, path[1:]):
        types = [_type_of(spec, key) for spec in specs]
        in_a_list = isinstance(following, int)
        specs = [one for each in types for one in _mappings_in(each, in_a_list=in_a_list)]
    return list(dict.fromkeys(name for spec in specs for name in _fields_of(spec)))


def _type_of(spec: Any, key: str | int) -> Any:
    return typing.get_type_hints(spec).get(key, spec) if isinstance(key, str) else spec


def _mappings_in(annotation: Any, *, in_a_list: bool) -> Iterator[Any]:
    """The mappings a value of this type may be, or those that are in the list it may be."""
    is_list = typing.get_origin(annotation) in {list, tuple}
    if not in_a_list and isinstance(annotation, type) and _fields_of(annotation):
        yield annotation
    if is_list and not in_a_list:
        return
    for argument in typing.get_args(annotation):
        yield from _mappings_in(argument, in_a_list=in_a_list and not is_list)


def _fields_of(spec: Any) -> Mapping[str, Any]:
    if isinstance(spec, type) and issubclass(spec, BaseModel):
        return spec.model_fields
    if isinstance(spec, type) and dataclasses.is_dataclass(spec):
        return {field.name: field for field in dataclasses.fields(spec)}
    return {}
