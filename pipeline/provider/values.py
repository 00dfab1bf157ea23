"""Values of a parsed reply as what they should be, or as nothing: no reply's shape is trusted."""

from __future__ import annotations

MOST_TEXT = 64_000
"""How much of what a model says is kept, in characters."""


def text_of(value: object) -> str:
    """``value`` if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def amount_of(value: object) -> float | None:
    """US dollars; some gateways write them as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except ValueError:
        return None
    return amount if 0 <= amount < 1e6 else None
