"""What can be wrong with an output folder, each with its word, and the verdict on a folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong. The words are those of ``verify --json``."""

    NO_MANIFEST = "no_manifest"
    TORN = "torn"
    DAMAGED_LINE = "damaged_line"
    REPEATED_LINE = "repeated_line"
    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    WRONG_CONTENT = "wrong_content"
    UNDECODABLE = "undecodable"
    NOT_A_FILE = "not_a_file"
    BLOCKED = "blocked"
    OUTSIDE = "outside"
    UNREADABLE = "unreadable"
    SHARED = "shared"
    UNNAMED = "unnamed"
    LEFTOVER = "leftover"
    DAMAGED_JOURNAL = "damaged_journal"
    UNFINISHED = "unfinished"
    METADATA = "metadata"
    JOB = "job"
    DAMAGED_STATE = "damaged_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong with one thing. ``detail``: more than the kind says."""

    kind: Kind
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    ``file``: relative to the folder, as a line names it. ``id``: the task it belongs to, None where
    nobody knows. ``is_repaired``: a repair found it and has mended it; ``is_owed_again``: so that
    its task is asked for once more.
    """

    kind: Kind
    file: str
    id: str | None = None
    detail: str | None = None
    is_repaired: bool = False
    is_owed_again: bool = False

    @property
    def key(self) -> tuple[str, str, str | None]:
        """The same for the same thing, however often it is looked at."""
        return self.kind, self.file, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found in a folder.

    ``n_checked`` images were read, ``n_sound`` with ``n_bytes`` in all are sound; ``n_owed`` tasks
    are in no line, as far as it is known what is wanted; ``remarks`` are sentences about what is
    not wrong. ``n_made`` and ``n_maybe_billed`` as in ``status``. ``n_owed_again``: tasks that a
    repair has noted as failed, so that ``run`` makes their images anew.
    """

    root: str
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    n_made: int
    n_owed: int
    n_checked: int
    n_sound: int
    n_bytes: int
    n_maybe_billed: int
    is_running: bool
    n_owed_again: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, or nothing is any more."""
        return all(one.is_repaired for one in self.findings)

    @property
    def n_repaired(self) -> int:
        """How many findings a repair has mended."""
        return sum(one.is_repaired for one in self.findings)

    @property
    def by_kind(self) -> dict[str, int]:
        """How many findings of each kind, the most frequent first."""
        return dict(Counter(str(one.kind) for one in self.findings).most_common())
