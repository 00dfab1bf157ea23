"""Puts what a benchmark measured into README.md, between the two marks that bear its name."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).parent / "README.md"
ROOT = README.parents[1]


def conditions() -> str:
    """When and on what it was measured, and how busy that was."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    on = f"{len(os.sched_getaffinity(0))} x {cpu}, Linux {platform.release()}"
    with_ = f"Python {platform.python_version()}, aiohttp {version('aiohttp')}"
    busy = f"load {os.getloadavg()[0]:.1f} at the end"
    return f"{datetime.now(UTC):%Y-%m-%d}; {on}; {with_}; {busy}."


def put(name: str, *tables: str) -> None:
    """Replace what stands between the marks of ``name``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = README.read_text().split(begin)
    after = rest.split(end)[1]
    said = "\n\n".join((conditions(), *tables))
    README.write_text(f"{before}{begin}\n{said}\n{end}{after}")
    print(f"written into {README}", file=sys.stderr)
