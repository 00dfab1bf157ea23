"""How long a limit that was found is left alone before it is felt for again."""

from __future__ import annotations

_SAME = 0.15


class Rest:
    """Twice as long each time the same limit is found again, give or take 15 %."""

    __slots__ = ("_found", "_most_s", "_rest_s", "_s")

    def __init__(self, rest_s: float, most_s: float) -> None:
        """From ``rest_s`` to ``most_s`` seconds."""
        self._rest_s = rest_s
        self._most_s = most_s
        self._s = rest_s
        self._found = 0.0

    def after(self, found: float) -> float:
        """Seconds to rest, now that ``found`` is the limit."""
        is_same = abs(found - self._found) <= _SAME * self._found
        self._s = min(2 * self._s, self._most_s) if is_same else self._rest_s
        self._found = found
        return self._s
