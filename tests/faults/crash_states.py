"""Every state a power cut, or a kill, may leave of a recorded run.

POSIX promises little: a file's bytes last once they are synced, a name once its directory is. Until
then a file may have any length in between, and a directory any prefix of its pending changes,
independent of every other directory. So a rename across directories may have reached either,
both or neither; real filesystems do it in one piece, and recovery must not need that. The one thing
asked of them is that a file which lasts under one name has a name at any time: without that no
program could ever move a file.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promises import JOURNAL, Known
from recorder import ROOT, Created, Cut, Moved, Op, Place, Removed, Said, Synced, Wrote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recorder import Recorder
    from story import Mark

Names = dict[str, int]
Tree = tuple[tuple[str, int, bytes | None], ...]  # path, node, content; None: a directory


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A folder as it may be found after the first ``n_ops`` calls, and what was known by then."""

    n_ops: int
    tree: Tree
    known: Known


def lay_out(tree: Tree, root: Path) -> None:
    """Write it to ``root``, an empty folder; a node with two names is one file."""
    first: dict[int, Path] = {}
    for path, node, content in tree:
        there = root / path
        if content is None:
            there.mkdir()
        elif node in first:
            os.link(first[node], there)
        else:
            there.write_bytes(content)
            first[node] = there


@dataclass(slots=True)
class _File:
    """What surely is on the disk, and what was written."""

    synced: bytes = b""
    now: bytes = b""

    def versions(self, *, is_thorough: bool) -> list[bytes]:
        """What may be found, the least first; the last is all that was written."""
        found = [self.synced]
        if self.now.startswith(self.synced):
            added = len(self.now) - len(self.synced)
            ends = {len(self.synced) + added // 2, len(self.now) - 1}
            if is_thorough:
                ends |= {n + 1 for n, one in enumerate(self.now) if one == ord("\n")}
                half = len(self.synced) + added // 2
                found.append(self.now[:half] + bytes(added - added // 2))
            found += [self.now[:n] for n in sorted(ends) if n > len(self.synced)]
        return list(dict.fromkeys([*found, self.now]))


@dataclass(slots=True)
class _Directory:
    """The names that surely are on the disk, and the changes since, in their order."""

    synced: Names = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)

    def names(self, n_changes: int) -> Names:
        """The names, with the first ``n_changes`` of the pending ones."""
        names: dict[str, int | None] = dict(self.synced)
        for change in self.pending[:n_changes]:
            names |= change
        return {name: node for name, node in names.items() if node is not None}

    def sync(self) -> None:
        """All changes are on the disk."""
        self.synced, self.pending = self.names(len(self.pending)), []


class Platter:
    """The disk after some of the calls."""

    def __init__(self, recorder: Recorder) -> None:
        self.files: dict[int, _File] = {}
        self.directories: dict[int, _Directory] = {ROOT: _Directory()}
        self.said: list[Mark] = []
        self.n_safe = 0
        for (above, name), node, content in recorder.start:
            self.directories[above].synced[name] = node
            if content is None:
                self.directories[node] = _Directory()
            else:
                self.files[node] = _File(content, content)

    def take(self, op: Op) -> None:
        """One more call was made."""
        match op:
            case Created(place, node, is_directory):
                if is_directory:
                    self.directories[node] = _Directory()
                else:
                    self.files[node] = _File()
                self._change(place[0], {place[1]: node})
            case Wrote(node, content):
                self.files[node].now += content
            case Cut(node, n_bytes):
                self.files[node].now = self.files[node].now[:n_bytes]
            case Synced(node):
                self._sync(node)
            case Moved(source, target, node) if source[0] == target[0]:
                self._change(source[0], {source[1]: None, target[1]: node})
            case Moved(source, target, node):
                self._change(source[0], {source[1]: None})
                self._change(target[0], {target[1]: node})
            case Removed(place):
                self._change(place[0], {place[1]: None})
            case Said(mark):
                self.said.append(mark)

    def choices(self, *, is_thorough: bool) -> dict[int, int]:
        """Of everything that a power cut leaves open: the node, and in how many ways."""
        open_names = {n: len(one.pending) + 1 for n, one in self.directories.items()}
        contents = {n: len(one.versions(is_thorough=is_thorough)) for n, one in self.files.items()}
        there = {node for _, node, _ in self.tree({})}
        there |= {n for one in self.directories.values() for n in one.names(0).values()}
        return {n: many for n, many in (open_names | contents).items() if many > 1 and n in there}

    def tree(self, chosen: Mapping[int, int], *, is_thorough: bool = False) -> Tree:
        """What is found below the folder; what is not chosen is there in full."""
        found: list[tuple[str, int, bytes | None]] = []

        def walk(above: int, way: str) -> None:
            directory = self.directories[above]
            names = directory.names(chosen.get(above, len(directory.pending)))
            for name, node in sorted(names.items()):
                if node in self.directories:
                    found.append((f"{way}{name}", node, None))
                    walk(node, f"{way}{name}/")
                else:
                    found.append(
                        (f"{way}{name}", node, self._content(node, chosen, is_thorough=is_thorough))
                    )

        walk(ROOT, "")
        return tuple(found)

    def has_lost(self, chosen: Mapping[int, int]) -> bool:
        """Whether a file that lasted under a name, and was moved, has neither its old nor its new.

        No filesystem does that, and no program could ever move a file if one did.
        """
        now, found = self._places({}), self._places(chosen)
        for place, node in self._places(dict.fromkeys(self.directories, 0)).items():
            names = [name for name, one in now.items() if one == node]
            is_moved = bool(names) and place not in names
            if is_moved and all(found.get(name) != node for name in (place, *names)):
                return True
        return False

    def _places(self, chosen: Mapping[int, int]) -> dict[Place, int]:
        return {
            (above, name): node
            for above, one in self.directories.items()
            for name, node in one.names(chosen.get(above, len(one.pending))).items()
        }

    def _content(self, node: int, chosen: Mapping[int, int], *, is_thorough: bool) -> bytes:
        if node not in chosen:
            return self.files[node].now
        return self.files[node].versions(is_thorough=is_thorough)[chosen[node]]

    def _change(self, directory: int, change: dict[str, int | None]) -> None:
        self.directories[directory].pending.append(change)

    def _sync(self, node: int) -> None:
        if node in self.directories:
            self.directories[node].sync()
        else:
            self.files[node].synced = self.files[node].now
        if self._is_journal_safe():
            self.n_safe = len(self.said)

    def _is_journal_safe(self) -> bool:
        """Whether all that the journal says now is on the disk."""
        at = ROOT
        for name in JOURNAL.split("/"):
            directory = self.directories[at]
            at = directory.names(0).get(name, -1)
            if at < 0 or directory.names(len(directory.pending)).get(name) != at:
                return False
        return self.files[at].synced == self.files[at].now


def states(recorder: Recorder, *, is_thorough: bool = True) -> Iterator[State]:
    """Each state once, of every prefix of the recorded calls."""
    seen: set[int] = set()
    for n_ops, platter, coming in _prefixes(recorder):
        for chosen in _combinations(platter, platter.choices(is_thorough=is_thorough)):
            tree = platter.tree(chosen, is_thorough=is_thorough)
            key = hash((tree, len(platter.said), platter.n_safe, not chosen))
            if key not in seen and not platter.has_lost(chosen):
                seen.add(key)
                yield State(n_ops=n_ops, tree=tree, known=_known(platter, coming, chosen))


def kills(recorder: Recorder) -> Iterator[State]:
    """What is there after each of the recorded calls, as long as the power stays on."""
    for n_ops, platter, coming in _prefixes(recorder):
        yield State(n_ops=n_ops, tree=platter.tree({}), known=_known(platter, coming, {}))


def least(recorder: Recorder) -> Tree:
    """What is there after all of the recorded calls if the power goes: the least there can be."""
    platter = Platter(recorder)
    for op in recorder.ops:
        platter.take(op)
    return platter.tree(dict.fromkeys(platter.choices(is_thorough=False), 0))


def _prefixes(recorder: Recorder) -> Iterator[tuple[int, Platter, tuple[Mark, ...]]]:
    """The disk after each call, and what is said next."""
    platter = Platter(recorder)
    for n_ops, op in enumerate(recorder.ops, start=1):
        platter.take(op)
        coming = (one.mark for one in recorder.ops[n_ops:] if isinstance(one, Said))
        yield n_ops, platter, tuple(itertools.islice(coming, 1))


def _known(platter: Platter, coming: tuple[Mark, ...], chosen: Mapping[int, int]) -> Known:
    return Known(
        said=tuple(platter.said),
        coming=coming,
        safe=tuple(platter.said[: platter.n_safe]),
        is_killed=not chosen,
        is_ordered=not chosen.keys() & platter.directories.keys(),
    )


def _combinations(platter: Platter, choices: Mapping[int, int]) -> Iterator[dict[int, int]]:
    """Nothing chosen is all there. Each thing alone among all or nothing, directories in pairs."""
    yield {}
    nothing = dict.fromkeys(choices, 0)
    names = [node for node in choices if node in platter.directories]
    contents = {node: 0 for node in choices if node not in platter.directories}
    for node, n_ways in choices.items():
        for way in range(n_ways):
            yield {node: way}
            yield nothing | {node: way}
            yield dict.fromkeys(names, 0) | {node: way}
            yield contents | {node: way}
    for one, other in itertools.combinations(names, 2):
        for ways in itertools.product(range(choices[one]), range(choices[other])):
            pair = dict(zip((one, other), ways, strict=True))
            yield pair
            yield contents | pair
