"""After a run that was killed: what is whole is taken over, what is unknown stays listed.

Everything here can be done twice, and can itself be killed at any point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.store import ballast
from pipeline.store import journal as journals
from pipeline.store.durable import PARTS, STATE, orphan_of, trouble
from pipeline.store.likeness import agrees
from pipeline.store.log import set_aside
from pipeline.store.publication import published
from pipeline.store.record import line_of, run_of

if TYPE_CHECKING:
    from pipeline.store.attempts import Attempts, Result
    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger
    from pipeline.store.manifest import Manifest


def recover(disk: Disk, manifest: Manifest, ledger: Ledger) -> tuple[Attempts, int]:
    """What no manifest line accounts for, and how many tasks were finished on the way.

    ``manifest`` is healed already. Raises :class:`DiskTrouble` where the journal is damaged.
    """
    attempts, torn = journals.read(disk)
    if torn:
        set_aside(disk, journals.JOURNAL, [torn])
    journals.settle(attempts, ledger, lambda offset: run_of(*manifest.lines([offset])))
    n_adopted = adopt(disk, manifest, attempts)
    with trouble(f"clearing {disk.root / STATE}"):
        for name in disk.names(PARTS):
            disk.remove(f"{PARTS}/{name}")
        for name in disk.names(STATE):
            if name.endswith(".tmp"):
                disk.remove(f"{STATE}/{name}")
        ballast.clear(disk)
    return attempts, n_adopted


def adopt(disk: Disk, manifest: Manifest, attempts: Attempts) -> int:
    """Finish every result whose images are all there; those that are not are given up."""
    n_adopted = 0
    for result in tuple(attempts.results.values()):
        with trouble(f"taking over finished images in {disk.root}"):
            moves = _moves_left(disk, result)
        if moves is not None:
            with published(disk, [result], moves):
                manifest.append([line_of(result.record)])
            attempts.settle(*result.key)
            n_adopted += 1
        else:
            with trouble(f"setting unfinished images aside in {disk.root}"):
                _give_up(disk, result)
    attempts.results.clear()
    return n_adopted


def _give_up(disk: Disk, result: Result) -> None:
    """Undo what was done for a result: its names go, and what made way for it comes back.

    Only a filesystem that can lose half of a rename in a power cut brings us here.
    """
    undone = {file for file, to in result.asides if not disk.has(to)}
    for image in result.record["images"]:
        if image["file"] not in undone and agrees(disk, image["file"], image):
            disk.set_aside(image["file"])
    for one in result.record["orphaned"]:
        if one["id"] and disk.has(one["moved_to"]) and not disk.has(one["file"]):
            disk.move(one["moved_to"], one["file"])


def _moves_left(disk: Disk, result: Result) -> list[tuple[str, str]] | None:
    """The renames that a result still needs, in their order; None where an image is lost."""
    images = dict(zip(result.parts, result.record["images"], strict=True))
    unnamed = [part for part, image in images.items() if not agrees(disk, image["file"], image)]
    if not all(agrees(disk, part, images[part]) for part in unnamed):
        return None
    there = {image["file"] for part, image in images.items() if part not in unnamed}
    in_the_way = {images[part]["file"]: orphan_of(images[part]["file"]) for part in unnamed}
    asides = (in_the_way | dict(result.asides)).items()
    return [
        *((file, to) for file, to in asides if file not in there and disk.has(file)),
        *((part, images[part]["file"]) for part in unnamed),
    ]
