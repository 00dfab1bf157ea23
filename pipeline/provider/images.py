"""The images dialects: ``POST /images/generations`` (OpenAI, SGLang, vLLM) and ``POST /images``.

Both answer ``data[]`` with ``b64_json`` or ``url``; streamed, both send ``image_generation.*``
events, whose partial images are previews and are passed over. Servers that cannot stream ignore
the wish and answer in one piece, which is read all the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Answer, Failure, Reply, Request, Task
from pipeline.core.ports import Break, Broken, Found
from pipeline.provider.dialects import Unsayable, Wish, dialect_of, image_urls, request_of
from pipeline.provider.extract import references_in, without_references
from pipeline.provider.faults import failure_of_break
from pipeline.provider.gathered import Gathered
from pipeline.provider.mentions import labels_in, links_in, up_to
from pipeline.provider.reader import NOTHING_ELSE, Allowed, Asked, ReplyReader
from pipeline.provider.values import MOST_TEXT, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.ports import Reader

_PARTIAL, _COMPLETED = ".partial_image", ".completed"
_IMAGE_KEYS = ("b64_json", "url")


class Images:
    """Implements the Provider port for both. Never does I/O."""

    def __init__(
        self,
        *,
        dialect: str,
        is_streamed: bool,
        mask: Callable[[str], str],
        allowed: Allowed = NOTHING_ELSE,
    ) -> None:
        """``dialect``: images or openrouter-images; ``mask`` takes the key out of a text."""
        self._allowed = allowed
        self._dialect = dialect_of(dialect)
        self._is_openrouter = dialect == "openrouter-images"
        self._is_streamed = is_streamed
        self._mask = mask

    def request_for(self, task: Task) -> Request:
        """The request that asks for this task's images; what ``params`` says wins.

        Raises :class:`Broken` for what the dialect cannot say.
        """
        body: dict[str, Any] = {"model": task.model, "prompt": task.prompt}
        if not self._is_openrouter:
            body["n"] = 1  # OpenRouter's providers of single images refuse any n at all
        try:
            body |= self._dialect.says(Wish.of(task))
        except Unsayable as no:
            raise Broken(Break.UNSENDABLE, f"{no.key}: {no}") from None
        if task.references:
            body["input_references"] = image_urls(task)
        body |= task.params
        if self._is_streamed:
            body["stream"] = True
        return request_of(self._dialect, body, task)

    def reader_of(self, reply: Reply, task: Task) -> Reader:
        """A reader for this reply, whether it is streamed or not."""
        meaning = ImagesMeaning(served_model=task.model)
        reader = _Counting(
            reply, meaning, asked=Asked(task=task), mask=self._mask, allowed=self._allowed
        )
        asked_n = task.params.get("n", 1)
        reader.n_asked = asked_n if isinstance(asked_n, int) else 1
        return reader

    def failure_of(self, broken: Broken) -> Failure:
        """The verdict where no reply came at all."""
        return failure_of_break(broken.how, Answer(detail=self._mask(str(broken))))


class _Counting(ReplyReader):
    """A reader that remarks on images that did not come: fewer than were asked for are no error."""

    n_asked = 1

    def close(self, broken: Broken | None = None) -> Found | Failure:
        """The verdict."""
        verdict = super().close(broken)
        if not isinstance(verdict, Found) or not 0 < len(verdict.images) < self.n_asked:
            return verdict
        remark = f"{self.n_asked} images were asked for, {len(verdict.images)} came"
        answer = replace(verdict.answer, warnings=(*verdict.answer.warnings, remark))
        return replace(verdict, answer=answer)


class ImagesMeaning(Gathered):
    """What the documents of one images reply say. See ``reader.Meaning``."""

    @property
    def links(self) -> list[str]:
        """Addresses in the place of images."""
        return [*self.linked]

    def take(self, document: dict[str, Any]) -> None:
        """Take in the whole reply, or one event of a stream."""
        kind = text_of(document.get("type"))
        if kind.endswith(_PARTIAL):
            return
        self.take_envelope(document)
        images = document.get("data")
        for image in images if isinstance(images, list) else ():
            if isinstance(image, dict):
                self._take_image(image)
        # An event without its type may be a preview that broke off before it.
        if kind.endswith(_COMPLETED):
            self._take_image(document)
        elif kind:
            self._say(text_of(document.get("text")) or text_of(document.get("delta")))

    def _take_image(self, image: dict[str, Any]) -> None:
        self.n_images_named += 1
        for text in filter(None, (text_of(image.get(key)) for key in _IMAGE_KEYS)):
            runs = [run for run in references_in(text) if run not in self.runs]
            self.runs |= dict.fromkeys(runs)
            if label := text_of(image.get("media_type")).lower():
                self.labels |= dict.fromkeys(runs, label)
            self.labels |= labels_in(text)
            self.note_links(links_in(text))
        self._say(text_of(image.get("revised_prompt")))

    def _say(self, text: str) -> None:
        if text and len(self.text) < MOST_TEXT:
            self.text = (self.text + without_references(up_to(text, MOST_TEXT)))[:MOST_TEXT]
