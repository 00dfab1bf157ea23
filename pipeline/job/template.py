"""``{{name}}`` and ``{{name:05}}``: text with places to fill, and no logic at all."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_GUESSED, _LONGEST_GUESSED = 1_000, 100  # what is compared takes its time
_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_WIDTH = re.compile(r"0\d{1,2}")
_WHOLE_NUMBER = re.compile(r"-?\d+")


class BadTemplate(ValueError):
    """A template that cannot be read, or cannot be filled from these values."""


class MissingName(BadTemplate):
    """A template names something these values do not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """``name``: what is asked for; ``known``: what there is."""
        super().__init__(f"unknown name `{name}`{hint(name, known)}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Slot:
    """One place to fill. ``width`` is the zero-padded width of a number, 0 for none."""

    name: str
    width: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A template taken apart: literal text and slots, in order."""

    pieces: tuple[str | Slot, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name asked for, once, in order."""
        return tuple(dict.fromkeys(p.name for p in self.pieces if isinstance(p, Slot)))

    def render(self, values: Mapping[str, Any]) -> str:
        """The text with every slot filled; what is filled in is not expanded again.

        Raises :class:`MissingName` for an unknown name, :class:`BadTemplate` where a width is
        asked of something that is no number.
        """
        return "".join(p if isinstance(p, str) else filled(p, values) for p in self.pieces)


def parse(text: str) -> Template:
    """Take ``text`` apart; raises :class:`BadTemplate` naming the character (from 1)."""
    pieces: list[str | Slot] = []
    end = 0
    for match in _PLACE.finditer(text):
        _literal(text, end, match.start(), pieces)
        slot = _slot_of(match[1])
        if not slot.name:
            raise BadTemplate(f"character {match.start() + 1}: `{match[0]}` names nothing")
        pieces.append(slot)
        end = match.end()
    _literal(text, end, len(text), pieces)
    return Template(tuple(pieces))


def _slot_of(inside: str) -> Slot:
    name, _, width = inside.rpartition(":")
    is_padded = _WIDTH.fullmatch(width := width.rstrip())
    return Slot(name.strip(), int(width)) if is_padded else Slot(inside.strip(), 0)


def _literal(text: str, start: int, end: int, pieces: list[str | Slot]) -> None:
    literal = text[start:end]
    if (at := literal.find("{{")) >= 0:
        raise BadTemplate(
            f"character {start + at + 1}: `{{{{` is not closed: write a name as `{{{{name}}}}`"
        )
    if literal:
        pieces.append(literal)


def filled(slot: Slot, values: Mapping[str, Any]) -> str:
    """The text of one slot; raises as :meth:`Template.render` does."""
    try:
        value = values[slot.name]
    except KeyError:
        raise MissingName(slot.name, values) from None
    if not slot.width:
        return value if isinstance(value, str) else plain(value)
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTemplate(f"`{{{{{slot.name}:0{slot.width}}}}}` needs a number, not {shown(value)}")
    return format(value, f"0{slot.width}")


def plain(value: Any) -> str:
    """A value as people write it: text as it is, true, 7, nothing for null, else JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def shown(value: Any, most: int = 40) -> str:
    """A value for a message: JSON, cut to ``most`` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def known_names(names: Iterable[str], most: int = 20) -> str:
    """Names for a message, in a row, the first ``most`` of them."""
    first = list(itertools.islice(names, most + 1))
    return ", ".join([*first[:most], "…"] if len(first) > most else first)


def hint(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`` (did you mean …?)`` where a known word is as close as ``likeness``, 1 at most."""
    if len(word) > _LONGEST_GUESSED:
        return ""
    spelled = {k.lower(): k for k in itertools.islice(known, _MOST_GUESSED)}
    near = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=likeness)
    return f" (did you mean `{spelled[near[0]]}`?)" if near else ""
