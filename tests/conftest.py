"""The provider that tests ask: a simulator on a real socket, with its bill."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.provider.simulator.server import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from pipeline.core.simulation import Simulation
    from pipeline.provider.simulator.server import Listening


class Address(str):
    """A simulator's base URL, which can also be asked for the bill."""

    __slots__ = ("_server",)
    _server: Listening

    @classmethod
    def of(cls, server: Listening) -> Address:
        address = cls(server.base_url)
        address._server = server
        return address

    def bill(self) -> dict[str, Any]:
        return self._server.bill()


@pytest.fixture
def simulator() -> Callable[[Simulation], AbstractAsyncContextManager[Address]]:
    """``async with simulator(Simulation(...)) as base_url``; ``base_url.bill()`` counts."""

    @asynccontextmanager
    async def playing(simulation: Simulation) -> AsyncIterator[Address]:
        async with listening(simulation) as server:
            yield Address.of(server)

    return playing
