"""The findings of ``imagebatch doctor`` as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.view.wording import Style, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    Finding = tuple[str, str, str, str]

_PLAIN = Style()
_COLORS = {"ok": "green", "warning": "yellow", "bad": "red", "skipped": "dim"}


def doctor_text(findings: Sequence[Finding], *, style: Style = _PLAIN) -> str:
    """A line a finding: check, verdict, what was found; below it what to do, if anything."""
    rows = [(*map(printable, finding),) for finding in findings]
    name_width = max((len(row[0]) for row in rows), default=0)
    verdict_width = max((len(row[1]) for row in rows), default=0)
    lines: list[str] = []
    for name, verdict, found, advice in rows:
        colored = style(verdict.ljust(verdict_width), _COLORS.get(verdict, "bold"))
        lines.append(f"{name.ljust(name_width)}  {colored}  {found}")
        if advice:
            lines.append(f"{' ' * (name_width + verdict_width + 4)}{style(advice, 'dim')}")
    return "\n".join(lines)
