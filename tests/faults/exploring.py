"""Recordings of the story, and what is found broken in the states they may leave."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from crash_states import lay_out, states
from promises import JOURNAL, MANIFEST, broken_promises
from recorder import Recorder
from story import tell, terms

from pipeline.store.durable import Durability
from pipeline.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from crash_states import State
    from story import Act

RAM = Path("/dev/shm")


@contextmanager
def ram() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of states are laid out and synced."""
    where = RAM if os.access(RAM, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="imagebatch-") as folder:
        yield Path(folder)


def recorded(
    *,
    acts: Sequence[Act] = (),
    durability: Durability = Durability.POWER,
    swallows: Callable[[str], bool] = lambda _: False,
) -> Recorder:
    """The story as it was recorded, a sync of what is swallowed left out."""
    with ram() as root:
        recorder = Recorder(root, swallows=swallows)
        asyncio.run(
            tell(root, recorder.say, calls=recorder.calls, durability=durability, acts=acts)
        )
        return recorder


def violations(states: Iterable[State], *, goes_on: bool = True) -> Iterator[str]:
    """What is broken in each state, with where it was found."""
    with ram() as room:
        for state in states:
            root = room / "found"
            root.mkdir()
            lay_out(state.tree, root)
            for broken in broken_promises(root, state.known, goes_on=goes_on):
                how = "a kill" if state.known.is_killed else "a power cut"
                yield f"after {how} at call {state.n_ops}: {broken}"
            shutil.rmtree(root)


def interrupted(found: Iterable[State]) -> Iterator[State]:
    """The states that the recovery from each of these goes through.

    What had been torn then is found here too, so that its copy is looked for.
    """
    for state in found:
        with ram() as root:
            lay_out(state.tree, root)
            recorder = Recorder(root)
            with Folder(root, terms("later"), calls=recorder.calls):
                pass
        for again in states(recorder, is_thorough=False):
            is_ordered = state.known.is_ordered and again.known.is_ordered
            known = replace(state.known, is_ordered=is_ordered, torn=_torn_ends(state))
            yield replace(again, known=known)


def _torn_ends(state: State) -> tuple[bytes, ...]:
    logs = (content for path, _, content in state.tree if path in {MANIFEST, JOURNAL})
    return tuple((content or b"").rpartition(b"\n")[2] for content in logs)


def summed_up(told: Iterable[str]) -> dict[str, int]:
    """How often each; empty if nothing is broken."""
    return dict(Counter(told))
