"""``imagebatch models``: the provider's models that make images."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.console import Console
from pipeline.job.environment import environment, proxy_for
from pipeline.job.keys import key_of
from pipeline.job.profiles import load_profile
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.simulator.child import running
from pipeline.view.models import models_text
from pipeline.view.wording import duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from pipeline.core.model import Secret
    from pipeline.job.job import Chosen
    from pipeline.provider.catalog import Catalog

PATIENCE = Patience(connect_s=10, idle_s=30, total_s=60, most_body_bytes=64 * 1024 * 1024)


def perform(arguments: argparse.Namespace) -> int:
    """Print them; raises a Stop where the provider cannot be reached or refuses."""
    console = Console(arguments)
    chosen = chosen_by(arguments)
    key = key_of(chosen, environment())
    base_url = chosen.profile.base_url or ""
    there = None if arguments.refresh else catalog.kept(base_url, key)
    if there:
        when = duration(there.age_s)
        console.note(f"this list is {when} old; `imagebatch models --refresh` asks for it again")
    _show(there.catalog if there else asyncio.run(_asked(chosen, key)), chosen, console)
    return 0


def chosen_by(arguments: argparse.Namespace) -> Chosen:
    """The profile that the flag or the environment names, the simulator's where neither does."""
    named = arguments.provider or environment().get("IMAGEBATCH_PROVIDER") or "simulator"
    return load_profile(named)


@asynccontextmanager
async def address_of(chosen: Chosen, key: Secret | None) -> AsyncIterator[Address]:
    """Where the provider is; the embedded one is there for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        base_url = chosen.profile.base_url or ""
        if chosen.profile.simulator:
            base_url = await stack.enter_async_context(
                running(chosen.profile.simulator, environment())
            )
        yield Address(
            base_url=base_url,
            key=key,
            headers=chosen.profile.headers,
            proxy=proxy_for(base_url),
        )


async def _asked(chosen: Chosen, key: Secret | None) -> Catalog:
    async with address_of(chosen, key) as address, Http(address, PATIENCE) as http:
        listed = await catalog.ask(http, dialect=chosen.profile.dialect, key=key)
    if not chosen.is_simulated:
        catalog.keep(listed, address.base_url, key)
    return listed


def _show(listed: Catalog, chosen: Chosen, console: Console) -> None:
    models = listed.models
    if not console.is_json:
        console.say(models_text([(m.id, m.takes, m.gives, m.prices) for m in models], chosen.name))
        return
    for model in models:
        console.emit(
            {
                "event": "model",
                "id": model.id,
                "input_modalities": model.takes,
                "output_modalities": model.gives,
                "prices_usd": model.prices,
            }
        )
    console.emit({"event": "summary", "exit_code": 0, "models": len(models)})
