"""What is told while a run goes on: to a terminal, to a file, to a program."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
import pytest
from telling import Clock, back, failed, lane, made, sent, tried_again

from pipeline.core.ports import Draining, Event, Held, HeldBy
from pipeline.view.progress import Mode, Progress, voices_for
from pipeline.view.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable


def _progress(
    mode: Mode, err: io.TextIOBase, clock: Clock, out: io.StringIO | None = None
) -> Progress:
    tally = Tally(wanted=1632, made_before=1000, started_at=clock.seconds)
    voices = voices_for(mode, err=err, json_to=out)  # type: ignore[arg-type]  # a TextIO in all but name
    return Progress(tally, voices, now=clock)


def _run(progress: Progress, clock: Clock, *, seconds: int) -> None:
    for second in range(seconds):
        progress.see(sent(second))
        clock.seconds += 1
        progress.see(back())
        progress.see(failed(second) if second % 10 == 9 else made(second))
        progress.tick()


def test_off_a_terminal_it_is_a_plain_line_every_30_s() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.PLAIN, err, clock)
    _run(progress, clock, seconds=29)
    assert err.getvalue() == ""
    _run(progress, clock, seconds=71)
    progress.close()
    told = err.getvalue()
    assert len(told.splitlines()) == 3
    assert "\r" not in told
    assert "\x1b" not in told
    assert told.splitlines()[0] == (
        "made 1027 of 1632, failed 2, 0 in flight, 0.90 images/s (54.0 a minute),"
        " 10 min 24 s to go, $1.20"
    )


def test_off_a_terminal_a_line_comes_also_while_nothing_happens() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.PLAIN, err, clock)
    assert progress.period_s == 30
    for _ in range(3):
        clock.seconds += 30
        progress.tick()
    assert err.getvalue().splitlines() == 3 * [
        "made 1000 of 1632, failed 0, 0 in flight, 0.0 images/s, no end in sight yet, $0.00"
    ]


def test_off_a_terminal_the_line_says_what_holds_the_run_back() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.PLAIN, err, clock)
    progress.see(sent())
    clock.seconds += 30
    progress.see(lane(HeldBy.WINDOW, window=64, in_flight=1))
    progress.tick()
    assert err.getvalue() == (
        "made 1000 of 1632, failed 0, 1 in flight, 0.0 images/s, no end in sight yet, $0.00;"
        " held back by the window: 64 in flight; more concurrency would help\n"
    )


def test_a_lane_that_is_not_told_of_any_more_is_gone() -> None:
    clock = Clock()
    progress = _progress(Mode.QUIET, io.StringIO(), clock)
    both = [lane(HeldBy.PACE, "a"), lane(HeldBy.PACE, "b")]
    for state in both:
        progress.see(state)
    assert list(progress.tally.lanes) == both
    progress.tick()
    assert list(progress.tally.lanes) == both
    progress.see(both[1])
    assert list(progress.tally.lanes) == [both[1]]


def test_the_first_long_wait_is_told_at_once_and_not_again_with_every_reply() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.PLAIN, err, clock)
    for wait_s in (1.0, 5.0, 12.0, 13.0, 14.0):
        progress.see(Held(wait_s=wait_s))
    assert err.getvalue() == "the provider asks to wait 12.0 s; waiting, nothing is lost\n"


def test_a_drain_is_told_at_once_without_what_could_move_a_cursor() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.PLAIN, err, clock)
    progress.see(Draining(reason="\x1b[2Jthe \u202eend\r\n", in_flight=1, grace_s=60))
    assert err.getvalue() == (
        "stopping:  [2Jthe  end  ; waiting up to 1 min 00 s for 1 request in flight\n"
    )


def test_quiet_tells_nothing_and_needs_no_ticks() -> None:
    clock, err = Clock(), io.StringIO()
    progress = _progress(Mode.QUIET, err, clock)
    _run(progress, clock, seconds=100)
    progress.close()
    assert err.getvalue() == ""
    assert progress.period_s is None
    assert progress.tally.made == 90


def test_programs_get_one_object_a_line() -> None:
    clock, err, out = Clock(), io.StringIO(), io.StringIO()
    progress = _progress(Mode.QUIET, err, clock, out)
    events: list[Event] = [
        sent(),
        tried_again(),
        made(3, n_images=2),
        failed(4),
        Held(wait_s=9.0),
        Draining(reason="why", in_flight=2, grace_s=60),
    ]
    for event in events:
        progress.see(event)
    clock.seconds += 30
    for state in (lane(HeldBy.PACE, per_minute=580.0), lane(HeldBy.SICK, "other", until_s=2.0)):
        progress.see(state)
    progress.tick()
    progress.tick()
    progress.close()
    told = [orjson.loads(line) for line in out.getvalue().split("\n")[:-1]]
    words = ["retry", "made", "failed", "waiting", "draining", "progress"]
    assert [one["event"] for one in told] == words
    assert told[1]["files"] == ["images/0.png", "images/1.png"]
    assert (told[2]["id"], told[2]["why"]) == ("id4", "refused")
    assert told[5]["made"] == 1001
    assert told[5]["held_by"] == "pace"
    lanes = [(one["lane"], one["held_by"], one["until_s"]) for one in told[5]["lanes"]]
    assert lanes == [("knox", "pace", None), ("other", "sick", 2.0)]


def _on_a_terminal(n_columns: int, play: Callable[[io.TextIOBase], None]) -> str:
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, n_columns, 0, 0))
    with os.fdopen(writer, "w") as err:
        play(err)
    told = b""
    with suppress(OSError):  # EIO: the other end is closed and everything was read
        while piece := os.read(reader, 1 << 16):
            told += piece
    os.close(reader)
    return told.decode()


def test_on_a_terminal_it_is_one_line_drawn_over_itself_and_wiped_at_the_end() -> None:
    clock = Clock()

    def play(err: io.TextIOBase) -> None:
        progress = _progress(Mode.LIVE, err, clock)
        assert progress.period_s == 1
        _run(progress, clock, seconds=20)
        progress.close()
        progress.close()

    told = _on_a_terminal(80, play)
    assert "\n" not in told
    states = [state for state in told.split("\r") if state.strip()]
    assert "made 1018/1632 · failed 2 · in flight 0 · 54.0/min · ETA " in states[-1]
    assert all(len(state) <= 80 for state in states)
    assert told.rsplit("\r", 2)[-2].strip() == ""


@pytest.mark.parametrize(
    ("n_columns", "words"),
    [
        (
            120,
            (
                "made 1018/1632 · failed 2 · in flight 1 · 54.0/min · pace 580/min measured"
                " · ETA 10:12 · $0.80"
            ),
        ),
        (80, "made 1018/1632 · failed 2 · 54.0/min · pace 580/min measured · ETA 10:12"),
        (60, "made 1018/1632 · 54.0/min · pace 580/min measured"),
        (40, "made 1018/1632 · 54.0/min"),
    ],
)
def test_the_live_line_says_what_holds_the_run_back_within_any_width(
    n_columns: int, words: str
) -> None:
    clock = Clock()

    def play(err: io.TextIOBase) -> None:
        progress = _progress(Mode.LIVE, err, clock)
        _run(progress, clock, seconds=20)
        progress.see(sent(99))
        progress.see(lane(HeldBy.PACE, per_minute=588.0, is_measured=True))
        progress.tick()
        progress.close()

    told = _on_a_terminal(n_columns, play)
    states = [state for state in told.split("\r") if state.strip()]
    assert words in states[-1]
    assert all(len(state) <= n_columns for state in states)


def test_a_terminal_of_40_columns_is_not_broken() -> None:
    clock = Clock()

    def play(err: io.TextIOBase) -> None:
        progress = _progress(Mode.LIVE, err, clock)
        _run(progress, clock, seconds=5)
        progress.close()

    told = _on_a_terminal(40, play)
    assert "\n" not in told
    assert all(len(state) <= 40 for state in told.split("\r"))


def test_a_wait_is_told_above_the_live_line() -> None:
    clock = Clock()

    def play(err: io.TextIOBase) -> None:
        progress = _progress(Mode.LIVE, err, clock)
        _run(progress, clock, seconds=2)
        progress.see(Held(wait_s=42.0))
        progress.close()

    told = _on_a_terminal(80, play)
    assert "\rthe provider asks to wait 42.0 s; waiting, nothing is lost\r\n" in told
