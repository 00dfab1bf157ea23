"""The simulated provider as an HTTP server: routes, start and end."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from pipeline.core.simulation import flaws_of
from pipeline.errors import BadUsage
from pipeline.provider.simulator.catalog import catalog
from pipeline.provider.simulator.cheap import listening_cheaply
from pipeline.provider.simulator.delivery import response_of
from pipeline.provider.simulator.desk import Desk
from pipeline.provider.simulator.faults import error_head
from pipeline.provider.simulator.painter import Painter
from pipeline.provider.simulator.shapes import IMAGES, OPENROUTER_IMAGES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator

    from pipeline.core.simulation import Simulation

_LARGEST_REQUEST = 256 * 2**20
_LONGEST_FAREWELL_S = 0.1
_BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A server that is up. ``host`` is as it was asked for, ``port`` the one it got."""

    host: str
    port: int
    desk: Desk

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    def bill(self) -> dict[str, Any]:
        """What ``GET /bill`` tells: requests, billed, cost_usd, in_flight_peak, by_status, ..."""
        return self.desk.bill.told(in_flight_peak=self.desk.peak)


async def serve(
    simulation: Simulation,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    started: Callable[[int], None],
    until: asyncio.Event,
) -> None:
    """Serve ``until`` is set; ``started`` is told the port as soon as requests are accepted.

    ``port`` 0 takes a free one. Raises BadUsage where the settings have flaws or the port is taken.
    """
    if simulation.cheap:
        await _serve_cheaply(simulation, (host, port), started, until)
        return
    async with listening(simulation, host=host, port=port) as server:
        started(server.port)
        await until.wait()


@asynccontextmanager
async def listening(
    simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Listening]:
    """A running server for as long as the context lasts. Raises as ``serve`` does."""
    _refuse_flaws(simulation)
    with Painter(simulation) as painter:
        desk = Desk(simulation, painter)
        runner = web.AppRunner(
            _application(desk, simulation),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_LONGEST_FAREWELL_S,
        )
        await runner.setup()
        try:
            await _open(runner, host, port)
            yield Listening(host=host, port=runner.addresses[0][1], desk=desk)
        finally:
            await runner.cleanup()


async def _serve_cheaply(
    simulation: Simulation,
    address: tuple[str, int],
    started: Callable[[int], None],
    until: asyncio.Event,
) -> None:
    _refuse_flaws(simulation)
    with _closed_means_bad_usage(*address):
        server = await listening_cheaply(simulation, *address, backlog=_BACKLOG)
    try:
        started(server.sockets[0].getsockname()[1])
        await until.wait()
    finally:
        server.close()


def _refuse_flaws(simulation: Simulation) -> None:
    if flaws := flaws_of(simulation):
        raise BadUsage("\n".join(f"simulator.{flaw}" for flaw in flaws))


async def _open(runner: web.AppRunner, host: str, port: int) -> None:
    with _closed_means_bad_usage(host, port):
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()


@contextmanager
def _closed_means_bad_usage(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise BadUsage(f"port {port} does not exist; choose one from 1 to 65535") from error
    except OSError as error:
        raise BadUsage(_why_closed(error, host, port)) from error


def _why_closed(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken on {host}; choose another with --port, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than you have; choose one above 1023 with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"


def _application(desk: Desk, simulation: Simulation) -> web.Application:
    async def models(request: web.Request) -> web.StreamResponse:
        if not desk.may_enter(request):
            return desk.turned_away()
        modality = request.query.get("output_modalities")
        return _json(catalog(simulation, modality=modality))

    async def bill(request: web.Request) -> web.StreamResponse:
        has_all = request.query.get("generated") == "1"
        return _json(desk.bill.told(in_flight_peak=desk.peak, with_generations=has_all))

    application = web.Application(client_max_size=_LARGEST_REQUEST)
    application.router.add_post("/v1/chat/completions", desk.complete)
    application.router.add_post("/v1/images/generations", partial(desk.complete, shape=IMAGES))
    application.router.add_post("/v1/images", partial(desk.complete, shape=OPENROUTER_IMAGES))
    application.router.add_get("/v1/models", models)
    application.router.add_get("/bill", bill)
    application.router.add_route("*", "/{path:.*}", _nowhere)
    return application


async def _nowhere(request: web.Request) -> web.StreamResponse:
    message = f"There is no {request.method} {request.path}; see GET /v1/models and /bill"
    return response_of(error_head(404, message), retry_after_s=0)


def _json(value: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
