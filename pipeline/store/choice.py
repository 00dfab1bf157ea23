"""Which failed tasks to run again: by reason, by id, or all of them."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from pipeline.errors import BadUsage
from pipeline.store.record import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pipeline.core.model import Task
    from pipeline.store.ledger import Ledger
    from pipeline.store.manifest import Manifest

_SHOWN = 10


class Chosen:
    """Failed tasks to run again; read from the manifest as they are wanted, in its order."""

    def __init__(self, manifest: Manifest, offsets: Sequence[int]) -> None:
        """``offsets``: where their newest lines start."""
        self._manifest = manifest
        self._offsets = offsets

    def __len__(self) -> int:
        """How many there are."""
        return len(self._offsets)

    def __iter__(self) -> Iterator[Task]:
        """The tasks, as they were."""
        for line in self._manifest.lines(self._offsets):
            yield task_of(orjson.loads(line))


def choose(
    manifest: Manifest, ledger: Ledger, *, whys: Collection[str] = (), ids: Collection[str] = ()
) -> Chosen:
    """The failed tasks with one of these reasons and one of these ids; an empty list takes all.

    An id is a task's or its row's own. Raises :class:`BadUsage` for a reason that is none and for
    an id that is nowhere, saying what is there.
    """
    ledger.check_whys(whys)
    offsets = ledger.offsets_of_failed(whys)
    if ids:
        _check_ids(manifest, ledger, ids)
        lines = zip(offsets, manifest.lines(offsets), strict=True)
        wanted = [offset for offset, line in lines if not _ids_in(line).isdisjoint(ids)]
        offsets = array("Q", wanted)
    return Chosen(manifest, offsets)


def _check_ids(manifest: Manifest, ledger: Ledger, ids: Collection[str]) -> None:
    unknown = {one for one in ids if ledger.word_of(one) is None}
    failed = ledger.offsets_of_failed()
    for offsets in (failed, ledger.offsets_of_made()):
        for line in manifest.lines(offsets) if unknown else ():
            unknown -= _ids_in(line)
    if unknown:
        there = [min(_ids_in(line), key=len) for line in manifest.lines(failed[:_SHOWN])]
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        raise BadUsage(
            f"--id {', '.join(sorted(unknown))}: no such task here;"
            f" failed here: {', '.join(there) or 'nothing'}{more}"
        )


class _Meta(msgspec.Struct, gc=False, frozen=True):
    id: Any = None


class _Ids(msgspec.Struct, frozen=True):
    id: str
    meta: _Meta = _Meta()


def _ids_in(line: bytes) -> set[str]:
    """A task's own id, and its row's where the row has one."""
    ids = _decode(line)
    return {ids.id} if ids.meta.id is None else {ids.id, str(ids.meta.id)}


_decode = msgspec.json.Decoder(_Ids).decode
