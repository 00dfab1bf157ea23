"""What an image is called in the end: never what another wanted task's image is called."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import orjson

from pipeline.store.durable import trouble
from pipeline.store.status import read_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pipeline.core.model import Task
    from pipeline.store.durable import Disk
    from pipeline.store.ledger import AllBut, Ledger
    from pipeline.store.manifest import Manifest

_NO_WAY = {errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
_MOST_BYTES = 255  # of a name in a directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A name that is its task's alone.

    ``in_the_way``: files that have to go first: the one that has the name and, as a task is made as
    a whole, all of ``displaced``, the task that loses its files as it is wanted no more.
    ``remark``: why the name is not the job's path.
    """

    name: str
    in_the_way: tuple[str, ...] = ()
    displaced: str | None = None
    remark: str | None = None


class Taken(Exception):
    """A name is taken; who has it is to be read, which may take a while."""


class Claims:
    """Who has which name: on disk by the manifest, and in the batch that is being kept now.

    Lines are looked through only once a name is found taken; from then on every image made takes
    some 150 bytes of memory.
    """

    def __init__(
        self,
        disk: Disk,
        manifest: Manifest,
        ledger: Ledger,
        path_for: Callable[[Task, int, str], str],
    ) -> None:
        """``path_for`` as in :class:`pipeline.store.folder.Terms`."""
        self._disk = disk
        self._manifest = manifest
        self._ledger = ledger
        self._path_for = path_for
        self._held: dict[str, str] = {}  # names in use by who has no line yet -> the task
        self._leaving: set[str] = set()  # files that are about to make way
        self._owners: dict[int, int] | None = None  # hash of a name -> offset of the line with it
        self._unwanted: Collection[str] | AllBut | None = None

    def claim(self, task: Task, number: int, extension: str, *, is_hasty: bool = False) -> Claim:
        """The name of an image, held until :meth:`settle`; raises :class:`DiskTrouble`.

        A path that cannot be filled in, or entered, costs no image: it gets a plain name instead.
        ``is_hasty``: raise :class:`Taken` rather than look up whose file has the name.
        """
        with trouble(f"naming an image in {self._disk.root}"):
            claim = self._first_possible(task, number, extension, is_hasty=is_hasty)
            self._held.update(dict.fromkeys((claim.name, *claim.in_the_way), task.id))
            self._leaving.update(claim.in_the_way)
            return claim

    def settle(self, task: Task) -> None:
        """The task's line is written, or never will be: its names are held no more."""
        names = [name for name, holder in self._held.items() if holder == task.id]
        for name in names:
            del self._held[name]
            self._leaving.discard(name)
        offset = self._ledger.offset_of_made(task.id)
        if self._owners is not None and offset is not None:
            self._owners.update((hash(name), offset) for name in names)

    def plan_changed(self) -> None:
        """What is wanted has been noted anew."""
        self._unwanted = None

    def _first_possible(self, task: Task, number: int, extension: str, *, is_hasty: bool) -> Claim:
        problem: ValueError | OSError | None = None
        for name_for in (self._path_for, _plain, _plainest):
            try:
                name = name_for(task, number, extension)
                claim = self._decided(task, name, extension, is_hasty=is_hasty)
            except ValueError as bad:
                problem = problem or bad
            except OSError as bad:
                if bad.errno not in _NO_WAY:
                    raise
                problem = problem or bad
            else:
                remark = f"kept under a plain name, since output.path gives none: {problem}"
                return replace(claim, remark=remark) if problem else claim
        assert problem
        raise problem

    def _decided(self, task: Task, name: str, extension: str, *, is_hasty: bool) -> Claim:
        holder = self._held.get(name, task.id)
        if holder != task.id:
            return _beside(name, holder, task, extension)
        is_taken = name not in self._leaving and self._disk.has(name)
        if is_taken and is_hasty:
            raise Taken
        owner = self._owner_of(name) if is_taken else None
        if owner is None or owner.id == task.id:
            return Claim(name=name, in_the_way=(name,) if is_taken else ())
        if not self._is_unwanted(owner.id):
            return _beside(name, owner.id, task, extension)
        files = (file for file in owner.files if file == name or file not in self._held)
        in_the_way = tuple(file for file in files if self._disk.has(file))
        return Claim(name=name, displaced=owner.id, in_the_way=in_the_way)

    def _owner_of(self, name: str) -> _Owner | None:
        """The made task whose line names a file."""
        if self._owners is None:
            self._owners = self._read_owners()
        offset = self._owners.get(hash(name))
        if offset is None:
            return None
        owner = self._owner_at(offset)
        holds = self._ledger.offset_of_made(owner.id) == offset and name in owner.files
        return owner if holds else None

    def _read_owners(self) -> dict[int, int]:
        offsets = self._ledger.offsets_of_made()
        return {hash(file): at for at in offsets for file in self._owner_at(at).files}

    def _owner_at(self, offset: int) -> _Owner:
        (line,) = self._manifest.lines([offset])
        record = orjson.loads(line)
        return _Owner(record["id"], tuple(image["file"] for image in record["images"]))

    def _is_unwanted(self, task_id: str) -> bool:
        """Whether the plan says so: where nobody knows, what was paid for stays."""
        if self._unwanted is None:
            wanted = read_wanted(self._disk)
            self._unwanted = wanted.unwanted if wanted else ()
        return task_id in self._unwanted


class _Owner(NamedTuple):
    id: str
    files: tuple[str, ...]


def _beside(name: str, owner: str, task: Task, extension: str) -> Claim:
    """Another name for an image whose own is taken."""
    above, slash, last = name.removesuffix(f".{extension}").rpartition("/")
    last = last.encode()[: _MOST_BYTES - len(f"-{task.id}.{extension}")].decode(errors="ignore")
    return Claim(
        name=f"{above}{slash}{last}-{task.id}.{extension}",
        remark=f"kept beside `{name}`, which is the image of task {owner}",
    )


def _plain(task: Task, number: int, extension: str) -> str:
    again = f"-{number}" if number else ""
    return f"images/{task.index // 1000:03}/{task.index:06}-{task.id}{again}.{extension}"


def _plainest(task: Task, number: int, extension: str) -> str:
    again = f"-{number}" if number else ""
    return f"images/{task.id}{again}.{extension}"
