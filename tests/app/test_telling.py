"""What is printed: to a person at a terminal, into a log, to a program, and to nobody."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import ROOT, ended

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

QUICK = Simulation(latency_s=0.02, latency_p99_s=0.05, image_size="64x64", cost_usd=1.6)
REFUSING = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="refused", prompt="no"),)
)


def on_a_terminal(desk: Desk, *words: str) -> tuple[str, str]:
    """What a command writes to a terminal of 80 columns, and what is to be seen in the end."""
    master, slave = os.openpty()
    with desk.started(*words, stdout=slave, stderr=slave) as process:
        os.close(slave)
        written = b""
        while piece := _read(master):
            written += piece
        assert ended(process).code == 0
    os.close(master)
    text = written.decode().replace("\r\n", "\n")
    return text, "\n".join(map(_seen, text.split("\n")))


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # the other side is closed
        return b""


def _seen(line: str) -> str:
    """A line after its carriage returns have drawn over it."""
    shown = ""
    for layer in line.split("\r"):
        shown = layer + shown[len(layer) :]
    return shown.rstrip()


def test_a_terminal_gets_a_live_line_that_leaves_nothing_behind(
    desk: Desk, provider: Serving
) -> None:
    slow = Simulation(latency_s=0.3, latency_p99_s=0.4, image_size="64x64", cost_usd=1.6)
    with provider(slow) as there:
        more = "limits: {concurrency: 1}\n"
        desk.job(["a", "b", "c", "d"], base_url=there.base_url, more=more)
        written, seen = on_a_terminal(desk, "run", "job.yaml")
    assert "\r" in written
    assert "made 1/4" in written
    assert "window 1, more would help" in written
    assert "%|" not in seen
    lines = [line for line in seen.splitlines() if line]
    assert "made 4 of 4" in lines[0]
    assert "next: imagebatch status out" in lines[-1]
    assert len(lines) <= 12
    assert "\x1b[32m" in written  # green: a terminal has colour


def test_a_log_gets_no_carriage_return_and_no_escape(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        told = desk.run_apart("run", "job.yaml")
    assert told.code == 0
    assert not {"\r", "\x1b"} & set(told.out + told.err)
    assert "cost $3.20" in told.out
    assert "images/s" in told.out
    assert len((told.out + told.err).splitlines()) < 40
    assert "output: out" in told.out


@pytest.mark.parametrize(
    ("words", "variables", "is_colored"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ((), {"IMAGEBATCH_COLOR": "always", "NO_COLOR": "1"}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1", "IMAGEBATCH_COLOR": "always"}, False),
    ],
)
def test_colour_is_the_flags_then_the_environments(
    desk: Desk, words: tuple[str, ...], variables: dict[str, str], *, is_colored: bool
) -> None:
    desk.environ(**variables)
    desk.job(["a"])
    told = desk.run("plan", "job.yaml", *words)
    assert ("\x1b[" in told.out) is is_colored


def test_quiet_silences_success_but_not_failure(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["yes", "yes"], base_url=there.base_url)
        fine = desk.run("run", "job.yaml", "-q")
        assert (fine.code, fine.out, fine.err) == (0, "", "")
        desk.job(["yes", "no"], base_url=there.base_url)
        bad = desk.run("run", "job.yaml", "-q")
    assert (bad.code, bad.out) == (3, "")
    assert "failed 1: refused 1" in bad.err
    assert "made 1 of 2" in bad.err
    assert desk.run("run", "none.yaml", "-q").err


def test_a_request_written_twice_is_said_and_made_once(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["a", "b", "a"], base_url=there.base_url)
        told = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 2
    assert told.code == 0
    assert "1 task is the same request as an earlier one" in told.err
    assert "1 task is the same request" in desk.run("plan", "job.yaml").out


def test_programs_get_an_object_a_line_and_the_summary_last(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["yes", "no"], base_url=there.base_url)
        told = desk.run("run", "job.yaml", "--json")
    assert sorted(one["event"] for one in told.objects) == ["failed", "made", "summary"]
    summary = told.summary
    numbers = ("made", "failed", "owed", "maybe_billed", "cost_usd", "images_per_s")
    assert all(isinstance(summary[name], int | float) for name in numbers)
    assert summary["exit_code"] == told.code == 3
    for words in (("plan", "job.yaml"), ("status", "out"), ("schema", "job")):
        (only,) = desk.run(*words, "--json").objects
        assert isinstance(only, dict)


def test_the_command_told_as_next_works_as_it_is_pasted(desk: Desk, provider: Serving) -> None:
    with provider(REFUSING) as there:
        desk.job(["yes", "no way"], base_url=there.base_url)
        words = ("--out", "my pictures", "--set", "template='{{prompt}} & more'", "--limit", "2")
        told = desk.run("run", "job.yaml", *words)
        for _ in range(2):
            pasted = shlex.split(told.out.splitlines()[-1].removeprefix("next: imagebatch "))
            told = desk.run(*pasted)
            assert told.code == 3
        assert there.bill()["requests"] == 4
        told = desk.run("run", "job.yaml", *words, "--max-runtime", "0.001")
        desk.job(["yes", "no way", "yes more", "yes and more"], base_url=there.base_url)
        stopped = desk.run("run", "job.yaml", *words, "--limit", "4", "--max-runtime", "0")
        assert stopped.code == 4
        pasted = shlex.split(stopped.out.splitlines()[-1].removeprefix("next: imagebatch "))
        assert desk.run(*pasted).code == 3
        assert there.bill()["requests"] == 6


def test_what_a_provider_says_cannot_move_the_terminal(desk: Desk) -> None:
    desk.write("job\x1b[2J.yaml", "prompts: ['\\e[31mred\\u202e']\nname: a\n")
    told = desk.run("plan", "job\x1b[2J.yaml")
    assert "\x1b" not in told.out + told.err
    desk.write("p.jsonl", json.dumps({"prompt": "\x1b[31mred"}))
    desk.job("{file: p.jsonl}")
    assert "\x1b" not in desk.run("plan", "job.yaml").out


def test_a_reader_that_goes_away_costs_no_image(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        more = "limits: {concurrency: 1}\n"
        desk.job([f"p{n}" for n in range(10)], base_url=there.base_url, more=more)
        with desk.started("run", "job.yaml", "--json") as process:
            assert process.stdout
            assert process.stderr
            process.stdout.readline()
            process.stdout.close()
            assert not process.stderr.read()
            process.wait(timeout=20)
        assert there.bill()["requests"] == 10
    assert len(desk.lines) == 10


def test_help_is_light_and_every_command_has_it(desk: Desk) -> None:
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'aiohttp', 'pydantic', 'asyncio', 'PIL', 'yaml', 'tqdm', 'orjson'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert told.returncode == 0, told.stderr
    for command in ("run", "plan", "rerun", "status", "models", "simulate", "schema"):
        assert command in told.stdout
        with pytest.raises(SystemExit, match="0"):
            desk.run(command, "--help")
