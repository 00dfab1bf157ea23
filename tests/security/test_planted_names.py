"""Hard links and pipes that another user planted under names of the output folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from commands import Desk

OURS = [
    "manifest.jsonl",
    "job.yaml",
    "metadata.jsonl",
    ".state/journal.jsonl",
    ".state/journal.jsonl.tmp",
    ".state/lock",
    ".state/probe.tmp",
    ".state/folder.json",
    ".state/plan.json",
    ".state/live.json",
    ".state/live.json.next",
    ".state/ballast",
]
COMMANDS = [
    *(("run", name) for name in OURS),
    *(("status", name) for name in (".state/plan.json", ".state/lock", ".state/live.json")),
    *(("verify", name) for name in ("job.yaml", "manifest.jsonl")),
]


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_a_second_name_of_somebody_elses_file_is_not_written_to(
    desk: Desk, command: str, name: str
) -> None:
    desk.job(["a"])
    assert desk.run("run", "job.yaml").code == 0
    victim = desk.write("victim", "precious")
    (desk.out / name).unlink(missing_ok=True)
    os.link(victim, desk.out / name)
    desk.job(["a", "b"])
    ended = desk.run(command, "job.yaml" if command == "run" else "out")
    assert ended.code in {0, 3, 73, 74}
    assert victim.read_text() == "precious"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_nobody_waits_at_a_pipe(desk: Desk, command: str, name: str) -> None:
    desk.job(["a"])
    assert desk.run("run", "job.yaml").code == 0
    (desk.out / name).unlink(missing_ok=True)
    os.mkfifo(desk.out / name)
    desk.job(["a", "b"])
    ended = desk.run(command, "job.yaml" if command == "run" else "out")
    assert ended.code in {0, 3, 73, 74}
