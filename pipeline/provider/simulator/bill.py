"""What was asked and what was charged, for tests that count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(slots=True, kw_only=True)
class Bill:
    """The provider's side of the account. ``prompts`` counts billed images by prompt."""

    requests: int = 0
    billed: int = 0
    cost_usd: float = 0.0
    by_status: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)

    def charge(self, n_images: int, cost_usd: float) -> None:
        """Put images on the bill; ``cost_usd`` is for all of them."""
        self.billed += n_images
        self.cost_usd += cost_usd

    def charge_prompt(self, prompt: str, n_images: int) -> None:
        """Count images under their prompt."""
        self.prompts[prompt_key(prompt)] += n_images

    def told(self, *, in_flight_peak: int) -> dict[str, Any]:
        """The bill as ``GET /bill`` tells it."""
        return {
            "requests": self.requests,
            "billed": self.billed,
            "cost_usd": round(self.cost_usd, 9),
            "in_flight_peak": in_flight_peak,
            "by_status": dict(sorted(self.by_status.items())),
            "by_fault": dict(sorted(self.by_fault.items())),
            "prompts": dict(self.prompts),
        }


def prompt_key(prompt: str) -> str:
    """The first 16 hexadecimal digits of the prompt's SHA-256."""
    return sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
