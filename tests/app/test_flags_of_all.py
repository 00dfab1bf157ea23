"""Flags of all commands, wrong words, a bug, and the way out of a watch."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from commands import ended, next_event

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

HANGING = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="hang", prompt="slow"),)
)


@pytest.mark.parametrize("words", [("--json", "plan", "job.yaml"), ("plan", "job.yaml", "--json")])
def test_json_may_stand_before_the_command_or_behind_it(desk: Desk, words: tuple[str, ...]) -> None:
    desk.job(["a"])
    assert desk.run(*words).summary["tasks"] == 1
    assert desk.run("--json", "run", "job.yaml", "-q").summary["made"] == 1


@pytest.mark.parametrize(
    ("before", "behind", "is_colored"),
    [
        (("--color", "always"), (), True),
        ((), ("--color", "always"), True),
        (("--color", "always"), ("--color", "never"), False),
        (("--color", "never"), ("--color", "always"), True),
        (("--color", "always"), ("-v",), True),
    ],
)
def test_of_two_flags_the_later_one_holds_and_none_resets_another(
    desk: Desk, before: tuple[str, ...], behind: tuple[str, ...], *, is_colored: bool
) -> None:
    desk.job(["a"])
    told = desk.run(*before, "plan", "job.yaml", *behind)
    assert told.code == 0
    assert ("\x1b[" in told.out) is is_colored


def test_quiet_before_the_command_silences_success(desk: Desk) -> None:
    desk.job(["a"])
    told = desk.run("-q", "run", "job.yaml")
    assert (told.code, told.out, told.err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (("plan", "job.yaml", "--bogus"), "usage: imagebatch plan "),
        (("plan", "job.yaml", "more.yaml"), "usage: imagebatch plan "),
        (("--bogus", "status", "out"), "usage: imagebatch status "),
        (("run", "job.yaml", "--limit", "0"), "usage: imagebatch run "),
        (("rerun",), "usage: imagebatch rerun "),
        (("fly",), "usage: imagebatch "),
    ],
)
def test_wrong_words_are_told_with_the_usage_of_their_command(
    desk: Desk, words: tuple[str, ...], usage: str
) -> None:
    told = desk.run(*words)
    assert told.code == 2
    assert told.err.splitlines()[1].startswith(usage)
    if "--bogus" in words:
        assert "unrecognized arguments: --bogus" in told.err


def test_help_promises_no_question(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        desk.run("run", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "--yes accepted for scripts: nothing is ever asked" in said


def test_a_colour_that_is_none_is_named(desk: Desk) -> None:
    desk.job(["a"])
    desk.environ(IMAGEBATCH_COLOR="sometimes")
    for words in (("plan", "job.yaml"), ("run", "job.yaml"), ("schema",)):
        told = desk.run(*words)
        assert told.code == 2
        assert "IMAGEBATCH_COLOR=sometimes: set it to auto, always or never" in told.err
    assert desk.run("plan", "job.yaml", "--color", "never").code == 0
    desk.environ(IMAGEBATCH_COLOR="")
    assert desk.run("plan", "job.yaml").code == 0
    assert not desk.out.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_is_the_way_out_of_a_watch(
    desk: Desk, provider: Serving, number: signal.Signals, code: int
) -> None:
    with provider(HANGING) as there:
        desk.job(["quick", "slow"], base_url=there.base_url, more="stop: {grace_term: 0.1}\n")
        with desk.started("run", "job.yaml", "--json") as run:
            next_event(run, "made")
            with desk.started("status", "out", "--watch", "--json") as watch:
                assert watch.stdout
                assert json.loads(watch.stdout.readline())["running"]
                watch.send_signal(number)
                told = ended(watch, within_s=5)
            run.terminate()
            ended(run, within_s=5)
    assert told.code == code
    assert bool(told.err) is bool(code)


def test_a_bug_is_told_plainly_and_promises_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("a screw is loose")

    monkeypatch.setattr("pipeline.app.schema.json_schema", broken)
    told = desk.run("schema", "--json")
    assert told.code == told.summary["exit_code"] == 1
    assert told.err == (
        "imagebatch: a bug of ours: RuntimeError: a screw is loose\n"
        "Please report it with what -v prints\n"
    )
    for words in (("schema", "-v"), ("-v", "schema")):
        with pytest.raises(RuntimeError, match="a screw is loose"):
            desk.run(*words)
