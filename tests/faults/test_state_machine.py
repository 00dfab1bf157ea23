"""Run, kill, corrupt the tail, edit the job, delete an image, repair, rerun, in any order."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from exploring import ram
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from promises import JOURNAL, MANIFEST, json_in, snapshot
from story import AT, COST_USD, Mark, Teller, failed, made, task, terms

from pipeline.core.model import Why
from pipeline.store.folder import Folder
from pipeline.store.repair import repair
from pipeline.store.restore import Signature
from pipeline.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pipeline.core.model import Task

N_TASKS = 5
N_VERSIONS = 3
FATES = ["made", "two", "again", "refused", "lost", "came to nothing", "in flight", "silent"]


class Fortunes(RuleBasedStateMachine):
    """A folder, and what its user may rely on.

    ``made``: the acknowledged record of each task that has its images, but for the ``harmed``,
    which we have harmed. ``paid``: the images that are somewhere in the folder. Money and doubt are
    known exactly as long as no log was cut.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.room = self.closing.enter_context(ram())
        self.n_folders = 0
        self.n_runs = 0
        self.root = self.room / "0"
        self.versions = [0] * N_TASKS
        self.made: dict[str, dict[str, Any]] = {}
        self.harmed: set[str] = set()
        self.paid: set[str] = set()
        self.cost_usd = 0.0
        self.n_maybe_billed = 0
        self.is_cut = False
        self.is_harmed = False

    def teardown(self) -> None:
        self.closing.close()

    @property
    def wanted(self) -> list[Task]:
        return [
            task(number, id=f"task-{number}-{version}", prompt=f"prompt {number}, {version}")
            for number, version in enumerate(self.versions)
        ]

    @property
    def is_there(self) -> bool:
        return (self.root / MANIFEST).exists()

    @initialize(fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=N_TASKS))
    def first_run(self, fates: list[str]) -> None:
        self.run(fates, is_killed=False)

    @rule(
        fates=st.lists(st.sampled_from(FATES), max_size=N_TASKS + 1),
        is_killed=st.booleans(),
    )
    def run(self, fates: list[str], *, is_killed: bool) -> None:
        self._live(fates, is_killed=is_killed, is_rerun=False)

    @rule(fates=st.lists(st.sampled_from(FATES[:3]), min_size=1, max_size=2))
    def rerun(self, fates: list[str]) -> None:
        self._live(fates, is_killed=False, is_rerun=True)

    @rule(number=st.integers(0, N_TASKS - 1), version=st.integers(0, N_VERSIONS - 1))
    def edit_the_job(self, number: int, version: int) -> None:
        self.versions[number] = version

    @precondition(lambda self: self.is_there)
    @rule(log=st.sampled_from([MANIFEST, JOURNAL]), garbage=st.binary(min_size=1, max_size=30))
    def add_garbage(self, log: str, garbage: bytes) -> None:
        with (self.root / log).open("ab") as file:
            file.write(garbage.replace(b"\n", b"\0"))

    @precondition(lambda self: self.is_there)
    @rule(log=st.sampled_from([MANIFEST, JOURNAL]), n_bytes=st.integers(1, 1_500))
    def cut_the_tail(self, log: str, n_bytes: int) -> None:
        content = (self.root / log).read_bytes()
        left = content[: max(0, len(content) - n_bytes)]
        (self.root / log).write_bytes(left)
        self.is_cut = True
        if log == MANIFEST:
            n_whole = left.count(b"\n")
            for line in content.split(b"\n")[n_whole:]:
                self._harm_by(line)

    @precondition(lambda self: self.made.keys() - self.harmed)
    @rule(data=st.data())
    def delete_an_image(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.made.keys() - self.harmed)))
        image = self.made[one]["images"][0]
        (self.root / image["file"]).unlink()
        self.paid.discard(image["sha256"])
        self.harmed.add(one)
        self.is_harmed = True

    @precondition(lambda self: self.is_there)
    @rule()
    def repair(self) -> None:
        self.n_runs += 1
        us = Signature(run=f"repair-{self.n_runs}", at=AT)
        repair(self.root, us, job_check=_no_problem)
        assert verify(self.root, job_check=_no_problem).findings == ()
        self.is_harmed = False

    @invariant()
    def what_was_paid_is_somewhere(self) -> None:
        if self.is_there:
            there = {hashlib.sha256(one).hexdigest() for one in snapshot(self.root).values()}
            assert self.paid <= there

    @invariant()
    def what_was_acknowledged_is_in_its_place(self) -> None:
        for one in self.made.keys() - self.harmed:
            for image in self.made[one]["images"]:
                content = (self.root / image["file"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == image["sha256"]

    def _live(self, fates: list[str], *, is_killed: bool, is_rerun: bool) -> None:
        self.n_runs += 1
        with Folder(self.root, terms(f"run-{self.n_runs}")) as folder:
            self._check_the_books(folder)
            ids = {one.id for one in self.wanted}
            unwanted = [one for one in folder.ledger.ids() if one not in ids]
            folder.freeze("name: sunsets\n")
            folder.note_plan(wanted=len(ids), unwanted=unwanted)
            asked = folder.chosen() if is_rerun else self._owed(folder)
            hang_up = asyncio.run(self._meet(folder, zip(asked, fates, strict=False)))
            self._check_the_books(folder)
            left = self._copied() if is_killed else self.root
            for discard in hang_up:
                discard()
            folder.write_metadata()
        if is_killed:
            shutil.rmtree(self.root)
            self.root = left
        elif not self.is_harmed:
            assert verify(self.root, job_check=_no_problem).findings == ()

    def _copied(self) -> Path:
        """The folder as it is now, without its being let go of."""
        self.n_folders += 1
        copy = self.room / str(self.n_folders)
        shutil.copytree(self.root, copy)
        return copy

    def _owed(self, folder: Folder) -> list[Task]:
        owed = [one for one in self.wanted if folder.ledger.owes(one.id)]
        assert not {one.id for one in owed} & (self.made.keys() - self.harmed)
        return owed

    async def _meet(
        self, folder: Folder, fates: Iterable[tuple[Task, str]]
    ) -> list[Callable[[], None]]:
        """What to do at the end about the attempts that are then still under way."""
        teller = Teller(folder=folder, run=f"run-{self.n_runs}", say=self._hear)
        under_way = []
        for one, fate in fates:
            errand = teller.sent(one)
            if fate not in {"silent", "lost"}:
                errand.heard()
            match fate:
                case "made" | "two":
                    await teller.keep(made(one, errand.images(1 + (fate == "two"))))
                case "again":
                    errand.back(cost_usd=COST_USD, is_maybe_billed=True)
                    images = teller.sent(one, 2).heard().images()
                    how = {"attempts": 2, "cost_usd": 2 * COST_USD, "n_maybe_billed": 1}
                    await teller.keep(made(one, images, **how))
                case "refused":
                    errand.back(cost_usd=COST_USD)
                    await teller.keep(failed(one))
                case "lost":
                    errand.back(is_maybe_billed=True)
                    await teller.keep(failed(one, Why.LOST, cost_usd=None, n_maybe_billed=1))
                case "came to nothing":
                    errand.back(cost_usd=COST_USD)
                    self.cost_usd += COST_USD
                case "in flight":
                    under_way.append(errand.half_an_image())
                    self.n_maybe_billed += 1
                case "silent":
                    self.n_maybe_billed += 1
        return under_way

    def _hear(self, mark: Mark) -> None:
        """What is kept is the user's; whose files it moved away, says the record."""
        record = mark.record
        if record is None:
            return
        self.cost_usd += record["cost_usd"] or 0.0
        self.n_maybe_billed += record["maybe_billed"]
        for one in record["orphaned"]:
            self.made.pop(one["id"], None)
        if record["status"] == "made":
            self.made[mark.id] = record
            self.harmed.discard(mark.id)
            self.paid |= {image["sha256"] for image in record["images"]}

    def _check_the_books(self, folder: Folder) -> None:
        if not self.is_cut:
            assert folder.cost_usd == self.cost_usd
            assert folder.n_maybe_billed == self.n_maybe_billed

    def _harm_by(self, cut: bytes) -> None:
        """A line is cut: its task is made again, and who made way for it has lost its files."""
        if record := json_in(cut):
            self.is_harmed = True
            self.harmed |= {record["id"], *(one["id"] for one in record["orphaned"])}


def _no_problem(_: Path) -> None:
    return None


def _told(n_examples: int, n_steps: int) -> None:
    run_state_machine_as_test(
        Fortunes,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=n_steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_some_lives_of_a_folder() -> None:
    _told(60, 20)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_lives_of_a_folder() -> None:
    _told(500, 30)
