"""``imagebatch simulate``: the embedded provider as a server of its own."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.app.console import Console
from pipeline.core.simulation import flaws_of
from pipeline.errors import BadUsage
from pipeline.job.load import load_profile
from pipeline.provider.simulator.server import serve

if TYPE_CHECKING:
    import argparse

    from pipeline.core.simulation import Simulation


def perform(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    console = Console(arguments)
    chosen = load_profile(arguments.profile)
    if chosen.profile.simulator is None:
        raise BadUsage(
            f"{chosen.file} has no `simulator` section: choose a profile that has one, such as "
            "simulator"
        )
    simulation = chosen.profile.simulator
    if arguments.scenario is not None:
        simulation = replace(simulation, scenario=arguments.scenario, scale=arguments.scale)
        if flaws := list(flaws_of(simulation)):
            raise BadUsage("\n".join(f"--{flaw}" for flaw in flaws))
    asyncio.run(_serve(simulation, arguments.port, console))
    return 0


async def _serve(simulation: Simulation, port: int, console: Console) -> None:
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, until.set)

    def started(port: int) -> None:
        base_url = f"http://127.0.0.1:{port}/v1"
        if console.is_json:
            console.emit({"event": "listening", "base_url": base_url, "port": port})
        else:
            console.say(f"listening on {base_url} (its bill: http://127.0.0.1:{port}/bill)")

    await serve(simulation, port=port, started=started, until=until)
