"""The simulator knows a request again: the same reply, whole, and not charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from conftest import Address

KEYED, CACHE = "Idempotency-Key", "X-OpenRouter-Cache"


def asking(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}


async def ask(base_url: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/chat/completions", json=body, headers=sent) as response,
    ):
        told: dict[str, Any] = await response.json()
        return told


async def test_a_value_that_came_before_is_given_the_same_reply(
    simulator: Callable[[Simulation], AbstractAsyncContextManager[Address]],
) -> None:
    settings = Simulation(latency_s=0, image_size="32x32", cost_usd=0.04, idempotency_header=KEYED)
    async with simulator(settings) as there:
        first = await ask(there, asking("a"), Idempotency_Key="one")
        assert await ask(there, asking("a"), Idempotency_Key="one") == first
        assert await ask(there, asking("a"), Idempotency_Key="two") != first
        await ask(there, asking("a"))
        bill = there.bill()
    assert (bill["requests"], bill["billed"], bill["replayed"]) == (4, 3, 1)


async def test_a_cached_body_costs_nothing_until_it_is_cleared(
    simulator: Callable[[Simulation], AbstractAsyncContextManager[Address]],
) -> None:
    settings = Simulation(latency_s=0, image_size="32x32", cost_usd=0.04, idempotency_header=CACHE)
    on = {"X_OpenRouter_Cache": "true"}
    async with simulator(settings) as there:
        first = await ask(there, asking("a"), **on)
        again = await ask(there, asking("a"), **on)
        await ask(there, asking("a", session_id="1"), **on)
        await ask(there, asking("a"), **on, X_OpenRouter_Cache_Clear="true")
        await ask(there, asking("a"))
        bill = there.bill()
    assert (first["usage"]["cost"], again["usage"]["cost"]) == (0.04, 0)
    assert first["id"] != again["id"]
    assert first["choices"] == again["choices"]
    assert (bill["requests"], bill["billed"], bill["replayed"]) == (5, 4, 1)


@pytest.mark.parametrize(
    ("fault", "replayed"), [("cut", 1), ("gateway_timeout", 1), ("server_error", 0), ("reset", 0)]
)
async def test_what_was_made_is_kept_however_it_went_out(
    simulator: Callable[[Simulation], AbstractAsyncContextManager[Address]],
    fault: str,
    replayed: int,
) -> None:
    rules = (FaultRule(fault=fault, request=1),)
    settings = Simulation(latency_s=0, image_size="32x32", rules=rules, idempotency_header=KEYED)
    async with simulator(settings) as there:
        with pytest.raises((aiohttp.ClientError, KeyError)):
            (await ask(there, asking("a"), Idempotency_Key="one"))["choices"]
        whole = await ask(there, asking("a"), Idempotency_Key="one")
        bill = there.bill()
    assert whole["choices"][0]["message"]["images"]
    assert (bill["billed"], bill["replayed"]) == (1, replayed)
