"""Everything that can stop a run, drawn as a tree, each with its exit code.

::

    Stop                            1   a bug of ours, if raised bare
    ├── BadUsage                    2   wrong words, no such output folder
    ├── BadJob                     65   a job or prompt file with faults
    ├── BadProfile                 78   a provider profile with faults, unknown model, redirect
    ├── Unreachable                69   refused, DNS, TLS at the first call, a firewall's page
    ├── BadOutput                  73   the folder cannot be made, or is another job's
    ├── DiskTrouble                74   no room, I/O error, damaged manifest
    ├── Locked                     75   another run holds the folder
    ├── NotAllowed                 77   no key; key, credit or permission refused
    ├── Guarded                     4   a guard stopped the run; it can be resumed
    └── Interrupted           130/143   a signal stopped the run; it can be resumed

A failed attempt is no exception: it is a :class:`pipeline.core.model.Failure`, a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

# Controls of both sets, what ends a line, what cannot be seen or turns the direction of writing
# (CVE-2021-42574), and halves of surrogate pairs.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_LONG = re.compile(r"(\S{200})\S{101,}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a file a person wrote, with its place.

    ``file`` is as the user named it, ``line`` and ``col`` count from 1 (0: the place is unknown),
    ``key`` is the dotted path of the setting, ``what`` says what is wrong and what to do.
    """

    file: str
    line: int
    col: int
    key: str
    what: str

    def __str__(self) -> str:
        """``file:line:col: key: what`` in one line, leaving out what is not known."""
        place = ":".join([self.file, *(str(n) for n in (self.line, self.col) if n)])
        said = (_LONG.sub(r"\1…", part) for part in (self.key, self.what))
        return visible(": ".join(part for part in (place, *said) if part))


def visible(text: str) -> str:
    """``text`` without power over a terminal: what cannot be seen is spelled out.

    A file's name, a key and a value are other people's words.
    """
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


class Stop(Exception):
    """A reason to end the whole run, with the message a person reads."""

    exit_code: ClassVar[int] = 1


class BadUsage(Stop):
    """The command line asks for something that does not exist."""

    exit_code = 2


class Faulty(Stop):
    """A file with faults; all of them are reported together."""

    shown: ClassVar[int] = 20

    def __init__(self, faults: list[Fault], total: int | None = None) -> None:
        """``faults``: the first ones, in file order; ``total``: how many there are in all."""
        self.faults = faults
        self.total = len(faults) if total is None else total
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [str(fault) for fault in self.faults[: self.shown]]
        faults = "1 fault" if self.total == 1 else f"{self.total} faults"
        shown = f", the first {len(lines)} shown" if self.total > len(lines) else ""
        return "\n".join([*lines, f"{faults}{shown}; nothing was sent, nothing was written"])


class BadJob(Faulty):
    """A job or prompt file that cannot be run as it stands."""

    exit_code = 65


class BadProfile(Faulty):
    """A provider profile that cannot be used as it stands."""

    exit_code = 78


class Misconfigured(Stop):
    """The provider answers, but not to what we were told to ask: unknown model, redirect."""

    exit_code = 78


class Unreachable(Stop):
    """The provider cannot be reached at all."""

    exit_code = 69


class BadOutput(Stop):
    """The output folder cannot be created or written, or belongs to another job."""

    exit_code = 73


class DiskTrouble(Stop):
    """The disk refused or the manifest is damaged."""

    exit_code = 74


class Locked(Stop):
    """Another run holds the output folder."""

    exit_code = 75


class NotAllowed(Stop):
    """No key, or the provider refuses this key, its credit or its permissions."""

    exit_code = 77


class Guarded(Stop):
    """A guard stopped the run: breaker, deadline, daily quota, a wait that is too long."""

    exit_code = 4


class Interrupted(Stop):
    """A signal stopped the run."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        """``signal_number``: 2 for SIGINT, 15 for SIGTERM."""
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        """The shell's own convention: 128 + the signal's number."""
        return 128 + self.signal_number


def exit_code_of(stop: Stop) -> int:
    """The exit code the contract gives this stop."""
    return stop.code if isinstance(stop, Interrupted) else stop.exit_code
