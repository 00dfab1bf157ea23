"""One file against an image that a record tells of: there, a file, its size, its SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from pipeline.store.findings import Flaw, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.store.durable import Disk

NO_WAITING = os.O_RDONLY | os.O_NONBLOCK
"""Flags to open a file: whoever put a pipe there keeps nobody waiting."""

_BLOCKED = "one of its directories is a link or a file now; put the directory itself back"
_BY_ERRNO = {
    errno.ENOENT: Flaw(kind=Kind.MISSING),
    errno.ELOOP: Flaw(kind=Kind.NOT_A_FILE, detail="a link"),
    errno.ENOTDIR: Flaw(kind=Kind.BLOCKED, detail=_BLOCKED),
    errno.ENXIO: Flaw(kind=Kind.NOT_A_FILE, detail="a socket"),
    errno.ENAMETOOLONG: Flaw(kind=Kind.OUTSIDE, detail="no file can have that name"),
}


def agrees(disk: Disk, name: str, image: Mapping[str, Any]) -> bool:
    """Whether a file is the image that a record tells of, by size and content; raises OSError."""
    return unlikeness(disk, name, image) is None


def unlikeness(
    disk: Disk, name: str, image: Mapping[str, Any], *, is_deep: bool = True
) -> Flaw | None:
    """What tells a file from the image that a record tells of, None where nothing does.

    ``is_deep`` False leaves its bytes alone: there, a file, the right size. No link is followed.
    Raises OSError where nobody can tell.
    """
    try:
        fd = disk.open(name, NO_WAITING)
    except OSError as error:
        if error.errno in _BY_ERRNO:
            return _BY_ERRNO[error.errno]
        raise
    try:
        return _unlikeness_in(fd, image, is_deep=is_deep)
    finally:
        os.close(fd)


def _unlikeness_in(fd: int, image: Mapping[str, Any], *, is_deep: bool) -> Flaw | None:
    there = os.fstat(fd)
    if not stat.S_ISREG(there.st_mode):
        what = "a directory" if stat.S_ISDIR(there.st_mode) else "a device or a pipe"
        return Flaw(kind=Kind.NOT_A_FILE, detail=what)
    if there.st_size != image["bytes"]:
        told = f"{there.st_size:,} bytes, its line says {image['bytes']:,}"
        return Flaw(kind=Kind.WRONG_SIZE, detail=told)
    with os.fdopen(fd, "rb", closefd=False) as file:
        if is_deep and hashlib.file_digest(file, "sha256").hexdigest() != image["sha256"]:
            return Flaw(kind=Kind.WRONG_CONTENT, detail="its SHA-256 is not the one in its line")
    return None
