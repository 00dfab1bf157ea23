"""The chat-completions dialect: ``POST /chat/completions`` with ``modalities``.

Knox's image guide (docs/image-generation.mdx) and OpenRouter's chat path put images into
``message.images[]`` and, streamed, ``delta.images[]``; Knox's API reference and vLLM-omni into a
list of content parts; new-api and LiteLLM before 1.77 into the content as a data URL; one-hub into
``message.image[]``. All are read; the first that holds an image gives the order.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.core.model import Answer, Failure, Reply, Request, Task
from pipeline.core.ports import Break, Broken
from pipeline.provider.dialects import Unsayable, Wish, dialect_of, image_urls, request_of
from pipeline.provider.extract import references_in, without_references
from pipeline.provider.faults import Complaint, failure_of_break, row_for
from pipeline.provider.gathered import Gathered
from pipeline.provider.halts import Halt
from pipeline.provider.mentions import labels_in, links_in, up_to
from pipeline.provider.reader import NOTHING_ELSE, Allowed, Asked, ReplyReader
from pipeline.provider.values import MOST_TEXT, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.ports import Reader

MODALITIES = ("image", "text")
_IMAGE_ONLY = ("image",)
_NO_IMAGE_PARTS = frozenset({"text", "refusal", "reasoning", "thinking", "input_audio", "file"})

# A markdown image, or a bare data URL, whose base64 the scanner has replaced.
_DATA_URL = re.compile(
    "!?\\[[^\\]\\n]{0,500}+\\]\\((?:data:[^)\x00]{0,500}+)?\x00[^)]{0,500}+\\)"
    "|data:[^\\s,\x00]{0,500}+,?(?=\x00)",
    re.IGNORECASE,
)


def _nobody_says(_: str) -> None:
    """What a model puts out, where no list tells."""


class Chat:
    """Implements the Provider port. Never does I/O."""

    def __init__(
        self,
        *,
        is_streamed: bool,
        mask: Callable[[str], str],
        gives: Callable[[str], Sequence[str] | None] = _nobody_says,
        allowed: Allowed = NOTHING_ELSE,
        server: str | None = None,
    ) -> None:
        """``mask`` takes the key out of a text; ``gives``: what a model puts out, if known.

        ``server`` names one that wants requests of its own, see ``dialects.DIALECTS``.
        """
        self._dialect = dialect_of("chat", server)
        self._is_streamed = is_streamed
        self._mask = mask
        self._gives = gives
        self._allowed = allowed
        self._modalities: dict[str, tuple[str, ...]] = {}
        self._turned: set[str] = set()

    def request_for(self, task: Task) -> Request:
        """The request that asks for this task's images.

        Neutral names go where the server wants them; what ``params`` says itself is sent as it is.
        Raises :class:`Broken` for what cannot be said.
        """
        try:
            said = self._dialect.says(Wish.of(task))
        except Unsayable as no:
            raise Broken(Break.UNSENDABLE, f"{no.key}: {no}") from None
        fields = _overlaid(said, task.params)
        body: dict[str, Any] = {
            "model": task.model,
            "messages": [{"role": "user", "content": _content(task)}],
        }
        if self._dialect.has_modalities:
            body["modalities"] = self._modalities_of(task.model)
        body |= {self._dialect.inside: fields} if self._dialect.inside else fields
        if self._is_streamed:
            body["stream"] = True
        return request_of(self._dialect, body, task)

    def _modalities_of(self, model: str) -> tuple[str, ...]:
        """OpenRouter answers 404 where text is asked of a model that only draws."""
        if model not in self._modalities:
            gives = self._gives(model)
            draws_only = gives is not None and "text" not in gives
            self._modalities[model] = _IMAGE_ONLY if draws_only else MODALITIES
        return self._modalities[model]

    def reader_of(self, reply: Reply, task: Task) -> Reader:
        """A reader for this reply, whether it is streamed or not."""
        meaning = ChatMeaning(served_model=task.model)
        asked = Asked(task=task, learn=partial(self._learn, task))
        return ReplyReader(reply, meaning, asked=asked, mask=self._mask, allowed=self._allowed)

    def _learn(self, task: Task, complaint: Complaint) -> bool:
        """Where a model does not give the modalities asked for, ask for the others, once."""
        if "modalities" in task.params or row_for(complaint).halt is not Halt.MODALITIES:
            return False
        if task.model not in self._turned:
            self._turned.add(task.model)
            is_narrow = self._modalities_of(task.model) == _IMAGE_ONLY
            self._modalities[task.model] = MODALITIES if is_narrow else _IMAGE_ONLY
        return True

    def failure_of(self, broken: Broken) -> Failure:
        """The verdict where no reply came at all."""
        return failure_of_break(broken.how, Answer(detail=self._mask(str(broken))))


def _content(task: Task) -> str | list[dict[str, Any]]:
    """The prompt; with references a list of parts, the text first (Knox, docs/image-generation)."""
    if not task.references:
        return task.prompt
    return [{"type": "text", "text": task.prompt}, *image_urls(task)]


def _overlaid(said: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What ``params`` says over what the settings say; objects of one name are joined."""
    joined = {
        name: said[name] | params[name]
        for name in said.keys() & params.keys()
        if isinstance(said[name], dict) and isinstance(params[name], dict)
    }
    return said | dict(params) | joined


class ChatMeaning(Gathered):
    """What the documents of one chat reply say. See ``reader.Meaning``."""

    @property
    def links(self) -> list[str]:
        """Addresses in the place of images; those in the text may come in several events."""
        return [*self.linked, *links_in(self.text)]

    def take(self, document: dict[str, Any]) -> None:
        """Take in the whole reply, or one event of a stream."""
        self.take_envelope(document)
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        for key in ("native_finish_reason", "finish_reason"):
            if reason := text_of(choice.get(key)):
                self.note_finish(reason)
        # One of Knox's examples puts role and content into the choice itself.
        said = next(
            (value for key in ("message", "delta") if isinstance(value := choice.get(key), dict)),
            choice,
        )
        self._take_content(said.get("content"))
        for key in ("images", "image"):
            self._take_images(said.get(key))
        if refusal := text_of(said.get("refusal")):
            self.note_finish("refusal")
            self._say(refusal)

    def _take_content(self, content: object) -> None:
        if isinstance(content, str):
            self._take_runs(content)
            self._say(content)
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if isinstance(text := part.get("text"), str):
                self._take_content(text)
            elif text_of(part.get("type")) not in _NO_IMAGE_PARTS:
                self._take_images([part])

    def _take_images(self, images: object) -> None:
        for item in images if isinstance(images, list) else [images] if images else []:
            self.n_images_named += 1
            for text in _strings_in(item):
                self._take_runs(text)
                self.note_links(links_in(text))

    def _take_runs(self, text: str) -> None:
        if "\x00" in text:
            self.runs |= dict.fromkeys(references_in(text))
            self.labels |= labels_in(text)

    def _say(self, text: str) -> None:
        if len(self.text) >= MOST_TEXT:
            return
        text = up_to(text, MOST_TEXT)
        if "\x00" in text:
            text = without_references(_DATA_URL.sub("", text)).strip()
        self.text = (self.text + text)[:MOST_TEXT]


def _strings_in(item: object, depth: int = 4) -> list[str]:
    """Every string in ``item``: an image object's URL or base64, under whatever key it stands."""
    if isinstance(item, str):
        return [item]
    if not isinstance(item, dict) or not depth:
        return []
    return [text for value in item.values() for text in _strings_in(value, depth - 1)]
