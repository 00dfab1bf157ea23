"""What every dialect gathers from the parsed documents of one reply, beside its images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.provider.complaint import error_in
from pipeline.provider.values import amount_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_REASONS, _LONGEST_REASON = 16, 100
_MOST_LINKS = 100


@dataclass(kw_only=True)
class Gathered:
    """What was said so far. ``served_model`` starts as the one that was asked for.

    ``runs`` are the numbers of the images, ``labels`` the types some came with, in lower case,
    ``linked`` addresses that stand in the place of images, ``n_images_named`` how many were
    announced, with bytes or without.
    """

    served_model: str | None
    text: str = ""
    error: dict[str, Any] | None = None
    finish: set[str] = field(default_factory=set)
    runs: dict[int, None] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    linked: dict[str, None] = field(default_factory=dict)
    n_images_named: int = 0
    request_id: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    cost_usd: float | None = None

    def note_finish(self, reason: str) -> None:
        """Why it ended, in lower case: a word, of which there are few."""
        if len(self.finish) < _MOST_REASONS:
            self.finish.add(reason.lower()[:_LONGEST_REASON])

    def note_links(self, links: Iterable[str]) -> None:
        """Addresses, of which more than are ever followed need not be known."""
        if len(self.linked) < _MOST_LINKS:
            self.linked |= dict.fromkeys(links)

    def take_envelope(self, document: dict[str, Any]) -> None:
        """What stands at the top of a document, the same in every dialect."""
        self.error = self.error or error_in(document)
        self.served_model = text_of(document.get("model")) or self.served_model
        self.request_id = self.request_id or text_of(document.get("id")) or None
        if isinstance(usage := document.get("usage"), dict):
            self.usage = usage
            self.cost_usd = amount_of(usage.get("cost"))
