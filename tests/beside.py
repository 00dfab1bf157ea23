"""A server that runs while the test, or a process it started, talks to it from outside a loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

_Server = TypeVar("_Server")


@contextmanager
def in_a_thread(server_of: Callable[[], AbstractAsyncContextManager[_Server]]) -> Iterator[_Server]:
    """A server with a loop and a thread of its own, until the context is left."""
    up: Future[tuple[_Server, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with server_of() as server:
            up.set_result((server, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop, over = up.result(timeout=10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
