"""How a reply's strings speak of images: the label of a data URL, and links in an image's place."""

from __future__ import annotations

import re

_LABEL = re.compile("data:([^;,\x00\\s]*)[^,\x00]*,\\s*\x00run:(\\d+)\x00", re.IGNORECASE)
_MARKDOWN = re.compile(
    r"!\[[^\]\n]*\]\(\s*<?((?:https?://|/)[^\s)>\x00]+)>?[^)\n]*\)", re.IGNORECASE
)
_LINK = re.compile(r"\s*((?:https?://|/)[^\s\x00]+)\s*", re.IGNORECASE)
_SAYS_NOTHING = frozenset({"", "image", "image/*", "application/octet-stream"})
_OTHER_NAMES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}


def labels_in(text: str) -> dict[int, str]:
    """The media types, in lower case, that data URLs in ``text`` give to the runs behind them."""
    return {int(run): label.lower() for label, run in _LABEL.findall(text)}


def links_in(text: str) -> list[str]:
    """The addresses of Markdown images in ``text``, or the one that is all of it."""
    alone = _LINK.fullmatch(text)
    return [alone[1]] if alone else _MARKDOWN.findall(text)


def is_mislabelled(label: str, media_type: str) -> bool:
    """Whether ``label`` names another type than the bytes have; one that names none does not."""
    label = _OTHER_NAMES.get(label, label)
    return label not in _SAYS_NOTHING and label != media_type
