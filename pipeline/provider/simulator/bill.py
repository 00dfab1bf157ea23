"""What was asked and what was charged, for tests that count."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

MOST_GENERATIONS = 100_000
"""How many billed generations are remembered; older ones are forgotten, so memory is bounded."""


@dataclass(slots=True, kw_only=True)
class Bill:
    """The provider's side of the account.

    ``replayed``: replies that were given once more and not charged. ``prompts`` counts billed
    images by prompt; ``generations`` holds the id of every billed reply with its prompt's key, in
    the order in which they were asked for.
    """

    requests: int = 0
    billed: int = 0
    replayed: int = 0
    cost_usd: float = 0.0
    by_status: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    generations: deque[tuple[str, str]] = field(
        default_factory=lambda: deque(maxlen=MOST_GENERATIONS)
    )

    def charge(self, n_images: int, cost_usd: float) -> None:
        """Put images on the bill; ``cost_usd`` is for all of them."""
        self.billed += n_images
        self.cost_usd += cost_usd

    def charge_prompt(self, prompt: str, n_images: int, *, generation: str) -> None:
        """Count images under their prompt, and note the id of the reply that carries them."""
        key = prompt_key(prompt)
        self.prompts[key] += n_images
        self.generations.append((generation, key))

    def told(self, *, in_flight_peak: int, with_generations: bool = False) -> dict[str, Any]:
        """The bill as ``GET /bill`` tells it; ``GET /bill?generated=1`` names every reply too."""
        told = {
            "requests": self.requests,
            "billed": self.billed,
            "replayed": self.replayed,
            "cost_usd": round(self.cost_usd, 9),
            "in_flight_peak": in_flight_peak,
            "by_status": dict(sorted(self.by_status.items())),
            "by_fault": dict(sorted(self.by_fault.items())),
            "prompts": dict(self.prompts),
        }
        if with_generations:
            told["generated"] = [{"id": name, "prompt": key} for name, key in self.generations]
        return told


def prompt_key(prompt: str) -> str:
    """The first 16 hexadecimal digits of the prompt's SHA-256."""
    return sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
