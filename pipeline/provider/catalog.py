"""The models a provider lists: what they take, what they give, what they cost.

``GET /models`` has one envelope and many dialects. OpenRouter leaves image models out unless it
is asked for them (``?output_modalities=image``), and lists those of its image API once more under
``/images/models``, without prices; prices are decimal strings in US dollars a unit, ``-1`` where
nobody knows; Knox marks lists whose token prices are per million (``pricing_in_display_units``);
OpenAI, vLLM and LiteLLM say nothing about modalities at all. Lists may be incomplete: a model that
is not in one is a doubt, and the provider's own answer decides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PATHS = ("/models?output_modalities=image", "/models")
"""Where to ask, in this order: a list without any image model asks for the next."""

IMAGE_PATH = "/images/models"
"""Where OpenRouter lists what its image API serves; all of it makes images."""

_MOST_MODELS, _LONGEST_NAME = 5_000, 200
_PER_TOKEN = frozenset({"prompt", "completion", "image_token", "internal_reasoning"})
_PER_UNIT = frozenset({"image", "image_output", "request"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model. ``gives`` is None where the provider does not say; ``also``: its other names.

    ``prices`` are US dollars: of ``prompt``, ``completion`` and ``image_token`` a million tokens,
    of ``image`` (an input image), ``image_output`` and ``request`` each. What is too little for an
    image is what a token of it costs (:func:`pipeline.core.prices.is_of_a_token`).
    """

    id: str
    also: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] | None = None
    prices: Mapping[str, float] = field(default_factory=dict)

    def is_called(self, name: str) -> bool:
        """Whether ``name`` asks for it: its id or another name, maybe with a variant behind it.

        OpenRouter and Knox take variants such as ``:free`` and ``:nitro``; a LiteLLM proxy lists
        ``openai/*`` for everything a provider has.
        """
        return any(_is_name(name, listed) for listed in (self.id, *self.also))


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The models of a provider that make images; none where it has no list."""

    models: tuple[Model, ...] = ()

    def find(self, name: str) -> Model | None:
        """The model that ``name`` asks for, if it is listed."""
        return next((model for model in self.models if model.is_called(name)), None)

    def gives(self, name: str) -> tuple[str, ...] | None:
        """What the model puts out, None where nobody says."""
        model = self.find(name)
        return model.gives if model else None

    def doubt(self, name: str) -> str | None:
        """Why the model may not make images, None where nothing speaks against it."""
        if not self.models or self.find(name):
            return None
        n, listed = len(self.models), "model" if len(self.models) == 1 else "models"
        near = get_close_matches(name, [model.id for model in self.models], n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        makes = " for images" if any(model.gives for model in self.models) else ""
        return f"{name} is not in the provider's list of {n} {listed}{makes}{meant}"


def image_models_in(document: object, *, make_images: bool = False) -> tuple[Model, ...]:
    """The models of a parsed list that make images, by id; tolerant of every shape.

    Where not one of them says what it gives, all are returned, their ``gives`` None.
    ``make_images``: the list holds none but such as do, so that none has to say so.
    """
    models = sorted(islice(_models_in(document), _MOST_MODELS), key=lambda model: model.id)
    if not make_images and any(model.gives is not None for model in models):
        models = [model for model in models if model.gives and "image" in model.gives]
    return tuple(models)


def merged(models: Iterable[Model], others: Iterable[Model]) -> tuple[Model, ...]:
    """``models``, each with what only the ``others`` say of it."""
    told = {model.id: model for model in others}
    return tuple(_filled(model, told.get(model.id)) for model in models)


def document_of(models: Iterable[Model]) -> dict[str, Any]:
    """``models`` as a list that :func:`image_models_in` reads back."""
    return {"pricing_in_display_units": True, "data": [_entry(model) for model in models]}


def _is_name(name: str, listed: str) -> bool:
    if listed.endswith("*"):
        return name.startswith(listed[:-1])
    return name == listed or name.rpartition(":")[0] == listed


def _filled(model: Model, other: Model | None) -> Model:
    if other is None:
        return model
    own = {name: value for name, value in asdict(model).items() if value}
    return replace(other, **own)


def _entry(model: Model) -> dict[str, Any]:
    architecture: dict[str, Any] = {"input_modalities": model.takes}
    if model.gives is not None:
        architecture["output_modalities"] = model.gives
    return {
        "id": model.id,
        "aliases": model.also,
        "architecture": architecture,
        "pricing": model.prices,
    }


def _models_in(document: object) -> Iterator[Model]:
    envelope = document if isinstance(document, dict) else {"data": document}
    listed = envelope.get("data", envelope.get("models"))
    is_per_million = bool(envelope.get("pricing_in_display_units"))
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict):
            continue
        name = entry.get("id") or entry.get("root") or entry.get("name")
        if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable():
            yield _model(name, entry, is_per_million=is_per_million)


def _model(name: str, entry: dict[str, Any], *, is_per_million: bool) -> Model:
    architecture = entry.get("architecture")
    shape = architecture if isinstance(architecture, dict) else entry
    per_million = is_per_million or bool(entry.get("pricing_in_display_units"))
    pricing = entry.get("pricing")
    return Model(
        id=name,
        also=_other_names(name, entry),
        takes=_words(shape.get("input_modalities")) or (),
        gives=_gives(shape),
        prices=dict(_prices(pricing if isinstance(pricing, dict) else {}, per_million=per_million)),
    )


def _other_names(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    aliases = (
        entry.get("root"),
        entry.get("canonical_slug"),
        *(_words(entry.get("aliases")) or ()),
    )
    names = (alias for alias in aliases if isinstance(alias, str) and alias != name)
    return tuple(dict.fromkeys(filter(None, names)))


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
