"""What is odd about a reply: an image that is not as asked for, one that was lost on the way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Task

LARGEST_BLANK = 2
"""Pixels along an edge, up to which an image is a placeholder and no picture."""
WIDEST_MISS = 0.1
"""How far a ratio may be off: providers round to their models' blocks, by up to 4 %."""
LEAST_TOKENS = 1_000
"""Gemini spends 1,120 tokens and more on an image; words that were not sent are none of these."""

_RATIO = re.compile(r"([1-9]\d{0,4}):([1-9]\d{0,4})")
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


def doubt_about(width: int, height: int, task: Task) -> str | None:
    """What is wrong with an image of these pixels, None if it is as ``task`` asks."""
    found = f"{width}x{height} pixels"
    if max(width, height) <= LARGEST_BLANK:
        return f"the image is a placeholder of {found}"
    size = _SIZE.fullmatch(task.image_size or "")
    if size:
        is_right = (width, height) == (int(size[1]), int(size[2]))
        return None if is_right else f"the image has {found}, not the {size[0]} asked for"
    ratio = _RATIO.fullmatch(task.aspect_ratio or "")
    if ratio is None or not height:
        return None
    miss = width / height * int(ratio[2]) / int(ratio[1]) - 1
    if abs(miss) <= WIDEST_MISS:
        return None
    return f"the image has {found}, not the ratio {ratio[0]} asked for"


def lost_image_in(usage: Mapping[str, Any], text: str) -> str | None:
    """Whether a reply without image was charged for one: a gateway dropped it on the way."""
    details = usage.get("completion_tokens_details")
    of_what = details if isinstance(details, dict) else {}
    n_image = _number(of_what.get("image_tokens"))
    n_unseen = _number(usage.get("completion_tokens")) - _number(of_what.get("reasoning_tokens"))
    n_tokens = n_image or (n_unseen if n_unseen - len(text) > LEAST_TOKENS else 0)
    if not n_tokens:
        return None
    return f"the gateway dropped the image: the reply counts {n_tokens} tokens and carries none"


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
