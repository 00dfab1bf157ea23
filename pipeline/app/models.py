"""``imagebatch models``: the provider's models that make images."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import orjson

from pipeline.app.console import Console
from pipeline.core.model import Answer
from pipeline.core.ports import Broken
from pipeline.errors import Stop, Unreachable
from pipeline.job.environment import environment, proxy_for
from pipeline.job.keys import key_of
from pipeline.job.profiles import load_profile
from pipeline.provider.catalog import PATHS, Model, image_models_in
from pipeline.provider.complaint import complaint_of, error_in
from pipeline.provider.faults import Complaint, failure_of
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.simulator.child import running
from pipeline.view.models import models_text

if TYPE_CHECKING:
    import argparse

    from pipeline.job.job import Chosen

PATIENCE = Patience(connect_s=10, idle_s=30, total_s=60, most_body_bytes=64 * 1024 * 1024)


def perform(arguments: argparse.Namespace) -> int:
    """Print them; raises a Stop where the provider cannot be reached or refuses."""
    console = Console(arguments)
    named = arguments.provider or environment().get("IMAGEBATCH_PROVIDER") or "simulator"
    chosen = load_profile(named)
    models = asyncio.run(_image_models(chosen))
    if console.is_json:
        for model in models:
            console.emit(
                {
                    "id": model.id,
                    "input_modalities": model.takes,
                    "output_modalities": model.gives,
                    "prices_usd": model.prices,
                }
            )
    else:
        console.say(models_text([(m.id, m.takes, m.gives, m.prices) for m in models], chosen.name))
    return 0


async def _image_models(chosen: Chosen) -> tuple[Model, ...]:
    profile = chosen.profile
    async with AsyncExitStack() as stack:
        base_url = profile.base_url or ""
        if profile.simulator:
            base_url = await stack.enter_async_context(running(profile.simulator))
        address = Address(
            base_url=base_url,
            key=key_of(chosen, environment()),
            headers=profile.headers,
            proxy=proxy_for(base_url),
        )
        http = await stack.enter_async_context(Http(address, PATIENCE))
        for path in PATHS:
            if models := image_models_in(await _document(http, path)):
                return models
    return ()


async def _document(http: Http, path: str) -> object:
    try:
        async with http.get(path) as reply:
            body = b"".join([chunk async for chunk in reply.body])
    except Broken as broken:
        raise Unreachable(f"the provider cannot be reached: {broken}") from None
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not 200 <= reply.status < 300:
        raise _refused(document, reply.status)
    if document is None:
        raise Unreachable(f"GET {path} answers with no JSON. Check base_url in the profile")
    return document


def _refused(document: object, status: int) -> Stop:
    """The stop the fault table knows for this answer, or one that shows it."""
    error = error_in(document)
    told = Complaint(status=status, is_html=document is None)
    complaint = complaint_of(error, status=status) if error else told
    stop = failure_of(complaint, Answer()).stop
    return stop or Unreachable(f"the list of models is not to be had: HTTP {status}")
