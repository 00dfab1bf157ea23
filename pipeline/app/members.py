"""A job's providers, connected: what asks each of them, its gate, and what it lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.asking import mark_for, provider_for, sayable_for
from pipeline.engine.routes import Route
from pipeline.engine.worker import Worker
from pipeline.job import limits
from pipeline.job.environment import environment, proxy_for
from pipeline.limit.lane import Lane, Limits
from pipeline.provider.catalog import Catalog
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.remote import Remote
from pipeline.provider.simulator.child import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
    from contextlib import AsyncExitStack

    from pipeline.core.admission import Gate
    from pipeline.core.model import Image, Secret
    from pipeline.job.job import Chosen, Job
    from pipeline.job.profile_spec import LimitsSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One provider, connected; ``listed``: the models it says it has."""

    chosen: Chosen
    route: Route
    listed: Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a connection needs beside the job. ``keys``: by the name of whose they are.

    ``asks_for_lists``: whether providers are asked for their models. ``problem_of``: as the worker
    has it, where the job wants it.
    """

    stack: AsyncExitStack
    keys: Mapping[str, Secret | None]
    asks_for_lists: bool
    problem_of: Callable[[Image], Awaitable[str | None]] | None


async def connected(job: Job, chosen: Chosen, means: Means) -> Member:
    """Open the way to one of the job's providers, for as long as the stack of ``means`` lasts."""
    profile, key = chosen.profile, means.keys.get(chosen.name)
    base_url = profile.base_url or ""
    if profile.simulator:
        base_url = await means.stack.enter_async_context(running(profile.simulator, environment()))
    address = Address(
        base_url=base_url, key=key, headers=profile.headers, proxy=proxy_for(base_url)
    )
    patience = Patience(
        connect_s=job.timeouts.connect,
        idle_s=job.timeouts.idle,
        total_s=job.timeouts.total,
        most_body_bytes=profile.max_body,
    )
    http = await means.stack.enter_async_context(Http(address, patience))
    links = Remote(address, patience) if profile.remote_images else None
    listed = Catalog()
    if means.asks_for_lists and not chosen.is_simulated:
        listed = await catalog.known(http, base_url=base_url, key=key, dialect=profile.dialect)
    worker = Worker(
        provider=provider_for(
            profile,
            mask=_masking(means.keys.values()),
            gives=listed.gives,
            adds=profile.params if job.others else {},
        ),
        transport=http,
        links=await means.stack.enter_async_context(links) if links else None,
        problem_of=means.problem_of,
        mark=mark_for(profile),
    )
    route = Route(
        name=chosen.name,
        attempt=worker.attempt,
        gate=_gate(limits.own(job, chosen)),
        serves=sayable_for(profile),
        weight=chosen.weight,
        hedges=profile.hedge,
    )
    return Member(chosen=chosen, route=route, listed=listed)


def overall_gate(job: Job) -> Gate | None:
    """A gate before all of a job's providers, where there are several: just what the job says."""
    if not job.others:
        return None
    return _gate(limits.overall(job).model_copy(update={"adaptive": False}))


def doubts(members: Collection[Member], models: Collection[str]) -> Iterator[str]:
    """What the lists have against ``models`` that not one of them has."""
    for model in models:
        if all(member.listed.doubt(model) for member in members):
            member = next(iter(members))
            yield from catalog.doubts(member.listed, [model], member.chosen)


def _gate(given: LimitsSpec) -> Gate:
    return Lane(
        Limits(
            concurrency=given.concurrency,
            requests_per_minute=given.requests_per_minute,
            images_per_minute=given.images_per_minute,
            is_adaptive=given.adaptive,
        )
    )


def _masking(keys: Collection[Secret | None]) -> Callable[[str], str]:
    """What takes every key out of a text: a gateway may quote another one's."""
    known = [key for key in keys if key]

    def mask(text: str) -> str:
        for key in known:
            text = key.masked_in(text)
        return text

    return mask
