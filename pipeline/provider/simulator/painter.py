"""Images for requests, as data URLs: drawn in two threads, or the same ready bytes each time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import pybase64

from pipeline.provider.simulator.chance import number_of
from pipeline.provider.simulator.draw.picture import picture
from pipeline.provider.simulator.prebuilt import prebuilt_png

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation
    from pipeline.provider.simulator.asked import Asked

_N_THREADS = 2


class Painter:
    """Makes the images of replies, off the event loop; a context, because threads must end."""

    def __init__(self, simulation: Simulation) -> None:
        """Prepare the ready bytes where ``simulation`` wants them."""
        self._seed = simulation.seed
        self._n_images = simulation.images_per_reply
        self._ready: bytes | None = None
        if simulation.images == "prebuilt":
            self._ready = data_url(prebuilt_png(simulation.seed, simulation.prebuilt_bytes))
        self._threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="painter")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what nobody waits for any more."""
        self._threads.shutdown(cancel_futures=True)

    async def images(self, asked: Asked) -> tuple[bytes, ...]:
        """The data URLs of a request's images: the same request gives the same bytes."""
        if self._ready is not None:
            return (self._ready,) * (asked.n_images or self._n_images)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._paint, asked)

    def _paint(self, asked: Asked) -> tuple[bytes, ...]:
        n_images = asked.n_images or self._n_images
        seeds = [number_of("picture", self._seed, asked.key, n) for n in range(n_images)]
        return tuple(data_url(picture(seed, asked.prompt, asked.size)) for seed in seeds)


def data_url(png: bytes) -> bytes:
    """A PNG as a data URL."""
    return b"data:image/png;base64," + pybase64.b64encode(png)
