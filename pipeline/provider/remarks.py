"""What is odd about a reply that brought its images all the same: the warnings of its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pipeline.provider.complaint import message_of
from pipeline.provider.mentions import is_mislabelled
from pipeline.provider.oddities import doubt_about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Task
    from pipeline.core.ports import Broken, Sighting

_FINISHES = {
    "length": "the reply ended at its length limit",
    "max_tokens": "the reply ended at its length limit",
    "content_filter": "the provider's content filter ended the reply",
}


class Said(Protocol):
    """The part of a reply's meaning that there may be something to say about."""

    error: dict[str, Any] | None
    finish: set[str]
    labels: dict[int, str]


def remarks_on(
    said: Said,
    images: Sequence[Sighting],
    task: Task,
    *,
    n_garbage: int,
    broken: Broken | str | None,
) -> tuple[str, ...]:
    """A sentence for each oddity; ``broken``: why the reply has no end."""
    remarks = [
        f"labelled {label}, is {image.media_type}"
        for image in images
        if is_mislabelled(label := said.labels.get(image.number, ""), image.media_type)
    ]
    remarks += filter(None, (doubt_about(image.width, image.height, task) for image in images))
    remarks += dict.fromkeys(_FINISHES[word] for word in sorted(said.finish) if word in _FINISHES)
    if said.error is not None:
        remarks.append(f"behind the image came an error: {message_of(said.error)}")
    if broken:
        remarks.append(f"the reply broke off behind the image: {broken}")
    if n_garbage:
        remarks.append(f"{n_garbage} of the reply's events are not JSON")
    return tuple(remarks)
