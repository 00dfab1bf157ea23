"""A process that forks children which are killed at a call of their own choosing.

On standard input a line for each child, as JSON: ``root``, ``diary``, what to ``tell`` (the story,
or only ``open`` and close the folder) and ``at``, the number of the call to be killed at, before it
(``is_before``) or right after it; 0: never. The answer is a line: whether it was killed, and how
many calls it made if not. A fork of one thread with everything imported: a child costs some
milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from story import Mark, tell, terms

from pipeline.store.durable import Calls
from pipeline.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Fate:
    """Counts the calls, and ends the process at one of them."""

    at: int
    is_before: bool
    n_calls: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> Calls:
        """Those that end in death at the chosen one."""
        real = Calls()
        return Calls(**{one.name: self._doomed(getattr(real, one.name)) for one in fields(Calls)})

    def _doomed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def do(*words: Any, **more: Any) -> Any:
            with self.counting:
                self.n_calls += 1
                if self.n_calls == self.at and self.is_before:
                    _die()
                try:
                    return call(*words, **more)
                finally:
                    if self.n_calls == self.at:
                        _die()

        return do


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _live(root: Path, diary: Path, what: str, fate: Fate) -> None:
    fd = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(mark: Mark) -> None:
        os.write(fd, orjson.dumps(mark) + b"\n")

    if what == "tell":
        asyncio.run(tell(root, say, calls=fate.calls))
    else:
        with Folder(root, terms("later"), calls=fate.calls):
            pass
    (diary.parent / "n_calls").write_text(str(fate.n_calls))


def _main() -> None:
    for line in sys.stdin:
        asked = orjson.loads(line)
        child = os.fork()
        if not child:
            fate = Fate(asked["at"], asked["is_before"])
            _live(Path(asked["root"]), Path(asked["diary"]), asked["what"], fate)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
