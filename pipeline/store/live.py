"""What a run says of itself while it goes on, for ``status``: how its lanes stand.

It is worth nothing once the run is over, so it is written whole but never synced, beside the calls
that decide what survives: no room is made for it, and where it cannot be written nobody is told.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.core.ports import HeldBy, Hold, LaneState
from pipeline.store.durable import NEW_FILE, STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.store.durable import Disk

LIVE = f"{STATE}/live.json"
_NAME, _NEXT = "live.json", "live.json.next"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """How the lanes of the run of that name stand."""

    run: str
    lanes: tuple[LaneState, ...]


def write_live(disk: Disk, live: Live) -> None:
    """Replace what was said before; a reader sees the one or the other, nothing between."""
    with suppress(OSError), _state(disk) as directory:
        with suppress(FileNotFoundError):  # of a run that was killed, or planted by somebody
            os.unlink(_NEXT, dir_fd=directory)
        fd = os.open(_NEXT, NEW_FILE | os.O_CLOEXEC, 0o666, dir_fd=directory)
        try:
            said = orjson.dumps(live)
            if os.write(fd, said) < len(said):  # a full disk: what was said before still stands
                return
        finally:
            os.close(fd)
        os.replace(_NEXT, _NAME, src_dir_fd=directory, dst_dir_fd=directory)


def read_live(disk: Disk, run: str) -> Live | None:
    """What the run of that name says; None where it, or this file, says nothing."""
    try:
        said = orjson.loads(disk.read(LIVE) or b"null")
        if said["run"] == run:
            return Live(run=run, lanes=tuple(map(_lane_in, said["lanes"])))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None


def remove_live(disk: Disk) -> None:
    """The run is over."""
    with suppress(OSError), _state(disk) as directory:
        for name in (_NEXT, _NAME):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)


@contextmanager
def _state(disk: Disk) -> Iterator[int]:
    fd = disk.open(STATE, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _lane_in(said: dict[str, Any]) -> LaneState:
    hold = said["hold"]
    return LaneState(
        lane=str(said["lane"]),
        in_flight=int(said["in_flight"]),
        hold=Hold(
            by=HeldBy(hold["by"]),
            until_s=_float(hold["until_s"]),
            per_minute=_float(hold["per_minute"]),
            window=None if hold["window"] is None else int(hold["window"]),
            is_measured=bool(hold["is_measured"]),
        ),
    )


def _float(said: Any) -> float | None:
    return None if said is None else float(said)
