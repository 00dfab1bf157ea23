"""Before the first request: the folder can be made and written, is ours, and no other run's."""

from __future__ import annotations

import errno
import os
import re
import shlex
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import orjson

from pipeline.errors import BadOutput, BadUsage, DiskTrouble
from pipeline.store.durable import NEW_FILE, ORPHANS, PARTS, STATE, Disk, trouble
from pipeline.store.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB = "job.yaml"
IMAGES = "images"

OWNER = f"{STATE}/folder.json"
_PROBE = f"{STATE}/probe.tmp"
NOT_COUNTED = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", ".gitkeep", "lost+found"}
"""Files that others put into every folder."""

_MEND = {
    errno.EEXIST: "remove what stands there: a file, or a link that leads nowhere",
    errno.ENOTDIR: "remove the file that stands in its way",
}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_NAME = re.compile(rb"^name:[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)


def find(root: Path) -> Path:
    """``root``, if an output folder is there; else :class:`BadUsage`."""
    if not root.is_dir():
        simulated = root.with_name(f"{root.name}-simulator")
        hint = f" (did you mean {simulated}?)" if root.name and simulated.is_dir() else ""
        raise BadUsage(f"{root}: no output folder there{hint}; give the folder a run wrote to")
    if not _is_ours(root):
        raise BadUsage(
            f"{root}: no output folder there: it holds neither {MANIFEST} nor {STATE}/;"
            " give the folder a run wrote to"
        )
    return root


def owner_at(root: Path) -> str | None:
    """The name of the job whose output folder is at ``root``, None where there is none."""
    try:
        if not _is_ours(root):
            return None
    except OSError:  # nobody may look: reading what lies there tells
        return None
    with trouble(f"reading {root}"), closing(Disk(root)) as disk:
        return owner_of(disk)


def make_root(root: Path) -> None:
    """Create the folder and those above it, each name synced; raises :class:`BadOutput`."""
    missing = []
    above = root
    with usable(root):
        while not above.exists():
            missing.append(above)
            above = above.parent
        for directory in reversed(missing):
            directory.mkdir(exist_ok=True)
            with suppress(PermissionError):  # a parent we may write to but not read
                _sync(directory.parent)


def refuse_strangers(root: Path) -> None:
    """Raise :class:`BadOutput` for a folder with things in it that no run of ours wrote."""
    with usable(root):
        names = {one.name for one in root.iterdir()} - NOT_COUNTED
    if names and not names & {STATE, MANIFEST}:
        raise BadOutput(
            f"{root} is not empty and not an output folder of ours; choose another with --out,"
            " or take it over with --adopt (nothing in it is deleted)"
        )


def refuse_another_job(disk: Disk, job: str, *, adopt: bool) -> None:
    """Raise :class:`BadOutput` where the folder belongs to another job."""
    owner = owner_of(disk)
    if owner not in {None, job} and not adopt:
        raise BadOutput(
            f"{disk.root} belongs to the job {owner!r}, not to {job!r};"
            " choose another folder with --out, or take it over with --adopt"
        )


def refuse_images_without_manifest(disk: Disk) -> None:
    """Raise :class:`DiskTrouble` where paid images lie and their manifest is gone."""
    if there := image_in(disk):
        raise DiskTrouble(
            f"{disk.root / MANIFEST} is gone, and {there} lies there, maybe with others: put the"
            " manifest back if you have it; else `imagebatch verify --repair"
            f" {shlex.quote(str(disk.root))}` sets the images aside, and they are made anew"
        )


def image_in(disk: Disk) -> str | None:
    """A file below ``images/``, None where there is none."""
    with trouble(f"reading {disk.root / IMAGES}"):
        return next((one for one in disk.files(IMAGES) if _name_of(one) not in NOT_COUNTED), None)


def claim(disk: Disk, job: str) -> None:
    """Write whose folder this is, where that is news."""
    with trouble(f"reading {disk.root / OWNER}"):
        is_ours = _name_in_json(disk.read(OWNER) or b"") == job
    if not is_ours:
        disk.write_whole(OWNER, [orjson.dumps({"job": job, "format": 1})])


def owner_of(disk: Disk) -> str | None:
    """The name of the job that writes to this folder, None where nobody knows."""
    with trouble(f"reading {disk.root / OWNER}"):
        claimed = disk.read(OWNER)
        frozen = disk.read(JOB)
    if claimed is not None:
        return _name_in_json(claimed)
    # A folder copied without its hidden part: the frozen job tells, its `name:` a line of its own.
    named = _NAME.search(frozen or b"")
    return named.group(1).decode(errors="replace").strip("'\"") if named else None


def probe(disk: Disk) -> None:
    """Do once what every image needs: create, write, sync, rename. Raises :class:`BadOutput`."""
    with usable(disk.root):
        for place in ("", f"{IMAGES}/") if disk.has(IMAGES) else ("",):
            disk.remove(_PROBE)
            fd = disk.open(_PROBE, NEW_FILE)
            try:
                disk.write_all(fd, b"probe")
                disk.sync(fd)
            finally:
                os.close(fd)
            disk.move(_PROBE, f"{place}.probe")
            disk.remove(f"{place}.probe")


def make_state(disk: Disk) -> None:
    """Create the folder's own hidden part; raises :class:`BadOutput`."""
    with usable(disk.root):
        disk.make(PARTS)
        disk.make(ORPHANS)


@contextmanager
def usable(root: Path) -> Iterator[None]:
    """An OSError in here is a :class:`BadOutput`; a full or broken disk a :class:`DiskTrouble`."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK:
            with trouble(f"writing to {root}, before anything was sent"):
                raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        mend = _MEND.get(error.errno or 0, "set its permissions right")
        raise BadOutput(
            f"{root} cannot be used as output folder: {reason};"
            f" choose another with --out, or {mend}"
        ) from error


def _is_ours(root: Path) -> bool:
    return (root / STATE).is_dir() or (root / MANIFEST).is_file()


def _name_of(file: str) -> str:
    return file.rpartition("/")[2]


def _name_in_json(claimed: bytes) -> str | None:
    try:
        owner = orjson.loads(claimed)
    except orjson.JSONDecodeError:
        return None
    return owner.get("job") if isinstance(owner, dict) else None


def _sync(directory: Path) -> None:
    disk = Disk(directory)
    try:
        disk.sync_names_of(["."])
    finally:
        disk.close()
