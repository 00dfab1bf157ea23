"""While a run goes on, line, program and ``status`` say how its lanes stand."""

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


class _Telling(Progress):
    """Ticks often, and can be told that it is later than it is."""

    def __init__(self, tally: Tally, out: io.StringIO, err: io.StringIO) -> None:
        voices = voices_for(Mode.PLAIN, err=err, json_to=out)
        self.late_s = 0.0
        super().__init__(tally, voices, now=lambda: time.monotonic() + self.late_s)

    @property
    def period_s(self) -> float | None:
        return 0.05


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
        self.has_begun.set()


def _status(desk: Desk) -> dict[str, Any]:
    (status,) = desk.run("status", "out", "--json").objects
    return status


def test_a_run_that_waits_for_its_last_request_says_so_everywhere(
    desk: Desk, provider: Serving
) -> None:
    with provider(HANGING) as there, ThreadPoolExecutor(1) as thread:
        more = "limits: {concurrency: 7, requests_per_minute: 6000}\n"
        desk.job(["quick", "slow and steady"], base_url=there.base_url, more=more)
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
    assert "\nthere: 1 in flight, nothing left to send; limit 6,000 a minute, as told\n" in text
    (out,) = status["in_flight_requests"]
    assert (out["prompt"], out["model"], out["attempt"]) == (
        "slow and steady",
        "simulator/painter",
        1,
    )
    assert status["lanes"][0]["held_by"] == "end"
    assert re.search(
        r"; nothing left to send: 1 in flight, the oldest for [45]\d s; limit 6,000",
        aside.err.getvalue(),
    )
    events = [orjson.loads(line) for line in aside.out.getvalue().splitlines()]
    (told,) = (one for one in events if one["event"] == "progress")
    assert (told["held_by"], told["in_flight"], told["lanes"][0]["measured"]) == ("end", 1, False)
    assert 40 < told["oldest_s"] < 60
    lines = summary_text(report.ending, report.tally).splitlines()
    assert not any("lets through" in line for line in lines), "it was told, not found out"
    assert len(lines) <= 12
    assert not (desk.out / ".state/live.json").exists()
