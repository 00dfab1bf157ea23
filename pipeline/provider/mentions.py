"""How a reply's strings speak of images: the label of a data URL, and links in an image's place."""

from __future__ import annotations

import re

from pipeline.provider.values import MOST_TEXT

# Whoever reads a stranger's text does not go back in it, and not far: or it never ends.
_LONGEST_LINK = 8_192
_FARTHEST_LABEL = 256  # characters in front of its image
_LABEL = re.compile("data:([^;,\x00\\s]*+)[^,\x00]*+,\\s*+\\Z", re.IGNORECASE)
_RUN = re.compile("\x00run:([0-9]{1,9})\x00")
_MARKDOWN = re.compile(
    r"!\[[^\]\n]{0,500}+\]\(\s{0,9}+<?((?:https?://|/)[^\s)>\x00]{1,8192}+)>?[^)\n]{0,500}+\)",
    re.IGNORECASE,
)
_LINK = re.compile(r"\s*+((?:https?://|/)[^\s\x00]++)\s*+", re.IGNORECASE)
_SAYS_NOTHING = frozenset({"", "image", "image/*", "application/octet-stream"})
_OTHER_NAMES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}


def labels_in(text: str) -> dict[int, str]:
    """The media types, in lower case, that data URLs in ``text`` give to the runs behind them."""
    labels = {}
    for run in _RUN.finditer(text):
        before = text[max(0, run.start() - _FARTHEST_LABEL) : run.start()]
        at = before.lower().rfind("data:")
        label = _LABEL.match(before, at) if at >= 0 else None
        if label:
            labels[int(run[1])] = label[1].lower()
    return labels


def links_in(text: str) -> list[str]:
    """The addresses of Markdown images in ``text``, or the one that is all of it."""
    alone = _LINK.fullmatch(text) if len(text) <= _LONGEST_LINK else None
    return [alone[1]] if alone else _MARKDOWN.findall(text[:MOST_TEXT])


def up_to(text: str, most: int) -> str:
    """The first ``most`` characters, without the half of a reference at their end."""
    head = text[:most]
    return head[: head.rfind("\x00")] if head.count("\x00") % 2 else head


def is_mislabelled(label: str, media_type: str) -> bool:
    """Whether ``label`` names another type than the bytes have; one that names none does not."""
    label = _OTHER_NAMES.get(label, label)
    return label not in _SAYS_NOTHING and label != media_type
