"""The chat-completions dialect: ``POST /chat/completions`` with ``modalities``.

Knox's image guide (docs/image-generation.mdx) and OpenRouter's chat path put images into
``message.images[]`` and, streamed, ``delta.images[]``; Knox's API reference and vLLM-omni into a
list of content parts; new-api and LiteLLM before 1.77 into the content as a data URL; one-hub into
``message.image[]``. All are read; the first that holds an image gives the order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.core.model import Answer, Failure, Reply, Request, Task
from pipeline.provider.complaint import error_in
from pipeline.provider.extract import references_in, without_references
from pipeline.provider.faults import failure_of_break
from pipeline.provider.reader import ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.ports import Broken, Reader

MODALITIES = ("image", "text")
_NO_IMAGE_PARTS = frozenset({"text", "refusal", "reasoning", "thinking", "input_audio", "file"})
MOST_TEXT = 64_000
"""How much of what the model says is kept, in characters."""

# A markdown image, or a bare data URL, whose base64 the scanner has replaced.
_DATA_URL = re.compile(
    "!?\\[[^\\]\\n]*\\]\\((?:data:[^)\x00]*)?\x00[^)]*\\)|data:[^\\s,\x00]*,?(?=\x00)",
    re.IGNORECASE,
)


class Chat:
    """Implements the Provider port. Never does I/O."""

    def __init__(self, *, is_streamed: bool, mask: Callable[[str], str]) -> None:
        """``mask`` takes the key out of a text."""
        self._is_streamed = is_streamed
        self._mask = mask

    def request_for(self, task: Task) -> Request:
        """The request that asks for this task's images.

        Neutral names go where OpenRouter's guide puts them (``image_config``); what ``params``
        says itself is sent as it is.
        """
        image_config = {
            name: value
            for name, value in (
                ("aspect_ratio", task.aspect_ratio),
                ("image_size", task.image_size),
            )
            if value is not None
        }
        body: dict[str, Any] = {
            "model": task.model,
            "messages": [{"role": "user", "content": task.prompt}],
            "modalities": MODALITIES,
        }
        if task.seed is not None:
            body["seed"] = task.seed
        body |= task.params
        if image_config:
            body["image_config"] = image_config | dict(task.params.get("image_config") or {})
        if self._is_streamed:
            body["stream"] = True
        return Request(
            path="/chat/completions", body=orjson.dumps(body), is_streamed=self._is_streamed
        )

    def reader_of(self, reply: Reply, task: Task) -> Reader:
        """A reader for this reply, whether it is streamed or not."""
        return ReplyReader(reply, ChatMeaning(asked_model=task.model), mask=self._mask)

    def failure_of(self, broken: Broken) -> Failure:
        """The verdict where no reply came at all."""
        return failure_of_break(broken.how, Answer(detail=self._mask(str(broken))))


class ChatMeaning:
    """What the documents of one chat reply say, gathered. See ``reader.Meaning``."""

    def __init__(self, *, asked_model: str) -> None:
        """``asked_model`` served unless the reply names another."""
        self.text = ""
        self.error: dict[str, Any] | None = None
        self.finish: set[str] = set()
        self.runs: list[int] = []
        self.n_images_named = 0
        self.served_model: str | None = asked_model
        self.request_id: str | None = None
        self.usage: dict[str, Any] = {}
        self.cost_usd: float | None = None

    def take(self, document: dict[str, Any]) -> None:
        """Take in the whole reply, or one event of a stream."""
        self.error = self.error or error_in(document)
        self.served_model = _text(document.get("model")) or self.served_model
        self.request_id = self.request_id or _text(document.get("id")) or None
        if isinstance(usage := document.get("usage"), dict):
            self.usage = usage
            self.cost_usd = _amount(usage.get("cost"))
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        for key in ("native_finish_reason", "finish_reason"):
            if reason := _text(choice.get(key)):
                self.finish.add(reason.lower())
        # One of Knox's examples puts role and content into the choice itself.
        said = next(
            (value for key in ("message", "delta") if isinstance(value := choice.get(key), dict)),
            choice,
        )
        self._take_content(said.get("content"))
        for key in ("images", "image"):
            self._take_images(said.get(key))
        if refusal := _text(said.get("refusal")):
            self.finish.add("refusal")
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
            elif _text(part.get("type")) not in _NO_IMAGE_PARTS:
                self._take_images([part])

    def _take_images(self, images: object) -> None:
        for item in images if isinstance(images, list) else [images] if images else []:
            self.n_images_named += 1
            for text in _strings_in(item):
                self._take_runs(text)

    def _take_runs(self, text: str) -> None:
        self.runs += [run for run in references_in(text) if run not in self.runs]

    def _say(self, text: str) -> None:
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _amount(value: object) -> float | None:
    """US dollars; some gateways write them as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except ValueError:
        return None
    return amount if 0 <= amount < 1e6 else None
