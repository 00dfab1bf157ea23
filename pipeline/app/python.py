"""The same from Python: ``run`` blocks until the report, ``stream`` gives outcomes as they come.

Where an event loop is running already, as in a notebook or a service, the run gets a loop of its
own in a thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.app.make import Manner, Report, make
from pipeline.core.ports import Event, Settled
from pipeline.errors import Interrupted
from pipeline.view.progress import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pipeline.app.drive import Driver
    from pipeline.core.model import Outcome
    from pipeline.job.job import Job
    from pipeline.view.tally import Tally


def run(job: Job) -> Report:
    """Make every image the job wants that is not there yet; resumes like the command.

    Raises the Stops of :mod:`pipeline.errors` that come before the first request; a run that is
    stopped later says so in ``report.stop``.
    """
    if _is_in_a_loop():
        link = _Link()
        with ThreadPoolExecutor(1, thread_name_prefix="imagebatch") as thread:
            try:
                return thread.submit(_make, job, watch=link.watch).result()
            finally:
                link.cut()  # an interrupt of this thread ends the run in the other
    return _make(job, heeds_signals=threading.current_thread() is threading.main_thread())


async def stream(job: Job) -> AsyncGenerator[Outcome, None]:
    """Every outcome of this run as soon as it is kept; what was made before is not repeated.

    Leaving the loop early stops the run: nothing more is sent, what is in flight still lands.
    Raises the Stop that ended the run, if one did.
    """
    loop = asyncio.get_running_loop()
    kept: asyncio.Queue[Outcome | None] = asyncio.Queue()
    link = _Link()

    def hand_over(outcome: Outcome | None) -> None:
        loop.call_soon_threadsafe(kept.put_nowait, outcome)

    thread = ThreadPoolExecutor(1, thread_name_prefix="imagebatch")
    making = thread.submit(_make, job, hand_over, watch=link.watch)
    making.add_done_callback(lambda _: hand_over(None))
    try:
        while (outcome := await kept.get()) is not None:
            yield outcome
        if stop := making.result().stop:
            raise stop
    finally:
        link.cut()
        await asyncio.wait([asyncio.wrap_future(making)])
        thread.shutdown()


def _make(
    job: Job,
    hand_over: Callable[[Outcome], None] | None = None,
    *,
    watch: Callable[[Driver, asyncio.AbstractEventLoop], None] | None = None,
    heeds_signals: bool = False,
) -> Report:
    voices = (_Outcomes(hand_over),) if hand_over else ()
    manner = Manner(
        teller=lambda tally: Progress(tally, voices, now=time.monotonic),
        again=f"imagebatch run {job.source}",
        heeds_signals=heeds_signals,
        watch=watch,
    )
    return make(job, manner, lambda _: None)


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Outcomes:
    """A voice that hands every outcome over."""

    period_s: float | None = None

    def __init__(self, hand_over: Callable[[Outcome], None]) -> None:
        self._hand_over = hand_over

    def hear(self, event: Event, tally: Tally, now: float) -> None:
        del tally, now
        if isinstance(event, Settled):
            self._hand_over(event.receipt.outcome)

    def tick(self, tally: Tally, now: float) -> None:
        pass

    def close(self) -> None:
        pass


class _Link:
    """Stops a run that goes on in another thread's loop, also one that has not begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: Driver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_cut = False

    def watch(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._driver, self._loop = driver, loop
            if self._is_cut:
                self._stop()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self._stop()

    def _stop(self) -> None:
        if self._driver and self._loop:
            reason = Interrupted("nobody reads the outcomes any more", signal_number=2)
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._driver.stop, reason)
