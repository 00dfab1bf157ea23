"""Prompts on standard input: read once, kept in the folder, there for the next run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from commands import check_whole, ended

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from commands import Desk, Serving

INSTANT = Simulation(latency_s=0, image_size="64x64")


def lines(*prompts: str) -> str:
    return "".join(json.dumps({"prompt": prompt, "of": len(prompt)}) + "\n" for prompt in prompts)


def test_they_are_made_kept_and_resumed(desk: Desk, provider: Serving) -> None:
    flaky = Simulation(
        latency_s=0,
        image_size="64x64",
        rules=(FaultRule(fault="server_error", prompt="b", attempt=1),),
    )
    with provider(flaky) as there:
        desk.job('{file: "-"}', base_url=there.base_url, more="retry: {attempts: 1}\n")
        plan = desk.run("plan", "job.yaml", stdin=lines("a", "b", "c"))
        assert "3 new" in plan.out
        assert not desk.out.exists()
        first = desk.run("run", "job.yaml", "--json", stdin=lines("a", "b", "c"))
        assert first.summary["failed_by_why"] == {"server_error": 1}
        assert (desk.out / ".state/prompts.jsonl").read_text() == lines("a", "b", "c")
        again = desk.run("run", "job.yaml", "--json", stdin=lines("a", "b", "c", "d"))
        assert again.summary["requests"] == 2
        assert again.summary["made"] == 4
        assert there.bill()["requests"] == 5
    assert {line["meta"]["of"] for line in desk.lines} == {1}
    check_whole(desk.out)


def test_the_next_command_works_without_them(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        desk.job('{file: "-"}', base_url=there.base_url)
        stopped = desk.run("run", "job.yaml", "--max-runtime", "0", stdin=lines("a", "b"))
        assert stopped.code == 4
        assert "next: imagebatch run job.yaml" in stopped.out
        nothing = desk.run("run", "job.yaml", "--json")
        assert (nothing.code, nothing.summary["made"]) == (0, 2)
        told = "<stdin> brings nothing: going on from the copy in out/.state/prompts.jsonl"
        assert told in nothing.err
        assert told in desk.run("plan", "job.yaml").err
        master, slave = os.openpty()
        with desk.started("run", "job.yaml", "--json", stdin=slave) as process:
            terminal = ended(process)
        os.close(master)
        os.close(slave)
        assert (terminal.code, terminal.summary["made"]) == (0, 2)
        assert told in terminal.err
        assert there.bill()["requests"] == 2


def test_their_faults_are_told_by_line_and_nothing_is_written(
    desk: Desk, provider: Serving
) -> None:
    with provider(INSTANT) as there:
        desk.job('{file: "-"}', base_url=there.base_url)
        told = desk.run("run", "job.yaml", stdin=lines("a") + '{"prompt": 7}\nnonsense\n')
        nothing = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 0
    assert told.code == nothing.code == 65
    assert told.err.splitlines()[0].startswith("<stdin>:2")
    assert told.err.splitlines()[1].startswith("<stdin>:3")
    assert "<stdin>" in nothing.err
    assert not desk.out.exists()
