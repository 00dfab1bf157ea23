"""What tasks of the same settings have in common, worked out once for all of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from pipeline.job import template

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pipeline.core.model import Reference
    from pipeline.job.template import Template

_IDENTIFYING = ("model", "aspect_ratio", "image_size")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """Settings, and what follows from them alone.

    ``settings`` has every name of :data:`pipeline.job.rows.SETTINGS`; ``references`` are its input
    images as templates; ``is_by_sample``: whether a template stands for another text in every
    sample. ``head`` and ``tail`` stand around the prompt in canonical JSON.
    """

    settings: Mapping[str, Any]
    references: tuple[Template, ...]
    is_by_sample: bool
    is_simulated: bool
    head: bytes
    tail: bytes

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], *, template_names: Collection[str], is_simulated: bool
    ) -> Self:
        """The form of ``settings``; ``template_names``: what the prompt's template names."""
        references = tuple(map(_parsed, settings["references"]))
        names = {*template_names, *(name for one in references for name in one.names)}
        has_seed = settings["seed"] is not None
        asked = {"params": settings["params"]}
        asked |= {name: settings[name] for name in _IDENTIFYING if settings[name] is not None}
        return cls(
            settings=settings,
            references=references,
            is_by_sample="sample" in names or (has_seed and "seed" in names),
            is_simulated=is_simulated,
            head=_canonical(asked)[:-1] + b',"prompt":',
            tail=_tail((), is_simulated=is_simulated),
        )

    def asked(self, prompt: str, references: tuple[Reference, ...]) -> bytes:
        """What is asked for, all but seed and sample, the same bytes for the same request.

        It is JSON with sorted keys. A setting that is not given is left out, so that settings of
        later versions change no identity.
        """
        tail = _tail(references, is_simulated=self.is_simulated) if references else self.tail
        return self.head + orjson.dumps(prompt) + tail


def _tail(references: tuple[Reference, ...], *, is_simulated: bool) -> bytes:
    """The keys that sort behind the prompt."""
    asked: dict[str, Any] = {}
    if references:
        asked["references"] = [reference.identity for reference in references]
    if is_simulated:
        asked["simulated"] = True
    return b"," + _canonical(asked)[1:] if asked else b"}"


def _canonical(asked: Mapping[str, Any]) -> bytes:
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)


_parsed = functools.lru_cache(maxsize=1024)(template.parse)
