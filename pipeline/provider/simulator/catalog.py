"""The models on offer, in the shape of ``GET /v1/models`` (Knox Chat, list-available-models)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


def catalog(cost_usd: float, *, modality: str | None = None) -> dict[str, Any]:
    """The list of models; ``modality``: only those that put it out (None or "all": every one)."""
    wanted = [m for m in _MODELS if modality in (None, "all", *m.output)]
    return {"object": "list", "data": [_entry(model, cost_usd) for model in wanted]}


def _entry(model: _Model, cost_usd: float) -> dict[str, Any]:
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
        "pricing": _prices(cost_usd if "image" in model.output else 0.0),
        "top_provider": {"context_length": 32_768, "max_completion_tokens": 8_192},
        "supported_parameters": ["max_tokens", "seed", "temperature"],
    }


def _prices(per_image_usd: float) -> dict[str, str]:
    prices = {"prompt": 0.0, "completion": 0.0, "request": 0.0, "image": 0.0}
    return {kind: f"{usd:f}" for kind, usd in {**prices, "image_output": per_image_usd}.items()}
