"""Runs the command that prints a key: no shell, no input, so many seconds, so many bytes."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE_S = 30.0
"""How long a command may take."""

MOST_BYTES = 16_384
"""How much is kept of what it says, on either way; the rest is read and forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How it ended. ``problem``: what went wrong, None where nothing did.

    ``out`` and ``err`` are the beginning of its output and of its complaints.
    """

    out: str
    err: str
    problem: str | None


def said_by(words: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> Said:
    """Run the program ``words[0]`` in ``folder`` and wait for its end, 30 seconds at most.

    It is alone in a session of its own: no terminal to ask at, and nothing of it is left behind.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - a profile's own words, seen by no shell
            list(words),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be given these words"
        return Said(out="", err="", problem=f"it cannot be run ({reason})")
    with _ended(process):
        end = time.monotonic() + PATIENCE_S
        out, err = _read(process, end)
        try:
            code = process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Said(out=out, err=err, problem=f"it took more than {PATIENCE_S:.0f} s")
    how = f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"
    return Said(out=out, err=err, problem=how if code else None)


def _read(process: subprocess.Popen[bytes], end: float) -> tuple[str, str]:
    """The beginnings of both pipes, once both are at their end or time is up."""
    assert process.stdout
    assert process.stderr
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as pipes:
        for pipe, beginning in kept.items():
            pipes.register(pipe, selectors.EVENT_READ, beginning)
        while pipes.get_map() and (left_s := end - time.monotonic()) > 0:
            for key, _ in pipes.select(left_s):
                if piece := os.read(key.fd, MOST_BYTES):
                    key.data.extend(piece[: MOST_BYTES - len(key.data)])
                else:
                    pipes.unregister(key.fileobj)
    out, err = (bytes(one).decode("utf-8", "replace") for one in kept.values())
    return out, err


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens in here, also Ctrl-C: afterwards the command and its children are gone."""
    try:
        with process:  # closes the pipes and reaps it, whom the line below has ended by then
            try:
                yield
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        assert process.returncode is not None
