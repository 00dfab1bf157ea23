"""Images get their names, all of a batch, and lose them again where no line could be written."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble
from pipeline.store.durable import trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.store.attempts import Result
    from pipeline.store.durable import Disk


@contextmanager
def published(
    disk: Disk, results: Sequence[Result], moves: Iterable[tuple[str, str]] | None = None
) -> Iterator[None]:
    """The images of ``results`` have their names, for good, if what is done in here succeeds.

    ``moves``: the renames that are left to do, where it is not all of them. Raises
    :class:`DiskTrouble`; then the images are parts again, for which the journal has the results,
    and the next run goes on from there.
    """
    whole = [move for result in results for move in (*result.asides, *result.names)]
    try:
        with trouble(f"publishing images in {disk.root}"):
            for name, to in whole if moves is None else moves:
                disk.rename(name, to)
            disk.sync_names_of(to for _, to in whole)
        yield
    except DiskTrouble:
        if not disk.is_failing:  # else a line may name them by now
            with suppress(OSError):  # told already; the next run finds what is left where it is
                _take_back(disk, results)
        raise


def _take_back(disk: Disk, results: Iterable[Result]) -> None:
    for part, file in (name for result in results for name in result.names):
        if disk.has(file) and not disk.has(part):
            disk.rename(file, part)
