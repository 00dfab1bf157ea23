"""The output folder: images under their names, then the line that says so, and nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.errors import DiskTrouble
from pipeline.store import dataset, live, lock, opening, prompts, recovery, status
from pipeline.store.attempts import PROMPT_CHARACTERS, Attempt
from pipeline.store.ballast import Ballast
from pipeline.store.choice import Chosen, choose
from pipeline.store.claims import Claims
from pipeline.store.commit import Books, Committer
from pipeline.store.decoding import problem_of
from pipeline.store.durable import Calls, Disk, Durability, trouble
from pipeline.store.journal import Journal
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import MANIFEST, Manifest
from pipeline.store.metadata import METADATA
from pipeline.store.part import FilePart
from pipeline.store.pasts import Pasts
from pipeline.store.trail import Trail

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path
    from types import TracebackType

    from pipeline.core.model import Image, Outcome, Receipt, Task
    from pipeline.core.ports import LaneState
    from pipeline.store.ledger import AllBut

_N_LOOKERS = 4
_FOR_A_WORKER_BYTES = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a run opens its folder.

    ``path_for(task, number of the image among those kept, extension)`` names a file, relative to
    the folder; a ValueError makes it a plain name. ``wait_s``: how long to wait for the lock;
    ``waits`` is told for whom, once. ``adopt``: take over whatever is there.
    """

    job: str
    run: str
    path_for: Callable[[Task, int, str], str]
    durability: Durability = Durability.POWER
    wait_s: float = 0.0
    waits: Callable[[str], None] | None = None
    adopt: bool = False


class Folder:
    """An output folder whose lock we hold: the engine's ``Store``.

    ``ledger`` follows what is kept; ``remarks`` tell what a person should know of the folder as it
    was found. Used as a context; leaving it lets go of the folder.
    """

    def __init__(self, root: Path, terms: Terms, *, calls: Calls | None = None) -> None:
        """Open or create it: lock, probe, recover.

        Raises, before anything is asked of anyone: :class:`BadOutput`, :class:`Locked`,
        :class:`DiskTrouble`.
        """
        opening.make_root(root)
        if not terms.adopt:
            opening.refuse_strangers(root)
        self.root = root
        self.ledger = Ledger()
        self.remarks: list[str] = []
        self._terms = terms
        self._committer: Committer
        self._keeping: set[Future[Receipt]] = set()
        with ExitStack() as undo:
            with opening.usable(root):
                self._disk = Disk(root, durability=terms.durability, calls=calls)
            undo.callback(self._disk.close)
            self._hold(undo)
            self._take_stock(undo)
            undo.callback(live.remove_live, self._disk)
            self._telling: Future[None] = Future()
            self._telling.set_result(None)
            self._lookers = ThreadPoolExecutor(_N_LOOKERS, thread_name_prefix="look")
            undo.callback(self._lookers.shutdown)
            undo.callback(self._committer.close)
            self._closing = undo.pop_all()

    def __enter__(self) -> Self:
        """The folder, open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of it."""
        self.close()

    def close(self) -> None:
        """Finish what is being kept, leave nothing unnamed, let go; harmless the second time."""
        self._closing.close()

    def brace(self, *, n_workers: int, when_full: Callable[[], None]) -> None:
        """Keep room for what ``n_workers`` may have in flight, until the disk is full or we are.

        ``when_full`` is called once, in any thread, as soon as that room is needed: the time to
        send no more. Raises :class:`DiskTrouble` where there is next to none to begin with.
        """
        wanted_bytes = n_workers * _FOR_A_WORKER_BYTES
        ballast = Ballast(self._disk, wanted_bytes=wanted_bytes, freed=when_full)
        self._closing.callback(ballast.close)

    def begin(self, task: Task, attempt: int, *, at: str) -> Trail:
        """Note that an attempt is about to leave; raises :class:`DiskTrouble`."""
        past, run = self._pasts.of(task.id), self._terms.run
        begun = Attempt(
            id=task.id,
            attempt=attempt,
            run=run,
            at=at,
            model=task.model,
            prompt=task.prompt[:PROMPT_CHARACTERS],
            n_answers=past.n_answers,
        )
        self._journal.send(begun)
        return Trail(begun, past, self._disk, self._journal)

    def tell(self, lanes: Iterable[LaneState]) -> None:
        """Say how the lanes stand, for ``status``; in a thread, and not while the last is slow."""
        if self._telling.done():
            said = live.Live(run=self._terms.run, lanes=tuple(lanes))
            self._telling = self._lookers.submit(live.write_live, self._disk, said)

    async def keep(self, outcome: Outcome) -> Receipt:
        """Make the outcome last: its images, then its line. Raises :class:`DiskTrouble`.

        Of several images those the task keeps; the parts of the others are discarded. Cancelling
        does not undo it: a thread finishes what was begun.
        """
        self._is_metadata_old = True
        keeping = self._committer.submit(outcome)
        if keeping.done():
            return keeping.result()
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return await asyncio.shield(asyncio.wrap_future(keeping))

    async def problem_of(self, image: Image) -> str | None:
        """What is wrong with an image not yet kept, decoded in a thread; None if it is sound."""
        return await asyncio.get_running_loop().run_in_executor(self._lookers, _problem_of, image)

    def finish(self) -> None:
        """Wait until everything that was given to ``keep`` is kept, whoever still awaits it.

        What only lacked its line, for want of room, is tried once more.
        """
        wait(tuple(self._keeping))
        attempts = self._journal.attempts
        if attempts.results and not self._disk.is_failing:
            with suppress(DiskTrouble):  # told already, by the keep that failed; the next run tries
                recovery.adopt(self._disk, self._manifest, attempts)

    def freeze(self, job: str) -> None:
        """Write ``job.yaml``, the job as resolved, where it says something new."""
        with trouble(f"reading {self.root / opening.JOB}"):
            is_news = self._disk.read(opening.JOB) != job.encode()
        if is_news:
            self._disk.write_whole(opening.JOB, [job.encode()])

    def keep_prompts(
        self, *, seen_from: str, file: str | None = None, read: Path | None = None
    ) -> None:
        """Keep a copy of the prompts; see :func:`pipeline.store.prompts.keep`."""
        prompts.keep(self._disk, seen_from=seen_from, file=file, read=read)

    def keep_survey(self, pieces: Iterable[bytes]) -> None:
        """Keep what was seen of the rows; see :func:`pipeline.store.prompts.read_survey`."""
        self._disk.write_whole(prompts.SURVEY, pieces)

    def note_plan(
        self,
        *,
        wanted: int,
        unwanted: Collection[str] | AllBut = (),
        origin: status.Origin | None = None,
    ) -> None:
        """Note how many tasks the job wants, the ids it no longer wants, and which run asked."""
        noted = status.Wanted(n_tasks=wanted, unwanted=unwanted, origin=origin)
        status.write_wanted(self._disk, noted)
        self._claims.plan_changed()

    @property
    def cost_usd(self) -> float:
        """What all runs cost, as far as the provider told."""
        return self.ledger.cost_usd + self._journal.attempts.cost_usd

    @property
    def unknown_costs(self) -> Counter[str]:
        """By model, how many requests of all runs may have cost what nobody told."""
        return self.ledger.unknown_costs + self._journal.attempts.unknown_costs()

    @property
    def n_maybe_billed(self) -> int:
        """Attempts of all runs that may have been billed for nothing."""
        return self.ledger.maybe_billed + len(self._journal.attempts.maybe_billed())

    @property
    def n_unwanted(self) -> int:
        """How many ids of the manifest the run before did not want any more."""
        with trouble(f"reading {self.root}"):
            wanted = status.read_wanted(self._disk)
        return len(wanted.unwanted) if wanted else 0

    def standing(self) -> status.Standing:
        """How the folder stands now, with everything kept that was given to ``keep``."""
        self.finish()
        with trouble(f"reading {self.root}"):
            return status.standing_of(self._disk, self.ledger, self._journal.attempts)

    def write_metadata(self) -> None:
        """Write ``metadata.jsonl``, where this run or a killed one before it changed anything."""
        self.finish()
        with trouble(f"reading {self.root}"):
            is_there = self._disk.has(METADATA)
        if self._is_metadata_old or not is_there:
            dataset.write(self._disk, self._manifest, self.ledger)
            self._is_metadata_old = False

    def chosen(self, *, whys: Collection[str] = (), ids: Collection[str] = ()) -> Chosen:
        """The failed tasks to run again; see :func:`pipeline.store.choice.choose`."""
        return choose(self._manifest, self.ledger, whys=whys, ids=ids)

    def _hold(self, undo: ExitStack) -> None:
        """Take the lock; whose holder never let go of it left work behind."""
        opening.make_state(self._disk)
        with opening.usable(self.root):
            terms = self._terms
            held = lock.take(self._disk, run=terms.run, wait_s=terms.wait_s, waits=terms.waits)
        self._is_known = not held.left_behind  # else not before what it left was looked at
        self._is_metadata_old = self._was_cut_off = held.left_behind is not None
        undo.callback(lambda: held.release(is_clean=self._is_known and not self._disk.is_failing))

    def _take_stock(self, undo: ExitStack) -> None:
        """Ours? Writable? Then read what is there and finish what was begun."""
        opening.refuse_another_job(self._disk, self._terms.job, adopt=self._terms.adopt)
        opening.probe(self._disk)
        opening.claim(self._disk, self._terms.job)
        if not (self._terms.adopt or self._disk.has(MANIFEST)):
            opening.refuse_images_without_manifest(self._disk)
        self._manifest = Manifest(self._disk, self.ledger)
        undo.callback(self._manifest.close)
        undo.callback(self._drop_old_metadata)
        attempts, n_adopted = recovery.recover(self._disk, self._manifest, self.ledger)
        self._is_metadata_old |= n_adopted > 0
        self._remark(n_adopted, len(attempts.maybe_billed()))
        self._journal = Journal(self._disk, attempts)
        undo.callback(self._journal.close)
        undo.callback(self.finish)
        self._pasts = Pasts(self._manifest, self.ledger, attempts)
        self._claims = Claims(self._disk, self._manifest, self.ledger, self._terms.path_for)
        self._committer = Committer(
            Books(
                disk=self._disk,
                journal=self._journal,
                manifest=self._manifest,
                claims=self._claims,
                pasts=self._pasts,
                run=self._terms.run,
            )
        )
        self._is_known = True

    def _drop_old_metadata(self) -> None:
        """Once we let go, nobody knows that it lacks images; the next run writes what is missing.

        So it ends where a run was stopped before it could write it: no key, or no room.
        """
        if self._is_metadata_old and not self._disk.is_failing:
            with suppress(DiskTrouble), trouble(f"removing {self.root / METADATA}"):
                if self._disk.has(METADATA):
                    self._disk.remove(METADATA)
                    self._disk.sync_names_of([METADATA])

    def _remark(self, n_adopted: int, n_maybe_billed: int) -> None:
        if not self._disk.has_synced_names:
            self.remarks.append(
                f"the filesystem of {self.root} cannot make names last: after a power cut (not"
                " after a kill) what came last may be missing; `imagebatch verify` would tell"
            )
        if n_torn := self._manifest.n_torn_bytes:
            self.remarks.append(
                f"the end of manifest.jsonl was torn: {n_torn:,} bytes are set aside in .state/, as"
                " *.broken; what they told of is owed again"
            )
        elif not self.ledger.n_lines and (there := opening.image_in(self._disk)):
            self.remarks.append(
                f"manifest.jsonl holds no line, and {there} lies there, maybe with others: they are"
                " made anew. If you can put the manifest back, stop this run and do"
            )
        if self._was_cut_off or n_adopted:
            taken = f"{n_adopted} finished but unrecorded, now taken over; " if n_adopted else ""
            requests, them = (
                ("1 request", "it")
                if n_maybe_billed == 1
                else (f"{n_maybe_billed} requests", "them")
            )
            self.remarks.append(
                f"the run before was cut off: {taken}{requests} in all may have been billed for"
                f" nothing (`imagebatch status` lists {them})"
            )


def _problem_of(image: Image) -> str | None:
    if not isinstance(image.part, FilePart):
        raise TypeError("an image can be looked at by the store that gave out its part")
    with image.part.reopened() as file:
        return problem_of(file, image.media_type)
