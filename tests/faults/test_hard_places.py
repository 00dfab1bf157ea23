"""Where a run cannot go on: it ends as promised, says what to do, and goes on once it can."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mounts
import pytest
from beside import in_a_thread
from commands import ROOT, check_whole, ended, lines_of, next_event, until
from scripted import Script, scripted

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from commands import Desk, Ended, Serving
    from scripted import Peer, Scripted

INSTANT = Simulation(latency_s=0, image_size="64x64")
MEGABYTES = Simulation(
    latency_s=0.05, latency_p99_s=0.1, images="prebuilt", prebuilt_bytes=1_000_000
)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SOON_S = 10
GO_ON = "next: imagebatch run job.yaml"


def run_within(mount: mounts.Mount, desk: Desk, *words: str) -> Ended:
    """A command where the mount can be seen; it ends soon."""
    with subprocess.Popen(
        mount.within(desk.folder, sys.executable, "-m", "pipeline", *words),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            return ended(process, within_s=SOON_S)
        finally:
            process.kill()


# A full disk


@pytest.mark.parametrize("n_bytes", [400_000, 1_000_000], ids=["all land", "most land"])
def test_a_disk_that_fills_up_on_the_way_ends_it_and_more_room_lets_it_go_on(
    desk: Desk, provider: Serving, n_bytes: int
) -> None:
    """A quarter of the room is kept for what is in flight: enough for eight small images."""
    concurrency, n_tasks = 8, 60
    pictures = replace(MEGABYTES, prebuilt_bytes=n_bytes)
    with provider(pictures) as there, mounts.small(desk.folder / "disk", "size=20m") as disk:
        more = f"limits: {{concurrency: {concurrency}}}\n"
        desk.job([f"p{n}" for n in range(n_tasks)], base_url=there.base_url, more=more)
        words = ("run", "job.yaml", "--out", "disk/out")
        full = run_within(disk, desk, *words)
        n_sent = there.bill()["requests"]
        n_made = len(lines_of(disk.seen / "out"))
        assert full.code == 74, full.err
        assert 10_000_000 < n_made * n_bytes <= 20 << 20
        assert n_sent <= n_made + (0 if n_bytes < 500_000 else concurrency)
        assert f"made {n_made} of {n_tasks}" in full.out
        assert f"owed {n_tasks - n_made}" in full.out
        assert "disk/out is full. Free some space. Run the same command to go on" in full.out
        assert full.out.splitlines()[-1] == "next: imagebatch run job.yaml --out disk/out"
        journal = (disk.seen / "out/.state/journal.jsonl").read_bytes()
        n_waiting = journal.count(b'{"result":')
        check_whole(disk.seen / "out", n_waiting=n_waiting)
        status = json.loads(run_within(disk, desk, "status", "disk/out", "--json").out)
        assert (status["made"], status["maybe_billed"]) == (n_made, n_sent - n_made - n_waiting)

        disk.resize("100m")
        last = run_within(disk, desk, *words)
        assert last.code == 0, last.err
        assert there.bill()["requests"] == n_sent + n_tasks - n_made - n_waiting
        assert len(lines_of(disk.seen / "out")) == n_tasks
        check_whole(disk.seen / "out")


def test_a_disk_that_is_still_full_costs_one_round_of_requests_at_most(
    desk: Desk, provider: Serving
) -> None:
    concurrency = 4
    with provider(MEGABYTES) as there, mounts.small(desk.folder / "disk", "size=12m") as disk:
        more = f"limits: {{concurrency: {concurrency}}}\n"
        desk.job([f"p{n}" for n in range(40)], base_url=there.base_url, more=more)
        words = ("run", "job.yaml", "--out", "disk/out")
        assert run_within(disk, desk, *words).code == 74
        filler = disk.fill()
        for _ in range(3):
            n_sent = there.bill()["requests"]
            again = run_within(disk, desk, *words)
            assert again.code == 74, again.err
            assert "ree some space" in again.out + again.err
            assert there.bill()["requests"] <= n_sent + concurrency
        filler.unlink()
        disk.resize("60m")
        assert run_within(disk, desk, *words).code == 0
        check_whole(disk.seen / "out")


def test_a_disk_that_is_full_from_the_start_costs_nothing(desk: Desk, provider: Serving) -> None:
    with provider(MEGABYTES) as there, mounts.small(desk.folder / "disk", "size=1m") as disk:
        desk.job(["a", "b"], base_url=there.base_url)
        filler = disk.fill()
        for _ in range(2):
            full = run_within(disk, desk, "run", "job.yaml", "--out", "disk/out")
            assert full.code == 74, full.err
            assert "free some space" in full.err
            assert there.bill()["requests"] == 0
        filler.unlink()
        disk.resize("40m")
        assert run_within(disk, desk, "run", "job.yaml", "--out", "disk/out").code == 0
        check_whole(disk.seen / "out")


def test_a_disk_without_a_name_to_spare_is_full_too(desk: Desk, provider: Serving) -> None:
    """Room there is, but no more files can be made (``df -i``)."""
    with (
        provider(INSTANT) as there,
        mounts.small(desk.folder / "disk", "size=20m,nr_inodes=30") as disk,
    ):
        desk.job(
            [f"p{n}" for n in range(40)], base_url=there.base_url, more="limits: {concurrency: 4}"
        )
        words = ("run", "job.yaml", "--out", "disk/out")
        full = run_within(disk, desk, *words)
        assert full.code == 74, full.err
        assert there.bill()["requests"] <= len(lines_of(disk.seen / "out")) + 4
        check_whole(disk.seen / "out")
        status = run_within(disk, desk, "status", "disk/out", "--json")
        assert (status.code, json.loads(status.out)["made"]) == (
            0,
            len(lines_of(disk.seen / "out")),
        )


# An output that cannot be written


def test_an_output_on_a_read_only_disk_is_73_and_costs_nothing(
    desk: Desk, provider: Serving
) -> None:
    """Made before or not; root itself may not write there."""
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        assert desk.run("run", "job.yaml", "--out", "disk/out").code == 0
        desk.job(["a", "b"], base_url=there.base_url)
        with mounts.read_only(desk.folder / "disk") as disk:
            for out in ("disk/out", "disk/new"):
                refused = run_within(disk, desk, "run", "job.yaml", "--out", out)
                assert refused.code == 73, refused.err
                assert "Read-only file system" in refused.err
                assert "--out" in refused.err
            assert there.bill()["requests"] == 1
            status = run_within(disk, desk, "status", "disk/out", "--json")
            assert (status.code, json.loads(status.out)["made"]) == (0, 1)
        assert desk.run("run", "job.yaml", "--out", "disk/out").code == 0
        assert there.bill()["requests"] == 2
    check_whole(desk.folder / "disk/out")


@pytest.mark.parametrize("out", ["job.yaml", "job.yaml/below/it", "dangling", "dangling/below"])
def test_an_output_that_can_be_no_folder_is_73_and_costs_nothing(
    desk: Desk, provider: Serving, out: str
) -> None:
    with provider(INSTANT) as there:
        desk.job(["a"], base_url=there.base_url)
        (desk.folder / "dangling").symlink_to("/nowhere/at/all")
        refused = desk.run("run", "job.yaml", "--out", out)
        assert there.bill()["requests"] == 0
    assert refused.code == 73, refused.err
    assert refused.err.startswith("imagebatch: ")
    assert out in refused.err
    assert "--out" in refused.err


# A second run


def test_a_second_run_is_turned_away_at_once_and_gets_in_when_the_first_is_killed(
    desk: Desk, provider: Serving
) -> None:
    rules = (FaultRule(fault="hang", prompt="slow", attempt=1),)
    with provider(Simulation(latency_s=0, image_size="64x64", rules=rules)) as there:
        desk.job(["quick", "slow"], base_url=there.base_url)
        with desk.started("run", "job.yaml", "--json") as first:
            next_event(first, "made")
            began = time.monotonic()
            locked = desk.run("run", "job.yaml")
            assert time.monotonic() - began < 2
            assert locked.code == 75
            assert f"pid {first.pid}" in locked.err
            assert "--wait" in locked.err
            began = time.monotonic()
            assert desk.run("run", "job.yaml", "--wait", "0.5s").code == 75
            assert 0.5 <= time.monotonic() - began < 2.5
            with desk.started("run", "job.yaml", "--wait", "60", "--json") as second:
                until(lambda: _has_open(second.pid, ".state/lock"))
                first.kill()
                told = ended(second, within_s=SOON_S)
        assert (told.code, told.summary["made"], told.summary["requests"]) == (0, 2, 1)
        assert there.bill()["requests"] == 3
    check_whole(desk.out)


def _has_open(pid: int, name: str) -> bool:
    listed = subprocess.run(
        ["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=False
    )
    return name in listed.stdout


# A prompt file that is broken throughout


@pytest.mark.parametrize(
    ("file", "head", "row"),
    [
        ("p.jsonl", "", '{"promt": "a sunset"}'),
        ("p.jsonl", "", '{"prompt": "a sunset"'),
        ("p.csv", "prompt,style", "a sunset,oil,more"),
        ("p.tsv", "prompt\tstyle", "\toil"),
    ],
    ids=["misspelt", "half an object", "too many cells", "blank"],
)
def test_ten_thousand_broken_rows_are_counted_and_the_first_twenty_shown(
    desk: Desk, provider: Serving, file: str, head: str, row: str
) -> None:
    with provider(INSTANT) as there:
        desk.write(file, "\n".join([*([head] if head else []), *[row] * 10_000]) + "\n")
        desk.job(f"{{file: {file}}}", base_url=there.base_url)
        began = time.monotonic()
        broken = desk.run("run", "job.yaml")
        assert time.monotonic() - began < SOON_S
        assert there.bill()["requests"] == 0
    assert broken.code == 65
    *shown, total = broken.err.splitlines()
    first = 2 if head else 1
    assert [line.split(":")[:2] for line in shown] == [[file, str(first + n)] for n in range(20)]
    assert "10000 faults" in total.replace(",", "")
    assert {one.name for one in desk.folder.iterdir()} == {"job.yaml", "there.yaml", file}


# A provider that never comes to an end


def stream() -> Script:
    return Script().stream(200, content_type="text/event-stream", x_generation_id="gen-7")


async def drip_in_the_head(peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await asyncio.sleep(0.02)
        await peer.write(b"y")


NOTHING = "nothing arrived for too long"
ALL_IN_ALL = "the whole exchange took too long"
ENDLESS = {
    "a hung server": (NOTHING, Script().hang()),
    "a hung body": (NOTHING, Script().head(200, content_length=1000).send(b'{"choices":[').hang()),
    "a hung stream": (NOTHING, stream().chunk(b": keep-alive\n\n").hang()),
    "a dripping head": (NOTHING, Script().do(drip_in_the_head)),
    "a dripping body": (ALL_IN_ALL, Script().stream(200).drip(b" ", times=1000, every_s=0.02)),
    "endless keep-alives": (
        ALL_IN_ALL,
        stream().drip(b": keep-alive\n\n", times=1000, every_s=0.02),
    ),
}


def serving(script: Script) -> AbstractContextManager[Scripted]:
    """A server that lists no models and plays ``script`` ever after."""
    return in_a_thread(lambda: scripted(Script.whole(b"{}", 404), script))


@pytest.mark.parametrize("how", ENDLESS)
def test_a_reply_that_never_ends_is_lost_in_time_and_asked_for_again_later(
    desk: Desk, provider: Serving, how: str
) -> None:
    reason, script = ENDLESS[how]
    settings = "timeouts: {idle: 0.3, total: 0.6}\nretry: {lost: 2, max_wait: 0.05}\n"
    with serving(script) as there:
        desk.job(["a", "b", "c"], base_url=there.base_url, more=settings)
        began = time.monotonic()
        lost = desk.run("run", "job.yaml")
        assert time.monotonic() - began < 2 * 0.6 + 5
        asked = [one for one in there.requests if one.method == "POST"]
    assert len(asked) == 6
    assert lost.code == 3, lost.err
    assert "failed 3: lost 3" in lost.out
    assert "maybe billed 6" in lost.out
    assert lost.out.splitlines()[-1] == GO_ON
    assert all(reason in line["detail"] for line in desk.lines)
    check_whole(desk.out)
    with provider(INSTANT) as well:
        desk.provider(well.base_url)
        assert desk.run("run", "job.yaml").code == 0
        assert well.bill()["requests"] == 3
    check_whole(desk.out)


def test_a_provider_that_hangs_for_everybody_trips_the_breaker_and_can_be_resumed(
    desk: Desk, provider: Serving
) -> None:
    settings = "timeouts: {idle: 0.3}\nretry: {lost: 1}\nlimits: {concurrency: 10}\n"
    with serving(Script().hang()) as there:
        desk.job([f"p{n}" for n in range(60)], base_url=there.base_url, more=settings)
        tripped = desk.run("run", "job.yaml", "--json")
        assert len(there.requests) - 1 <= 25 + 10
    assert tripped.code == 4
    assert tripped.summary["failed_by_why"]["lost"] >= 25
    assert tripped.summary["owed"] > 0
    assert "25 tasks in a row" in tripped.summary["reason"]
    check_whole(desk.out)
    with provider(INSTANT) as well:
        desk.provider(well.base_url)
        again = desk.run("run", "job.yaml", "--json")
        assert (again.code, again.summary["made"]) == (0, 60)
        assert well.bill()["requests"] == 60
    check_whole(desk.out)


# Signals


MOMENTS = {
    "in flight": ("{fault: hang, prompt: slow}", "made"),
    "a retry's wait": ("{fault: overloaded, prompt: slow}", "retry"),
    "a long Retry-After": ("{fault: throttled, prompt: slow}", "waiting"),
}
SIGNALLED = [
    pytest.param("in flight", signal.SIGTERM),
    pytest.param("in flight", signal.SIGINT, marks=pytest.mark.long),
    pytest.param("a retry's wait", signal.SIGINT),
    pytest.param("a retry's wait", signal.SIGTERM),
    pytest.param("a long Retry-After", signal.SIGTERM),
    pytest.param("a long Retry-After", signal.SIGINT, marks=pytest.mark.long),
]


def simulated(desk: Desk, rule: str = "") -> None:
    """The embedded simulator as the job's provider, playing one rule or none."""
    desk.write(
        "there.yaml",
        "model: simulator/painter\n"
        "simulator: {latency_s: 0, image_size: 64x64, retry_after_s: 300, "
        f"rules: [{rule}]}}\n",
    )
    desk.write(
        "job.yaml",
        "provider: ./there.yaml\nprompts: [quick, slow 1, slow 2]\noutput: {dir: out}\n"
        "retry: {max_wait: 600}\nstop: {grace_int: 0.3, grace_term: 0.3}\n",
    )


@pytest.mark.parametrize(("moment", "number"), SIGNALLED)
def test_a_signal_ends_it_soon_whatever_it_waits_for(
    desk: Desk, moment: str, number: signal.Signals
) -> None:
    rule, sign = MOMENTS[moment]
    simulated(desk, rule)
    with desk.started("run", "job.yaml", "--json") as process:
        next_event(process, sign)
        (child,) = _children_of(process.pid)
        process.send_signal(number)
        told = ended(process, within_s=5)
    assert told.code == told.summary["exit_code"] == CODES[number]
    assert told.summary["owed"] >= 2
    assert told.summary["next"] == "imagebatch run job.yaml"
    assert "Run the same command to go on" in told.summary["reason"]
    assert _has_gone(child)
    check_whole(desk.out)
    simulated(desk)
    again = desk.run("run", "job.yaml", "--json")
    assert (again.code, again.summary["made"]) == (0, 3)
    check_whole(desk.out)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(signal.SIGINT, signal.SIGTERM),
        pytest.param(signal.SIGTERM, signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_a_second_signal_of_either_kind_ends_the_drain(
    desk: Desk, first: signal.Signals, second: signal.Signals
) -> None:
    simulated(desk, MOMENTS["in flight"][0])
    words = ("--set", "stop.grace_int=60", "--set", "stop.grace_term=60")
    with desk.started("run", "job.yaml", "--json", *words) as process:
        next_event(process, "made")
        (child,) = _children_of(process.pid)
        process.send_signal(first)
        assert next_event(process, "draining")["in_flight"] == 2
        process.send_signal(second)
        told = ended(process, within_s=5)
    assert told.code == CODES[first]
    assert told.summary["maybe_billed"] == 2
    assert _has_gone(child)
    check_whole(desk.out)


def test_a_person_is_told_what_is_left_and_how_to_go_on(desk: Desk) -> None:
    simulated(desk, MOMENTS["in flight"][0])
    with desk.started("run", "job.yaml") as process:
        until(lambda: (desk.out / "manifest.jsonl").exists() and bool(desk.lines))
        process.send_signal(signal.SIGINT)
        told = ended(process, within_s=5)
    assert told.code == 130
    assert "stopping: interrupted" in told.err
    assert "waiting up to 0.3 s for 2 requests in flight" in told.err
    assert "owed 2" in told.out
    assert told.out.splitlines()[-1] == GO_ON
    assert len(told.out.splitlines()) <= 12


def test_the_end_of_the_time_for_a_run_ends_long_waits_too(desk: Desk) -> None:
    simulated(desk, MOMENTS["a long Retry-After"][0])
    began = time.monotonic()
    told = desk.run("run", "job.yaml", "--json", "--max-runtime", "1s")
    assert time.monotonic() - began < 5
    assert told.code == 4
    assert (told.summary["made"], told.summary["owed"]) == (1, 2)
    assert "--max-runtime" in told.summary["reason"]
    check_whole(desk.out)
    simulated(desk)
    assert desk.run("run", "job.yaml").code == 0
    check_whole(desk.out)


def _children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _has_gone(pid: int) -> bool:
    until(lambda: not Path(f"/proc/{pid}").exists())
    return True
