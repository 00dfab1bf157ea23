"""What is wrong with an output folder, as text or JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.view.wording import Style, count, printable, reasons, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SHOWN = 20
_NAMED_BY_FILE = frozenset({"metadata", "job"})
"""Kinds that say no more than the file's name: their detail is enough."""

_PLAIN = Style()


class Finding(Protocol):
    """One thing that is wrong; see the store's value of the same name."""

    @property
    def kind(self) -> str:
        """What is wrong with it."""

    @property
    def file(self) -> str:
        """Which file, relative to the folder."""

    @property
    def id(self) -> str | None:
        """The task it belongs to."""

    @property
    def detail(self) -> str | None:
        """More than the kind says."""

    @property
    def is_repaired(self) -> bool:
        """Whether it is mended."""

    @property
    def is_owed_again(self) -> bool:
        """Whether its task is asked for once more."""


class Verdict(Protocol):
    """What was found in a folder; see the store's value of the same name."""

    @property
    def root(self) -> str:
        """The folder."""

    @property
    def findings(self) -> Sequence[Finding]:
        """All that is wrong."""

    @property
    def remarks(self) -> Sequence[str]:
        """What is not wrong, but good to know."""

    @property
    def by_kind(self) -> Mapping[str, int]:
        """How many findings of each kind."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong any more."""

    @property
    def n_repaired(self) -> int:
        """How many findings are mended."""

    @property
    def n_owed_again(self) -> int:
        """How many tasks a repair has left to the next run."""

    @property
    def n_made(self) -> int:
        """Tasks that have their images."""

    @property
    def n_owed(self) -> int:
        """Wanted tasks that have none yet, as far as that is known."""

    @property
    def n_checked(self) -> int:
        """Images looked at."""

    @property
    def n_sound(self) -> int:
        """Those of them that are as their lines say."""

    @property
    def n_bytes(self) -> int:
        """Bytes of those that are sound."""

    @property
    def n_maybe_billed(self) -> int:
        """Attempts that left and were never answered."""

    @property
    def is_running(self) -> bool:
        """Whether a run was going on."""


def verify_text(verdict: Verdict, *, next_command: str | None, style: Style = _PLAIN) -> str:
    """The lines of ``verify``: a line for each finding, the first 20, then all in all."""
    return "\n".join(_lines(verdict, next_command, style))


def verify_json(verdict: Verdict, *, exit_code: int) -> Iterator[dict[str, Any]]:
    """The objects of ``verify --json``: the findings, the remarks, the summary last."""
    for one in verdict.findings:
        yield {
            "event": "finding",
            "kind": one.kind,
            "file": one.file,
            "id": one.id,
            "detail": one.detail,
            "repaired": one.is_repaired,
        }
    for remark in verdict.remarks:
        yield {"event": "remark", "detail": remark}
    yield {
        "event": "summary",
        "exit_code": exit_code,
        "output": verdict.root,
        "sound": verdict.is_sound,
        "made": verdict.n_made,
        "owed": verdict.n_owed,
        "checked_images": verdict.n_checked,
        "checked_bytes": verdict.n_bytes,
        "findings": dict(verdict.by_kind),
        "repaired": verdict.n_repaired,
        "owed_again": verdict.n_owed_again,
        "maybe_billed": verdict.n_maybe_billed,
        "running": verdict.is_running,
    }


def _lines(verdict: Verdict, next_command: str | None, style: Style) -> Iterator[str]:
    for one in verdict.findings[:SHOWN]:
        yield style(_told(one), "green" if one.is_repaired else "red")
    if len(verdict.findings) > SHOWN:
        yield f"… and {len(verdict.findings) - SHOWN:,} more"
    yield from (style(f"note: {printable(remark)}", "dim") for remark in verdict.remarks)
    yield _in_all(verdict, style)
    if next_command:
        yield f"next: {next_command}"


def _told(finding: Finding) -> str:
    """``images/000/….png: missing (task 3f9c…)``."""
    said = [finding.kind.replace("_", " "), printable(finding.detail or "", at_most=200)]
    what = ": ".join(filter(None, said[finding.kind in _NAMED_BY_FILE :]))
    whose = f" (task {printable(finding.id)})" if finding.id else ""
    mended = f", {_done_about(finding)}" if finding.is_repaired else ""
    return f"{printable(finding.file, at_most=300)}: {what}{whose}{mended}"


def _done_about(finding: Finding) -> str:
    if finding.is_owed_again:
        return "to be made again"
    return "moved to .state/orphans" if finding.kind == "unnamed" else "mended"


def _in_all(verdict: Verdict, style: Style) -> str:
    checked = f"{count(verdict.n_made, 'task')} made"
    checked += f", {verdict.n_owed:,} owed" if verdict.n_owed else ""
    checked += f", {count(verdict.n_sound, 'image')}, {size(verdict.n_bytes)} checked"
    if verdict.n_maybe_billed:
        checked += f" · maybe billed {verdict.n_maybe_billed}"
    if not verdict.findings:
        return style(f"sound: {checked}", "green")
    found = reasons({kind.replace("_", " "): n for kind, n in verdict.by_kind.items()})
    if not verdict.is_sound:
        mended = f"; {verdict.n_repaired} of them mended" if verdict.n_repaired else ""
        return style(f"wrong: {found}{mended}; {checked}", "red")
    owed = f"; {count(verdict.n_owed_again, 'task')} owed again" if verdict.n_owed_again else ""
    return style(f"mended: {found}{owed}; {checked}", "green")


def repair_command(folder: str) -> str:
    """The command that mends a folder."""
    return shlex.join(["imagebatch", "verify", folder, "--repair"])
