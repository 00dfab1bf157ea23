"""While a run goes on, line, program and ``status`` say how the lanes stand; its end what it found.

The lanes here say what they are given to say, at every tick: what a real one says is its own tests'
business.
"""

from __future__ import annotations

import io
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
from commands import until

from pipeline.app.make import Manner, Report, make
from pipeline.core.ports import HeldBy, Hold, LaneState
from pipeline.core.simulation import FaultRule, Simulation
from pipeline.errors import Guarded
from pipeline.job.load import load_job
from pipeline.view.progress import Mode, Progress, voices_for
from pipeline.view.report import summary_text

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from commands import Desk, Serving

    from pipeline.app.drive import Driver
    from pipeline.view.tally import Tally

HANGING = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="hang", prompt="slow"),)
)
HOLD = Hold(by=HeldBy.END, per_minute=588.0, is_measured=True)


class _Telling(Progress):
    """Is told of a lane before each tick, and has the folder tell of it, as a driver does."""

    driver: Driver

    def __init__(self, tally: Tally, out: io.StringIO, err: io.StringIO) -> None:
        voices = voices_for(Mode.PLAIN, err=err, json_to=out)
        self.late_s = 0.0
        super().__init__(tally, voices, now=lambda: time.monotonic() + self.late_s)

    @property
    def period_s(self) -> float | None:
        return 0.05

    def tick(self) -> None:
        state = LaneState(lane="there", in_flight=self.tally.in_flight, hold=HOLD)
        self.see(state)
        self.driver._run.folder.tell([state])
        super().tick()


class _Aside:
    """A run in a thread, which can be looked at and ended from here."""

    def __init__(self, job: Path) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.has_begun = threading.Event()
        self._job = job

    def run(self) -> Report:
        manner = Manner(teller=self._tells, again="imagebatch run job.yaml", watch=self._watch)
        return make(load_job(self._job), manner, lambda _: None)

    def end(self) -> None:
        driver, loop = self._driver
        loop.call_soon_threadsafe(lambda: driver.stop(Guarded("enough"), grace_s=0.0))

    def _tells(self, tally: Tally) -> Progress:
        self.teller = _Telling(tally, self.out, self.err)
        return self.teller

    def _watch(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self._driver = driver, loop
        self.teller.driver = driver
        self.has_begun.set()


def _status(desk: Desk) -> dict[str, Any]:
    (status,) = desk.run("status", "out", "--json").objects
    return status


def test_a_run_that_waits_for_its_last_request_says_so_everywhere(
    desk: Desk, provider: Serving
) -> None:
    with provider(HANGING) as there, ThreadPoolExecutor(1) as thread:
        desk.job(["quick", "slow and steady"], base_url=there.base_url)
        aside = _Aside(desk.folder / "job.yaml")
        running = thread.submit(aside.run)
        try:
            assert aside.has_begun.wait(20)
            until(lambda: (aside.teller.tally.made, aside.teller.tally.in_flight) == (1, 1))
            until(lambda: [one["in_flight"] for one in _status(desk)["lanes"]] == [1])
            text, status = desk.run("status", "out").out, _status(desk)
            aside.teller.late_s = 41.0  # later than it is: time for a line
            until(lambda: "progress" in aside.out.getvalue())
        finally:
            aside.end()
        report = running.result(20)
    assert "\nin flight 1, the oldest for " in text
    assert ", simulator/painter: slow and steady\n" in text
    assert "\nthere: 1 in flight, nothing left to send; limit 580 a minute, measured\n" in text
    (out,) = status["in_flight_requests"]
    assert (out["prompt"], out["model"], out["attempt"]) == (
        "slow and steady",
        "simulator/painter",
        1,
    )
    assert status["lanes"][0]["held_by"] == "end"
    assert re.search(
        r"; nothing left to send: 1 in flight, the oldest for [45]\d s; limit 580",
        aside.err.getvalue(),
    )
    events = [orjson.loads(line) for line in aside.out.getvalue().splitlines()]
    (told,) = (one for one in events if one["event"] == "progress")
    assert (told["held_by"], told["in_flight"], told["lanes"][0]["measured"]) == ("end", 1, True)
    assert 40 < told["oldest_s"] < 60
    lines = summary_text(report.ending, report.tally).splitlines()
    assert sum("lets through about 580 a minute" in line for line in lines) == 1
    assert len(lines) <= 12
    assert not (desk.out / ".state/live.json").exists()
