"""The output folder: images under their names, then the line that says so, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import orjson

from pipeline.core.model import Keep, Made, Receipt
from pipeline.errors import DiskTrouble
from pipeline.store import lock, opening, status
from pipeline.store.choice import Chosen, choose
from pipeline.store.claims import Claims
from pipeline.store.decoding import problem_of
from pipeline.store.durable import STATE, Calls, Disk, Durability, FilePart, trouble
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import Manifest
from pipeline.store.metadata import METADATA, metadata_of
from pipeline.store.record import line_of, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from pipeline.core.model import Image, Outcome, Task
    from pipeline.store.claims import Claim

PROMPTS = f"{STATE}/prompts.jsonl"
"""Where prompts that came on standard input are kept."""

_N_THREADS = 4
_PIECE_BYTES = 1 << 20
_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "image/svg+xml": "svg",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a run opens its folder.

    ``path_for(task, number of the image among those kept, extension)`` names a file, relative to
    the folder; a ValueError makes it a plain name. ``wait_s``: how long to wait for the lock.
    ``adopt``: take over whatever is there.
    """

    job: str
    run: str
    path_for: Callable[[Task, int, str], str]
    durability: Durability = Durability.POWER
    wait_s: float = 0.0
    adopt: bool = False


class Folder:
    """An output folder whose lock we hold: the engine's ``Store``.

    ``ledger`` follows what is kept. Used as a context; leaving it lets go of the folder.
    """

    def __init__(self, root: Path, terms: Terms, *, calls: Calls | None = None) -> None:
        """Open or create it: lock, probe, heal.

        Raises, before anything is asked of anyone: :class:`BadOutput`, :class:`Locked`,
        :class:`DiskTrouble`.
        """
        opening.make_root(root)
        if not terms.adopt:
            opening.refuse_strangers(root)
        self.root = root
        self.ledger = Ledger()
        self._terms = terms
        self._n_parts = itertools.count()
        self._keeping: set[Future[Receipt]] = set()
        self._is_in_order = True
        self._is_metadata_old = False
        with ExitStack() as undo:
            with opening.usable(root):
                self._disk = Disk(root, durability=terms.durability, calls=calls)
            undo.callback(self._disk.close)
            self._hold(undo)
            self._take_stock(undo)
            self._threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="keep")
            undo.callback(self._tidy_at_the_end)
            undo.callback(self._threads.shutdown)
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

    def part(self) -> FilePart:
        """A fresh part file; raises :class:`DiskTrouble`."""
        return self._disk.part(f"{self._terms.run}-{next(self._n_parts)}")

    async def keep(self, outcome: Outcome) -> Receipt:
        """Make the outcome last: its images, then its line. Raises :class:`DiskTrouble`.

        Of several images those the task keeps; the parts of the others are discarded. Cancelling
        does not undo it: a thread finishes what was begun.
        """
        keeping = self._threads.submit(self._keep, _only_kept(outcome))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return await asyncio.shield(asyncio.wrap_future(keeping))

    async def problem_of(self, image: Image) -> str | None:
        """What is wrong with an image not yet kept, decoded in a thread; None if it is sound."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _problem_of, image)

    def finish(self) -> None:
        """Wait until everything that was given to ``keep`` is kept, whoever still awaits it."""
        wait(tuple(self._keeping))

    def freeze(self, job: str) -> None:
        """Write ``job.yaml``, the job as resolved, where it says something new."""
        with trouble(f"reading {self.root / opening.JOB}"):
            is_news = self._disk.read(opening.JOB) != job.encode()
        if is_news:
            self._disk.write_whole(opening.JOB, [job.encode()])

    def keep_prompts(self, file: Path) -> None:
        """Keep the prompts that came on standard input: a later run may get nothing there."""
        with trouble(f"reading {file}"), file.open("rb") as prompts:
            self._disk.write_whole(PROMPTS, iter(lambda: prompts.read(_PIECE_BYTES), b""))

    def note_plan(
        self, *, wanted: int, unwanted: Iterable[str] = (), origin: status.Origin | None = None
    ) -> None:
        """Note how many tasks the job wants, the ids it no longer wants, and which run asked."""
        status.write_wanted(
            self._disk,
            status.Wanted(n_tasks=wanted, unwanted=tuple(sorted(unwanted)), origin=origin),
        )
        self._claims.plan_changed()

    def note_in_flight(self, n_requests: int) -> None:
        """Note how many requests are out, for ``status``; cheap, call it as often as a line."""
        status.write_in_flight(self._disk, n_requests)

    def standing(self) -> status.Standing:
        """How the folder stands now, with everything kept that was given to ``keep``."""
        self.finish()
        with trouble(f"reading {self.root}"):
            return status.standing_of(self._disk, self.ledger)

    def write_metadata(self) -> None:
        """Write ``metadata.jsonl``, where this run or a killed one before it changed anything."""
        self.finish()
        with trouble(f"reading {self.root}"):
            is_there = self._disk.has(METADATA)
        if self._is_metadata_old or not is_there:
            rows = metadata_of(self._manifest, self.ledger.offsets_of_made())
            self._disk.write_whole(METADATA, rows)
            self._is_metadata_old = False

    def chosen(self, *, whys: Collection[str] = (), ids: Collection[str] = ()) -> Chosen:
        """The failed tasks to run again; see :func:`pipeline.store.choice.choose`."""
        return choose(self._manifest, self.ledger, whys=whys, ids=ids)

    def _hold(self, undo: ExitStack) -> None:
        """Take the lock; what the holder before us left unfinished is ours to put in order."""
        opening.make_state(self._disk)
        with opening.usable(self.root):
            self._lock = lock.take(self._disk, run=self._terms.run, wait_s=self._terms.wait_s)
        self._is_in_order = self._lock.left_behind is None
        self._is_metadata_old = not self._is_in_order
        undo.callback(lambda: self._lock.release(is_clean=self._is_in_order))

    def _take_stock(self, undo: ExitStack) -> None:
        """Ours? Writable? Then read what is there and clear what is nobody's."""
        opening.refuse_another_job(self._disk, self._terms.job, adopt=self._terms.adopt)
        opening.probe(self._disk)
        opening.claim(self._disk, self._terms.job)
        opening.clear(self._disk)
        self._manifest = Manifest(self._disk, self.ledger.note)
        undo.callback(self._manifest.close)
        self._claims = Claims(self._disk, self._manifest, self.ledger, self._terms.path_for)
        self._tidy()

    def _tidy(self) -> None:
        """Nothing unnamed lies under images/: what a killed or failed keep left is an orphan."""
        if not self._is_in_order:
            made = self._manifest.lines(self.ledger.offsets_of_made())
            opening.sweep(
                self._disk,
                {hash(image["file"]) for line in made for image in orjson.loads(line)["images"]},
            )
            self._is_in_order = True

    def _tidy_at_the_end(self) -> None:
        with suppress(DiskTrouble):  # told already, by the keep that failed; the next run tidies
            self._tidy()

    def _keep(self, outcome: Outcome) -> Receipt:
        try:
            record = self._published(outcome)
            self._manifest.append(line_of(record))
        except DiskTrouble:
            self._is_in_order = False
            raise
        finally:
            self._claims.settle(outcome.task)
        self._is_metadata_old = True
        return Receipt(outcome=_with_files(outcome, record), record=record)

    def _published(self, outcome: Outcome) -> dict[str, Any]:
        files, orphaned, remarks = [], [], []
        for number, image in enumerate(_images_of(outcome)):
            extension = _EXTENSIONS.get(image.media_type, "bin")
            claim = self._claims.claim(outcome.task, number, extension)
            files.append(claim.name)
            orphaned += self._in_place(_ours(image), claim)
            remarks += [claim.remark] if claim.remark else []
        record = record_of(outcome, files=files, run=self._terms.run)
        record["orphaned"] = orphaned
        record["warnings"] += remarks
        return record

    def _in_place(self, part: FilePart, claim: Claim) -> list[dict[str, str | None]]:
        """Give a part its name; what has to make way, as the record tells it."""
        moved = {claim.name: self._disk.publish(part, claim.name)}
        with trouble(f"moving older images of {self.root} aside"):
            moved.update((file, self._disk.set_aside(file)) for file in claim.others)
        ways = ((file, to) for file, to in moved.items() if to)
        return [{"file": file, "moved_to": to, "id": claim.displaced} for file, to in ways]


def _problem_of(image: Image) -> str | None:
    with _ours(image).reopened() as file:
        return problem_of(file, image.media_type)


def _only_kept(outcome: Outcome) -> Outcome:
    """The outcome with the images its task keeps, their parts ours; the others are discarded."""
    if not isinstance(outcome, Made):
        return outcome
    kept = {
        Keep.ALL: outcome.images,
        Keep.FIRST: outcome.images[:1],
        Keep.LAST: outcome.images[-1:],
    }[outcome.task.keep]
    for image in outcome.images:
        if image in kept:
            _ours(image).hand_over()
        else:
            image.part.discard()
    return replace(outcome, images=kept)


def _with_files(outcome: Outcome, record: Mapping[str, Any]) -> Outcome:
    if not isinstance(outcome, Made):
        return outcome
    kept = zip(outcome.images, record["images"], strict=True)
    return replace(outcome, images=tuple(replace(i, file=said["file"]) for i, said in kept))


def _images_of(outcome: Outcome) -> tuple[Image, ...]:
    return outcome.images if isinstance(outcome, Made) else ()


def _ours(image: Image) -> FilePart:
    if not isinstance(image.part, FilePart):
        raise TypeError("an image can be kept by the store that gave out its part, by no other")
    return image.part
