"""The models a provider lists: what they take, what they give, what they cost.

``GET /models`` has one envelope and many dialects. OpenRouter leaves image models out unless it
is asked for them (``?output_modalities=image``); prices are decimal strings in US dollars a unit,
``-1`` where nobody knows; Knox marks lists whose token prices are per million
(``pricing_in_display_units``); OpenAI, vLLM and LiteLLM say nothing about modalities at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATHS = ("/models?output_modalities=image", "/models")
"""Where to ask, in this order: a list without any image model asks for the next."""

_PER_TOKEN = frozenset({"prompt", "completion", "image_token", "internal_reasoning"})
_PER_UNIT = frozenset({"image", "image_output", "request"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model. ``gives`` is None where the provider does not say.

    ``prices`` are US dollars: of ``prompt``, ``completion`` and ``image_token`` a million tokens,
    of ``image`` (an input image), ``image_output`` and ``request`` each.
    """

    id: str
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] | None = None
    prices: Mapping[str, float] = field(default_factory=dict)

    @property
    def may_make_images(self) -> bool:
        """Whether it does, as far as is known."""
        return self.gives is None or "image" in self.gives


def image_models_in(document: object) -> tuple[Model, ...]:
    """The models of a parsed ``/models`` reply that make images, by id; tolerant of every shape.

    Where not one of them says what it gives, all are returned, their ``gives`` None.
    """
    models = sorted(_models_in(document), key=lambda model: model.id)
    if any(model.gives is not None for model in models):
        models = [model for model in models if model.gives and "image" in model.gives]
    return tuple(models)


def _models_in(document: object) -> Iterator[Model]:
    envelope = document if isinstance(document, dict) else {"data": document}
    listed = envelope.get("data", envelope.get("models"))
    is_per_million = bool(envelope.get("pricing_in_display_units"))
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict):
            continue
        name = entry.get("id") or entry.get("root") or entry.get("name")
        if isinstance(name, str) and name:
            yield _model(name, entry, is_per_million=is_per_million)


def _model(name: str, entry: dict[str, Any], *, is_per_million: bool) -> Model:
    architecture = entry.get("architecture")
    shape = architecture if isinstance(architecture, dict) else entry
    per_million = is_per_million or bool(entry.get("pricing_in_display_units"))
    pricing = entry.get("pricing")
    return Model(
        id=name,
        takes=_words(shape.get("input_modalities")) or (),
        gives=_gives(shape),
        prices=dict(_prices(pricing if isinstance(pricing, dict) else {}, per_million=per_million)),
    )


def _gives(shape: dict[str, Any]) -> tuple[str, ...] | None:
    said = _words(shape.get("output_modalities"))
    if said is not None:
        return said
    modality = shape.get("modality")  # the older form: "text+image->text+image"
    if isinstance(modality, str) and "->" in modality:
        return tuple(modality.rpartition("->")[2].split("+"))
    return None


def _words(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(word for word in value if isinstance(word, str))


def _prices(pricing: dict[str, Any], *, per_million: bool) -> Iterator[tuple[str, float]]:
    for name, value in pricing.items():
        price = _amount(value)
        if price is None:
            continue
        if name in _PER_TOKEN:
            yield name, price if per_million else round(price * 1e6, 6)
        elif name in _PER_UNIT:
            yield name, price


def _amount(value: object) -> float | None:
    """A price; -1 is the sentinel for unknown or unlimited."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = float(value)
    except ValueError:
        return None
    return amount if 0 <= amount < 1e9 else None
