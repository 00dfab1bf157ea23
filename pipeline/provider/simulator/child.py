"""A simulator beside a run: a child process that is there for as long as the run needs it."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.errors import Unreachable

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping

    from pipeline.core.simulation import Simulation

_LONGEST_START_S = 30.0
_LONGEST_END_S = 2.0
_NEEDED = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_", "TZ", "LD_", "DYLD_", "SYSTEMROOT"),
    *("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "COVERAGE_"),
)
_PACKAGE_ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def running(
    simulation: Simulation, environ: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """The base URL (``http://127.0.0.1:<port>/v1``) of a simulator in a process of its own.

    It ends with the context, and with this process however that ends. Of ``environ`` it is given
    what a Python needs, and no key; of None nothing is known, so nothing is left out. Raises
    Unreachable where it cannot be started.
    """
    with tempfile.TemporaryFile() as complaints:
        process = await _start(complaints, None if environ is None else _of_python(environ))
        try:
            port = await _port_of(process, simulation, complaints)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            await _end(process)


def _of_python(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a Python is started, and finds its modules and its language, with."""
    return {name: value for name, value in environ.items() if name.startswith(_NEEDED)}


async def _start(complaints: IO[bytes], environ: Mapping[str, str] | None) -> Process:
    """A session of its own keeps a terminal's Ctrl-C away from it: the run drains first.

    The working folder is the package's, so that no file of the user's folder is imported.
    """
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pipeline.provider.simulator",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            env=environ,
            cwd=_PACKAGE_ROOT,
            start_new_session=True,
        )
    except OSError as error:
        raise Unreachable(f"the simulator cannot be started: {error}") from error


async def _port_of(process: Process, simulation: Simulation, complaints: IO[bytes]) -> int:
    if process.stdin is None or process.stdout is None:
        raise Unreachable("the simulator cannot be started: it has no stdin or stdout")
    process.stdin.write(json.dumps(asdict(simulation)).encode() + b"\n")
    try:
        async with asyncio.timeout(_LONGEST_START_S):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise Unreachable(f"the simulator did not start in {_LONGEST_START_S:.0f} s") from error
    if not line:
        raise Unreachable(f"the simulator cannot be started: {_last_line_of(complaints)}")
    told = json.loads(line)
    if "port" not in told:
        raise Unreachable(f"the simulator cannot be started: {told['error']}")
    return int(told["port"])


def _last_line_of(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


async def _end(process: Process) -> None:
    """Close its stdin, which ends it; kill it where that does not help in time."""
    if process.stdin is None or process.stdout is None:
        return
    try:
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_END_S):
                await process.stdout.read()
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
