"""Samples of one prompt as requests of their own, where a cache would give one image for all.

OpenRouter replays a reply to the same body for the same key (guides/features/response-caching), if
a header asks for that: right for a request whose reply was lost, wrong for a second sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.provider.repeats import is_cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Failure, Reply, Request, Task
    from pipeline.core.ports import Broken, Provider, Reader

_OFF = frozenset({"", "0", "false", "no", "off"})


def asks_for_cache(headers: Mapping[str, str]) -> bool:
    """Whether a profile's headers have replies replayed."""
    return any(
        is_cache(name) and str(value).strip().lower() not in _OFF for name, value in headers.items()
    )


class _Asked:
    """A provider, asked in its dialect."""

    def __init__(self, provider: Provider) -> None:
        """``provider``: the dialect to ask in."""
        self._provider = provider

    def reader_of(self, reply: Reply, task: Task) -> Reader:
        """As the dialect does."""
        return self._provider.reader_of(reply, task)

    def failure_of(self, broken: Broken) -> Failure:
        """As the dialect does."""
        return self._provider.failure_of(broken)


class Adding(_Asked):
    """A provider whose requests carry parameters of its own."""

    def __init__(self, provider: Provider, params: Mapping[str, Any]) -> None:
        """``params``: what is sent where a task does not say otherwise."""
        super().__init__(provider)
        self._params = params

    def request_for(self, task: Task) -> Request:
        """The request, with what this provider adds."""
        params = {**self._params, **task.params}
        return self._provider.request_for(replace(task, params=params))


class DistinctSamples(_Asked):
    """A provider, asked so that no two samples are the same request; a retry still is."""

    def request_for(self, task: Task) -> Request:
        """The request, with a ``session_id`` of the sample's own from the second sample on.

        The seed, where there is one, tells samples apart already.
        """
        if task.sample and task.seed is None:
            session = f"{task.params.get('session_id', 'sample')}-{task.sample}"
            task = replace(task, params={**task.params, "session_id": session})
        return self._provider.request_for(task)
