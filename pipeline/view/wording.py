"""How counts, money, times and other people's words are said."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# C0 and C1 controls, zero-width and bidirectional marks: what could move a terminal's cursor, or
# make a line read otherwise than it is written (CVE-2021-42574).
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_UNSEEN_BUT_LINES = re.compile(f"(?!\n){_UNSEEN.pattern}")
# Our own colours, which nothing else puts there to any harm.
_OURS = re.compile("\x1b\\[(?:0|1|2|31|32|33)m")
_COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Colour, or none: ``style("made 3", "green")``."""

    is_on: bool = False

    def __call__(self, text: str, color: str) -> str:
        """``text`` in one of red, green, yellow, bold, dim; as it is where colour is off."""
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self.is_on else text


def printable(text: str, *, at_most: int | None = None) -> str:
    """Words from outside, safe on a terminal: one line, no control or bidi marks, maybe cut."""
    line = _UNSEEN.sub(" ", text.encode(errors="replace").decode())
    return line if at_most is None or len(line) <= at_most else f"{line[: at_most - 1]}…"


def seen(text: str) -> str:
    """Whole lines on their way to a terminal, whoever wrote them: our colours and nothing else."""
    parts = _OURS.split(text.encode(errors="replace").decode())
    colors = [*_OURS.findall(text), ""]
    clean = (_UNSEEN_BUT_LINES.sub(" ", part) for part in parts)
    return "".join(part + color for part, color in zip(clean, colors, strict=True))


def in_json(line: str) -> str:
    """A line of JSON that says the same, and shows on a terminal as what it is."""
    return _UNSEEN.sub(lambda unseen: f"\\u{ord(unseen[0]):04x}", line)


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 image``, ``1,632 images``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def money(usd: float) -> str:
    """``$3.20``; below a cent the digits that matter: ``$0.0004``."""
    return f"${usd:,.2f}" if usd == 0 or usd >= 0.01 else f"${usd:.2g}"


def money_between(low_usd: float, high_usd: float) -> str:
    """``$3.20-$4.10``, rounded away from each other so that it still holds what it held.

    Below a dollar with the digits that matter; one sum, ``$0.078``, where both are the same.
    """
    n_digits = max(2, 2 - math.floor(math.log10(high_usd))) if 0 < high_usd < 1 else 2
    if low_usd == high_usd:
        return _rounded(low_usd, n_digits + 2, ROUND_HALF_UP)
    low, high = (
        _rounded(low_usd, n_digits, ROUND_FLOOR),
        _rounded(high_usd, n_digits, ROUND_CEILING),
    )
    return low if low == high else f"{low}-{high}"


def _rounded(usd: float, n_digits: int, how: str) -> str:
    """At most ``n_digits`` behind the point, and two at least."""
    exact = Decimal(f"{usd:.9f}").quantize(Decimal(1).scaleb(-n_digits), rounding=how)
    whole, _, digits = f"{exact:,f}".partition(".")
    return f"${whole}.{digits[:2]}{digits[2:].rstrip('0')}"


def duration(seconds: float) -> str:
    """``8.2 s``, ``2 min 13 s``, ``3 h 05 min``, ``2 d 3 h``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def seconds(number: float) -> str:
    """``41 s``, ``2 min 13 s``: whole ones, for what changes while it is read."""
    return f"{number:.0f} s" if number < 59.5 else duration(number)


def clock(seconds: float) -> str:
    """``2:13``, ``1:02:13``, for the live line."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(per_s: float) -> str:
    """``12.3 images/s``; slow ones by the minute too: ``0.07 images/s (4.2 a minute)``."""
    if per_s >= 1 or not per_s:
        return f"{per_s:.1f} images/s"
    return f"{per_s:.2f} images/s ({per_s * 60:.1f} a minute)"


def short_rate(per_s: float) -> str:
    """``12.3/s``, ``4.2/min``, for the live line."""
    return f"{per_s:.1f}/s" if per_s >= 1 or not per_s else f"{per_s * 60:.1f}/min"


def reasons(by_why: Mapping[str, int]) -> str:
    """``refused 10, no_image 2``, the most frequent first."""
    by_number = sorted(by_why.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{printable(why)} {number}" for why, number in by_number if number)


def size(n_bytes: float) -> str:
    """``340 kB``, ``2.4 GB``: powers of 1,000, as disks are sold and ``df -H`` says."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return (
                f"{n_bytes:.0f} {unit}"
                if unit == "B" or n_bytes >= 100
                else f"{n_bytes:.1f} {unit}"
            )
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
