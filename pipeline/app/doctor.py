"""``imagebatch doctor``: whether a provider can be worked with, and what it is like.

It writes nothing. The questions go from the cheap to the dear, and the first that is answered
badly ends them: what comes behind it would only repeat the bad news.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.app import catalog
from pipeline.app.asking import provider_for
from pipeline.app.console import Console
from pipeline.app.models import PATIENCE, address_of, chosen_by
from pipeline.app.probe import Nowhere, Watched, connection, without_user
from pipeline.core.model import Failure, Task
from pipeline.engine.worker import Worker
from pipeline.errors import NotAllowed, Stop, Unreachable, exit_code_of
from pipeline.job.environment import environment
from pipeline.job.keys import key_of
from pipeline.provider.catalog import PATHS, Catalog
from pipeline.provider.checkup import (
    ASKED_RATIO,
    NETWORK,
    SOME_FAILED,
    Check,
    Sample,
    Verdict,
    bad,
    of_clock,
    of_key,
    of_list,
    of_model,
    of_sample,
    ok,
    skipped,
    warning,
    worst_of,
)
from pipeline.provider.dialects import Wish, dialect_of, unsayable
from pipeline.provider.http import Http, Patience
from pipeline.provider.remote import Remote
from pipeline.view.doctor import doctor_text

if TYPE_CHECKING:
    import argparse

    from pipeline.app.catalog import Listing
    from pipeline.engine.worker import Got
    from pipeline.job.job import Chosen
    from pipeline.job.profile_spec import ProfileSpec
    from pipeline.provider.http import Address

_CONNECT_S = 10.0
_PROMPT = "A red circle on a white background"


def perform(arguments: argparse.Namespace) -> int:
    """Print what was found; the exit code is that of the first bad news, 0 where there is none."""
    console = Console(arguments)
    chosen = chosen_by(arguments)
    if arguments.model:
        named = chosen.profile.model_copy(update={"model": arguments.model})
        chosen = replace(chosen, profile=named)
    checks = asyncio.run(_checks(chosen, is_paid=arguments.spend))
    code = worst_of(checks)
    if not console.is_json:
        rows = [(c.name, str(c.verdict), c.found, c.advice) for c in checks]
        console.conclude(lambda style: doctor_text(rows, style=style), is_success=not code)
        return code
    for check in checks:
        told = {"verdict": check.verdict, "found": check.found, "advice": check.advice or None}
        console.emit({"event": "check", "check": check.name, **told})
    n_bad = sum(check.verdict is Verdict.BAD for check in checks)
    n_warnings = sum(check.verdict is Verdict.WARNING for check in checks)
    console.emit({"event": "summary", "exit_code": code, "bad": n_bad, "warnings": n_warnings})
    return code


async def _checks(chosen: Chosen, *, is_paid: bool) -> list[Check]:
    try:
        key = key_of(chosen, environment())
        missing = None
    except NotAllowed as stop:
        key, missing = None, stop
    async with address_of(chosen, key) as address:
        examination = _Examination(chosen, address, missing)
        await examination.look(is_paid=is_paid)
    mask = key.masked_in if key else str
    return [
        replace(one, found=mask(one.found), advice=mask(one.advice)) for one in examination.done
    ]


class _Examination:
    """What was found so far."""

    def __init__(self, chosen: Chosen, address: Address, missing: Stop | None) -> None:
        self._chosen = chosen
        self._address = address
        self._missing = missing
        self._listed = Catalog()
        self.done: list[Check] = []

    def _has_failed(self) -> bool:
        return any(check.verdict is Verdict.BAD for check in self.done)

    async def look(self, *, is_paid: bool) -> None:
        """Look at everything, or up to the first bad news."""
        profile = self._chosen.profile
        self.done.append(
            ok("profile", f"{self._chosen.file}: {profile.dialect} at {self._address.base_url}")
        )
        self.done.append(self._key())
        await self._look_at_the_way()
        if self._has_failed():
            return
        async with Http(self._address, PATIENCE) as http:
            await self._look_at_the_list(http)
        if self._has_failed():
            return
        self.done.append(of_model(profile.model, self._listed))
        if is_paid and profile.model:
            await self._look_at_images(profile.model)
        elif is_paid:
            self.done.append(skipped("images", "no model to ask for", "name one with `--model`"))
        else:
            what = "`--spend` makes two, plain and streamed, which costs what two images cost"
            self.done.append(skipped("images", "not asked for", what))

    async def _look_at_the_way(self) -> None:
        if proxy := self._address.proxy:
            self.done.append(ok("proxy", without_user(proxy), "from HTTPS_PROXY or the like"))
            return  # what can be reached from here says nothing about what it can reach
        self.done += await connection(self._address.base_url)

    def _key(self) -> Check:
        profile = self._chosen.profile
        if self._missing:
            return bad("key", "missing", str(self._missing), exit_code=exit_code_of(self._missing))
        if self._address.key is None:
            is_named = bool(profile.key_place)
            why = "plain http to another machine gets no key" if is_named else "none needed"
            return warning("key", why, "use https") if is_named else ok("key", why)
        return ok("key", f"from {profile.key_place}")

    async def _look_at_the_list(self, http: Http) -> None:
        try:
            listing = await catalog.fetch(http, PATHS[-1], self._address.key)
        except Unreachable as stop:
            self.done.append(_of_stop("answer", stop, NETWORK))
            return
        self.done.append(of_clock(listing.headers.get("date"), listing.arrived_at))
        if not listing.has_list:
            self.done.append(_of_no_list(listing))
            return
        self._listed = await self._list_by(http)
        self.done.append(of_list(self._listed))
        if self._address.key:
            self.done.append(await self._key_accepted(http))

    async def _list_by(self, http: Http) -> Catalog:
        dialect = self._chosen.profile.dialect
        try:
            return await catalog.ask(http, dialect=dialect, key=self._address.key)
        except Stop:  # the plain list came, one of the others did not
            return Catalog()

    async def _key_accepted(self, http: Http) -> Check:
        try:
            async with Http(replace(self._address, key=None), PATIENCE) as keyless:
                without = await catalog.fetch(keyless, PATHS[-1], self._address.key)
            account = (
                await catalog.fetch(http, "/key", self._address.key) if without.has_list else None
            )
        except Unreachable:
            return skipped("key accepted", "not known: the provider answers no more")
        return of_key(
            keyless_status=without.status,
            account_status=account.status if account else None,
            account=account.document if account else None,
        )

    async def _look_at_images(self, model: str) -> None:
        """Ask for one each way; a refusal of key, credit or model holds for the other way too."""
        for name, is_streamed in (("plain", False), ("streamed", True)):
            if worst_of(self.done) in (0, SOME_FAILED):
                self.done += await self._image(name, model, is_streamed=is_streamed)

    async def _image(self, name: str, model: str, *, is_streamed: bool) -> tuple[Check, ...]:
        profile, key = self._chosen.profile, self._address.key
        patience = Patience(
            connect_s=_CONNECT_S, idle_s=300, total_s=600, most_body_bytes=profile.max_body
        )
        provider = provider_for(
            profile.model_copy(update={"stream": is_streamed}),
            mask=key.masked_in if key else str,
            gives=self._listed.gives,
        )
        task = _task(profile, model)
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(Watched(self._address, patience))
            links = Remote(self._address, patience) if profile.remote_images else None
            worker = Worker(
                provider=provider,
                transport=http,
                links=await stack.enter_async_context(links) if links else None,
            )
            began = time.monotonic()
            got = await worker.attempt(task, Nowhere())
            if isinstance(got, Failure) and got.stop and got.n_tries_before_stop:
                got = await worker.attempt(task, Nowhere())  # as a run would, asking in another way
            seconds = time.monotonic() - began
        if isinstance(got, Failure):
            return (_of_failure(f"{name}: image", got),)
        sample = _sample(got, http, seconds)
        return of_sample(name, sample, asked_ratio=task.aspect_ratio)


def _task(profile: ProfileSpec, model: str) -> Task:
    """What is asked for: a picture of a certain format, where the dialect can say it."""
    wish = Wish(model=model, aspect_ratio=ASKED_RATIO)
    is_sayable = unsayable(dialect_of(profile.dialect, profile.server), wish) is None
    return Task(
        id="doctor",
        index=0,
        sample=0,
        prompt=_PROMPT,
        model=model,
        aspect_ratio=ASKED_RATIO if is_sayable else None,
        params={name: value for name, value in profile.params.items() if name != "stream"},
    )


def _of_no_list(listing: Listing) -> Check:
    if listing.status in catalog.NO_LIST:
        what = "models cannot be checked before a request; where base_url is right, go on"
        return warning("model list", f"none: {PATHS[-1]} answers {listing.status}", what)
    return _of_stop("model list", catalog.no_list(listing, PATHS[-1]))


def _of_stop(name: str, stop: Stop, advice: str = "") -> Check:
    return bad(name, str(stop), advice, exit_code=exit_code_of(stop))


def _of_failure(name: str, failure: Failure) -> Check:
    """A paid request that brought no image: what a run would say of it."""
    told = f"{failure.why}: {failure.answer.detail or failure.answer.text or 'nothing was said'}"
    if failure.stop:
        return _of_stop(name, failure.stop)
    again = "try again; a run would, by itself"
    if failure.why.is_final:
        again = "a run would not try again: see what it says"
    return bad(name, told, again, exit_code=SOME_FAILED)


def _sample(got: Got, http: Watched, seconds: float) -> Sample:
    first, answer = got.images[0], got.answer
    return Sample(
        headers=http.headers,
        seconds=seconds,
        places=http.places,
        n_documents=http.n_documents,
        media_type=first.media_type,
        n_images=len(got.images),
        n_bytes=sum(image.n_bytes for image in got.images),
        size=(first.width, first.height),
        cost_usd=answer.cost_usd,
        usage=answer.usage,
        request_id=answer.request_id,
        warnings=answer.warnings,
    )
