"""The models on offer, in the shape of ``GET /v1/models`` (Knox Chat, list-available-models)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.provider.simulator.said import TOKENS_PER_IMAGE

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    id: str
    name: str
    input: tuple[str, ...] = ("text", "image")
    output: tuple[str, ...] = ("text", "image")


_MODELS = (
    _Model(id="simulator/painter", name="Simulator: Painter"),
    _Model(id="simulator/sketcher", name="Simulator: Sketcher", input=("text",), output=("image",)),
    _Model(id="google/gemini-2.5-flash-image", name="Google: Gemini 2.5 Flash Image"),
    _Model(id="google/gemini-3-pro-image-preview", name="Google: Gemini 3 Pro Image"),
    _Model(id="openai/gpt-5-image", name="OpenAI: GPT-5 Image"),
    _Model(id="black-forest-labs/flux.2-pro", name="FLUX.2 Pro", output=("image",)),
    _Model(id="simulator/writer", name="Simulator: Writer", input=("text",), output=("text",)),
)


def catalog(simulation: Simulation, *, modality: str | None = None) -> dict[str, Any]:
    """The list of models; ``modality``: only those that put it out (None or "all": every one)."""
    wanted = [m for m in _models(simulation) if modality in (None, "all", *m.output)]
    return {"object": "list", "data": [_entry(model, simulation) for model in wanted]}


def _models(simulation: Simulation) -> tuple[_Model, ...]:
    """Those on offer, and what else has a price of its own."""
    there = {model.id for model in _MODELS}
    others = (_Model(id=name, name=name) for name in simulation.prices if name not in there)
    return (*_MODELS, *others)


def _entry(model: _Model, simulation: Simulation) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "object": "model",
        "created": 1_735_689_600,
        "owned_by": model.id.partition("/")[0],
        "context_length": 32_768,
        "architecture": {
            "modality": f"{'+'.join(model.input)}->{'+'.join(model.output)}",
            "input_modalities": list(model.input),
            "output_modalities": list(model.output),
            "tokenizer": "Other",
        },
        "pricing": _prices(_listed_usd(model, simulation)),
        "top_provider": {"context_length": 32_768, "max_completion_tokens": 8_192},
        "supported_parameters": ["max_tokens", "seed", "temperature"],
    }


def _listed_usd(model: _Model, simulation: Simulation) -> float:
    """Of an image, or of one of its tokens."""
    usd = simulation.price_of(model.id) if "image" in model.output else 0.0
    return usd / TOKENS_PER_IMAGE if simulation.lists_token_prices else usd


def _prices(image_usd: float) -> dict[str, str]:
    prices = {"prompt": 0.0, "completion": 0.0, "request": 0.0, "image": 0.0}
    return {kind: f"{usd:.12f}" for kind, usd in {**prices, "image_output": image_usd}.items()}
