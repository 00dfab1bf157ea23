"""The simulator as a child process: settings come in on stdin, the port goes out on stdout.

It ends when its stdin does, so it cannot outlive the process that started it, however that died.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from pipeline.core.simulation import simulation_of
from pipeline.errors import Stop
from pipeline.provider.simulator.server import serve


def main() -> int:
    """Read one JSON line of settings, serve until stdin ends; 1 where serving is not possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent drains first, then closes stdin
    settings = sys.stdin.buffer.readline()
    try:
        asyncio.run(_serve(settings))
    except Stop as stop:
        _tell({"error": str(stop)})
        return 1
    return 0


async def _serve(settings: bytes) -> None:
    end_of_stdin = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: _Watch(end_of_stdin), sys.stdin.buffer)
    try:
        await serve(
            simulation_of(json.loads(settings)),
            started=lambda port: _tell({"port": port}),
            until=end_of_stdin,
        )
    finally:
        transport.close()


class _Watch(asyncio.Protocol):
    """Sets an event at the end of what it reads."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def eof_received(self) -> None:
        self._ended.set()

    def connection_lost(self, _: Exception | None) -> None:
        self._ended.set()


def _tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
