"""The provider that tests ask, a simulator with its bill on a real socket, and a desk."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from beside import in_a_thread
from commands import Desk
from hypothesis import settings
from leaks import leaks_below

from pipeline.provider.simulator.server import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path

    from commands import Serving

    from pipeline.core.simulation import Simulation
    from pipeline.provider.simulator.server import Listening

settings.register_profile("by no clock", deadline=None)
settings.load_profile("by no clock")


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


@pytest.fixture(scope="session", autouse=True)
def _a_cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own lists of models are neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_leaks(
    _a_cache_of_our_own: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """No file that the tool wrote in any test holds a key or base64; see ``leaks``."""
    yield
    assert leaks_below(tmp_path_factory.getbasetemp()) == []


@pytest.fixture
def simulator() -> Callable[[Simulation], AbstractAsyncContextManager[Address]]:
    """``async with simulator(Simulation(...)) as base_url``; ``base_url.bill()`` counts."""

    @asynccontextmanager
    async def playing(simulation: Simulation) -> AsyncIterator[Address]:
        async with listening(simulation) as server:
            yield Address.of(server)

    return playing


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    """A folder of one's own and a command line in it."""
    before = signal.getsignal(signal.SIGTERM)
    yield Desk(tmp_path, monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def provider() -> Serving:
    """``with provider(Simulation(...)) as there``: a server in a thread of its own."""

    def serving(simulation: Simulation) -> AbstractContextManager[Listening]:
        return in_a_thread(lambda: listening(simulation))

    return serving
