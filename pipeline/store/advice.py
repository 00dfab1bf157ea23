"""What to do about a disk that refused: each error of the system with the advice that fits it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pipeline.errors import DiskTrouble

if TYPE_CHECKING:
    from types import TracebackType

_ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again (where there seems to be some,"
    " there are too many files: `df -i`)",
    errno.ENOENT: "something was moved or removed meanwhile: run the same command again",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EFBIG: "the file may not grow any further: raise `ulimit -f`, then run again",
    errno.EMFILE: "raise `ulimit -n` or lower limits.concurrency, then run again",
    errno.EIO: "check the disk (its log says more), then run the same command again",
    errno.ELOOP: "a link stands in the way: the folder's own files must be real ones",
    errno.EMLINK: "what stands there is no file of the folder's own, or has a second name: put a"
    " copy in its place",
    errno.ENXIO: "a pipe stands in the way: the folder's own files must be real ones",
    errno.ENOTDIR: "a link or a file stands where the output folder needs a directory of its own",
}
_ANYWAY = "what is made stays made; run again once it is mended"


class Trouble:
    """A context that turns an OSError into a :class:`DiskTrouble` with advice.

    Written out, and not as a generator: every image enters some ten of them.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        """``doing``: what is done in there, as the message begins."""
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise what is told in the place of what came."""
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)
            advice = _ADVICE.get(error.errno or 0, _ANYWAY)
            raise DiskTrouble(f"{self._doing}: {reason}; {advice}") from error
