"""How an output folder stands, read without its lock: also while a run writes to it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.store import journal
from pipeline.store.durable import STATE, Disk, trouble
from pipeline.store.ledger import AllBut, Ledger
from pipeline.store.live import read_live
from pipeline.store.lock import Holder, holder_of
from pipeline.store.manifest import MANIFEST, lines_at
from pipeline.store.opening import find, owner_of
from pipeline.store.record import run_of
from pipeline.store.replay import replay

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pipeline.core.ports import LaneState
    from pipeline.store.attempts import Attempt, Attempts

PLAN = f"{STATE}/plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which run asked last, so that a rerun can tell how to go on with the whole job.

    ``words``: what followed ``imagebatch run``, the job file first, none where no command line was
    used; ``here``: the folder it was said in; ``out``: the output folder. Both are absolute.
    """

    words: tuple[str, ...]
    here: str
    out: str
    is_simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the job asks for: how many tasks, and which ids of the manifest it no longer wants."""

    n_tasks: int
    unwanted: Collection[str] | AllBut = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a folder stands. Tasks are counted as wanted now, money over all runs.

    ``owed``: wanted, and in no line. ``latencies_s``: of every line that tells one, seconds.
    ``started_at``, ``finished_at``, ``last_images``: of the last run that wrote a line; instants
    are UTC, ISO 8601.
    ``holder``: who is writing (``is_running``), or who ended without letting go of the folder.
    ``flying``: its requests that are out, the first sent first; ``lanes``: how its lanes stand, as
    far as it said. ``unanswered``: the attempts among the ``maybe_billed`` that no line tells of.
    """

    root: str
    job: str | None
    made: int
    failed_by_why: dict[str, int]
    owed: int
    unwanted: int
    maybe_billed: int
    cost_usd: float
    n_cost_known: int
    n_lines: int
    n_images: int
    latencies_s: Sequence[float] = field(repr=False)
    started_at: str | None
    finished_at: str | None
    last_images: int
    holder: Holder | None
    is_running: bool
    flying: Sequence[Attempt] = field(repr=False)
    lanes: Sequence[LaneState]
    unanswered: Sequence[Attempt] = field(repr=False)

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())

    @property
    def in_flight(self) -> int | None:
        """How many requests are out; None where no run is going on."""
        return len(self.flying) if self.is_running else None

    @property
    def running_pid(self) -> int | None:
        """The process that writes to the folder now."""
        return self.holder.pid if self.holder and self.is_running else None

    @property
    def is_stale(self) -> bool:
        """Whether the last run ended without letting go of the folder: killed, or a power cut."""
        return self.holder is not None and not self.is_running


def read_status(root: Path) -> Standing:
    """How the folder stands; raises :class:`BadUsage` where there is none, :class:`DiskTrouble`."""
    with trouble(f"reading {find(root)}"), closing(Disk(root)) as disk:
        # The journal first: what it tells of may be in the manifest by the time that is read.
        attempts, _ = journal.read(disk)
        ledger = _replayed(disk)
        _settle(disk, attempts, ledger)
        return standing_of(disk, ledger, attempts)


def read_ledger(root: Path) -> Ledger:
    """The ledger of a folder; empty where there is no folder yet. Raises :class:`DiskTrouble`."""
    if not root.is_dir():
        return Ledger()
    with trouble(f"reading {root}"), closing(Disk(root)) as disk:
        return _replayed(disk)


def standing_of(disk: Disk, ledger: Ledger, attempts: Attempts) -> Standing:
    """How a folder stands by a ledger and a journal that were read from it."""
    wanted = read_wanted(disk)
    holder, is_running = holder_of(disk)
    run = holder.run if holder and is_running else None
    unanswered = attempts.maybe_billed(but=run)
    live = read_live(disk, run) if run else None
    counts = ledger.counts(without=wanted.unwanted if wanted else ())
    last = ledger.last
    return Standing(
        root=str(disk.root),
        job=owner_of(disk),
        made=counts.made,
        failed_by_why=counts.failed_by_why,
        owed=max(0, wanted.n_tasks - counts.made - counts.failed) if wanted else 0,
        unwanted=len(wanted.unwanted) if wanted else 0,
        maybe_billed=ledger.maybe_billed + len(unanswered),
        cost_usd=round(ledger.cost_usd + attempts.cost_usd, 6),
        n_cost_known=ledger.n_cost_known,
        n_lines=ledger.n_lines,
        n_images=ledger.n_images,
        latencies_s=ledger.latencies_s,
        started_at=last.started_at if last else None,
        finished_at=last.finished_at if last else None,
        last_images=last.n_images if last else 0,
        holder=holder,
        is_running=is_running,
        flying=attempts.in_flight(run) if run else (),
        lanes=live.lanes if live else (),
        unanswered=unanswered,
    )


def write_wanted(disk: Disk, wanted: Wanted) -> None:
    """Note what the job asks for, so that ``status`` knows what is owed without reading it."""
    said = orjson.dumps(
        {
            "wanted": wanted.n_tasks,
            "unwanted": _listed(wanted.unwanted),
            "origin": asdict(wanted.origin) if wanted.origin else None,
        }
    )
    with trouble(f"reading {disk.root / PLAN}"):
        is_news = disk.read(PLAN) != said
    if is_news:
        disk.write_whole(PLAN, [said])


def read_wanted(disk: Disk) -> Wanted | None:
    """What the job asks for, None where no run has said so yet."""
    try:
        said = orjson.loads(disk.read(PLAN) or b"")
        return Wanted(
            n_tasks=int(said["wanted"]),
            unwanted=_unwanted_in(said["unwanted"]),
            origin=_origin_in(said.get("origin")),
        )
    except (ValueError, TypeError, KeyError):
        return None


def read_origin(root: Path) -> Origin | None:
    """Which run asked last, None where none has said so; raises as :func:`read_status` does."""
    with trouble(f"reading {find(root)}"), closing(Disk(root)) as disk:
        wanted = read_wanted(disk)
    return wanted.origin if wanted else None


def _listed(unwanted: Collection[str] | AllBut) -> list[str] | dict[str, Any]:
    if isinstance(unwanted, AllBut):
        return {"all_but": sorted(unwanted.ids), "others": unwanted.n_others}
    return sorted(unwanted)


def _unwanted_in(said: Any) -> Collection[str] | AllBut:
    if isinstance(said, dict):
        return AllBut(ids=frozenset(map(str, said["all_but"])), n_others=int(said["others"]))
    return frozenset(map(str, said))


def _origin_in(said: Any) -> Origin | None:
    if said is None:
        return None
    return Origin(
        words=tuple(map(str, said["words"])),
        here=str(said["here"]),
        out=str(said["out"]),
        is_simulated=bool(said["is_simulated"]),
    )


def _settle(disk: Disk, attempts: Attempts, ledger: Ledger) -> None:
    if disk.has(MANIFEST):
        fd = disk.open(MANIFEST, os.O_RDONLY)
        try:
            journal.settle(attempts, ledger, lambda offset: run_of(*lines_at(fd, [offset])))
        finally:
            os.close(fd)


def _replayed(disk: Disk) -> Ledger:
    ledger = Ledger()
    if disk.has(MANIFEST):
        fd = disk.open(MANIFEST, os.O_RDONLY)
        try:
            replay(fd, ledger, path=disk.root / MANIFEST)
        finally:
            os.close(fd)
    return ledger
