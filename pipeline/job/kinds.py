"""What makes a request's price, told once for all the requests that it is the same for."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from pipeline.core.prices import Ask as Priced
from pipeline.core.prices import models_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.job.plan import Ask

_MOST_KNOWN = 10_000


class Kind(NamedTuple):
    """Tasks that cost the same: who may answer, the one that is asked first; what is asked."""

    models: tuple[str, ...]
    priced: Priced


class Kinds:
    """The kinds of a plan; ``of_asks``: of each ask the place of its kind, two or four bytes."""

    def __init__(self) -> None:
        """None yet."""
        self.of_asks = array("H")
        self._places: dict[Kind, int] = {}
        self._known: dict[tuple[bytes, int, int], int] = {}

    @property
    def every(self) -> tuple[Kind, ...]:
        """All there are, each at its place."""
        return tuple(self._places)

    def without(self, repeats: Collection[int]) -> array[int]:
        """Of each ask that is no repeat the place of its kind."""
        if not repeats:
            return self.of_asks
        left_out = frozenset(repeats)
        return array(
            self.of_asks.typecode, (one for n, one in enumerate(self.of_asks) if n not in left_out)
        )

    def note(self, ask: Ask) -> None:
        """Take in the next ask, which names a model."""
        prompt = ask.prompt
        n_bytes = len(prompt) if prompt.isascii() else len(prompt.encode(errors="replace"))
        key = (ask.form.head, n_bytes, len(ask.references))
        place = self._known.get(key)
        if place is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            kind = kind_of(ask)
            place = self._known[key] = self._places.setdefault(kind, len(self._places))
        if place >> 8 * self.of_asks.itemsize:
            self.of_asks = array("I", self.of_asks)
        self.of_asks.append(place)


def kind_of(ask: Ask) -> Kind:
    """The kind of an ask that names a model."""
    settings = ask.form.settings
    n_bytes, n_references = len(ask.prompt.encode(errors="replace")), len(ask.references)
    return Kind(
        models=(settings["model"], *models_in(settings["params"])),
        priced=Priced.of(settings["params"], prompt_bytes=n_bytes, n_references=n_references),
    )
