"""What must hold of a folder once it was opened again, whatever happened to it before."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from story import AFTER, REFUSED, Teller, picture, rest, terms

from pipeline.errors import Stop
from pipeline.store.folder import Folder
from pipeline.store.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from story import Mark

MANIFEST = "manifest.jsonl"
JOURNAL = ".state/journal.jsonl"
Snapshot = dict[str, bytes]
Key = tuple[str, str, int]  # of an attempt: its task, its run, its number
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What had been said when it happened, and what was ``coming``: the disk may know it by then.

    ``safe``: what the disk cannot have forgotten. ``is_killed``: no power cut, it knows everything.
    ``is_ordered``: no rename was lost, so a result that is safe has its image.
    ``torn``: ends of logs that were torn once before; whatever they say can still be read.
    """

    said: Sequence[Mark]
    coming: tuple[Mark, ...]
    safe: Sequence[Mark]
    is_killed: bool
    is_ordered: bool
    torn: tuple[bytes, ...] = ()

    @property
    def kept(self) -> list[Record]:
        """The acknowledged lines."""
        return [mark.record for mark in self.said if mark.record is not None]

    def by_key(self, what: str) -> dict[Key, Mark]:
        """What was said of one kind."""
        return {_key(mark): mark for mark in self.said if mark.what == what}

    def coming_keys(self, what: str) -> set[Key]:
        """Of whom the like is coming."""
        return {_key(mark) for mark in self.coming if mark.what == what}


@dataclass(slots=True)
class Found:
    """A folder that was opened and closed again."""

    root: Path
    before: Snapshot
    after: Snapshot = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    @property
    def newest(self) -> dict[str, Record]:
        """The line that holds of each id."""
        return {record["id"]: record for record in self.records}

    @property
    def moved(self) -> dict[str, dict[str, str]]:
        """Where the files of a displaced task are now, by its id."""
        moved: dict[str, dict[str, str]] = {}
        for record in self.records:
            for one in record["orphaned"]:
                moved.setdefault(one["id"], {})[one["file"]] = one["moved_to"]
        return moved

    def line_of(self, mark: Mark) -> Record | None:
        """The line that tells of a task's run."""
        same = (one for one in self.records if (one["id"], one["run"]) == (mark.id, mark.run))
        return next(same, None)


def broken_promises(root: Path, known: Known, *, goes_on: bool = True) -> list[str]:
    """What does not hold, a sentence each; the folder is opened, and finished if it ``goes_on``."""
    found = Found(root, snapshot(root))
    try:
        _open(root)
        found.after = snapshot(root)
        _open(root)
        again = snapshot(root)
        told = [*_broken_by(found, known)]
    except Stop as stop:
        return [f"it cannot be opened: {stop}"]
    if again != found.after:
        changed = {name for name in again | found.after if again.get(name) != found.after.get(name)}
        told.append(f"to recover twice is not to recover once: {sorted(changed)}")
    return told + ([*broken_by_going_on(root, known)] if goes_on else [])


def snapshot(root: Path) -> Snapshot:
    """Every file and its bytes."""
    files = (one for one in root.rglob("*") if one.is_file())
    return {str(one.relative_to(root)): one.read_bytes() for one in files}


def _open(root: Path) -> None:
    with Folder(root, terms("later")):
        pass


def _broken_by(found: Found, known: Known) -> Iterator[str]:
    yield from _of_logs(found, known.torn)
    yield from _of_lines(found)
    yield from _of_what_lies_there(found)
    yield from _of_what_was_kept(found, known)
    yield from _of_what_was_sent(found, known)


def _of_logs(found: Found, torn_before: tuple[bytes, ...] = ()) -> Iterator[str]:
    """Whole lines only, and what was torn is kept aside."""
    torn = [*torn_before]
    for log in (MANIFEST, JOURNAL):
        torn.append(found.before.get(log, b"").rpartition(b"\n")[2])
        if found.after.get(log, b"\n")[-1:] not in {b"", b"\n"}:
            yield f"{log} ends in a torn line"
    found.records = [orjson.loads(line) for line in found.after[MANIFEST].split(b"\n")[:-1]]
    copies = b"".join(v for name, v in found.after.items() if name.endswith(".broken"))
    for end in torn:
        if end not in copies and not json_in(end):  # whole but for its newline: it is a line now
            yield f"the torn end was thrown away: {end[:60]!r}"


def _of_lines(found: Found) -> Iterator[str]:
    """No line twice, and no file that a line names missing or other than it says."""
    keys = [(record["id"], record["run"]) for record in found.records]
    if len(set(keys)) < len(keys):
        yield "a line is there twice"
    for record in found.records:
        moved = found.moved.get(record["id"], {})
        for image in record["images"]:
            name = moved.get(image["file"], image["file"])
            content = found.after.get(name)
            if content is None:
                yield f"a line of {record['id']} names {name}, which is not there"
            elif hashlib.sha256(content).hexdigest() != image["sha256"]:
                yield f"{name} is not what the line of {record['id']} says"


def _of_what_lies_there(found: Found) -> Iterator[str]:
    """Nothing that no line names, nothing half done."""
    named = {image["file"] for record in found.records for image in record["images"]}
    for name in found.after:
        if name.startswith("images/") and name not in named:
            yield f"{name} lies there, and no line names it"
        if name.startswith(".state/parts/") or name.endswith((".tmp", "probe")):
            yield f"{name} was left behind"


def _of_what_was_kept(found: Found, known: Known) -> Iterator[str]:
    """What was acknowledged has its line; its images agree with it, as every line's do."""
    for record in known.kept:
        if record not in found.records:
            yield f"the line of {record['id']}, which was acknowledged, is lost"
    if known.is_ordered:
        yield from _of_results(found)


def _of_results(found: Found) -> Iterator[str]:
    """An image that is paid for and complete is not bought again."""
    for line in found.before.get(JOURNAL, b"").split(b"\n")[:-1]:
        result = json_in(line).get("result")
        if result and result not in found.records:
            yield f"{result['id']} was complete, and is to be bought again"


def _of_what_was_sent(found: Found, known: Known) -> Iterator[str]:
    """What was sent and has no line is listed, with its request's id and what it cost."""
    standing = read_status(found.root)
    listed = {(one.id, one.run, one.attempt): one.request_id for one in standing.unanswered}
    begun, heard, back = (known.by_key(what) for what in ("begun", "heard", "back"))
    settled = {key for key, mark in begun.items() if found.line_of(mark)}
    answered = {key for key, mark in back.items() if not mark.is_maybe_billed}
    must = begun.keys() if known.is_killed else {_key(mark) for mark in known.safe}
    for key in must & begun.keys() - settled - answered - listed.keys() - known.coming_keys("back"):
        yield f"{key} was sent, has no line, and is not listed"
    for key in listed.keys() & settled:
        yield f"{key} is listed, though it has its line"
    for key in listed.keys() - begun.keys() - known.coming_keys("begun"):
        yield f"{key} is listed, and was never sent"
    for key, request_id in listed.items():
        is_unknown = request_id is None and (key not in heard or not known.is_killed)
        is_coming = any(request_id == mark.request_id for mark in known.coming)
        was = heard[key].request_id if key in heard else None
        if not (is_unknown or is_coming or request_id == was):
            yield f"{key} is listed as {request_id}, and was heard as {was}"
    if known.is_killed:
        if listed.keys() & answered:
            yield f"{listed.keys() & answered} are listed, though they were answered"
        yield from _of_cost(found, known, standing.cost_usd - _unsettled_cost(back, settled))


def _unsettled_cost(back: Mapping[Key, Mark], settled: set[Key]) -> float:
    return sum(mark.cost_usd or 0.0 for key, mark in back.items() if key not in settled)


def _of_cost(found: Found, known: Known, told_usd: float) -> Iterator[str]:
    """Money that was told is never forgotten, nor counted twice."""
    lines_usd = sum(record["cost_usd"] or 0.0 for record in found.records)
    coming_usd = sum(mark.cost_usd or 0.0 for mark in known.coming)
    if not lines_usd <= told_usd <= lines_usd + coming_usd:
        yield f"the lines cost {lines_usd}, and {told_usd} is told"


def broken_by_going_on(root: Path, known: Known) -> Iterator[str]:
    """What is owed is asked for, nothing else; then everything wanted is there."""
    with Folder(root, terms("last")) as folder:
        asked = asyncio.run(rest(Teller(folder=folder, run="last", say=lambda _: None)))
    made = {record["id"] for record in known.kept if record["status"] == "made"}
    for one in made & set(asked):
        yield f"{one} was acknowledged, and is asked for again"
    found = Found(root, {}, snapshot(root))
    yield from _of_logs(found)
    yield from _of_lines(found)
    yield from _of_what_lies_there(found)
    for one in AFTER:
        record = found.newest.get(one.id)
        word = "failed" if one == REFUSED else "made"
        if record is None or record["status"] != word:
            yield f"{one.id} is not {word} in the end"
        elif word == "made" and found.after.get(record["images"][0]["file"]) != picture(one):
            yield f"{one.id} has another task's image"
    rows = [orjson.loads(line) for line in found.after["metadata.jsonl"].split(b"\n")[:-1]]
    wanted = {record["id"] for record in found.newest.values() if record["status"] == "made"}
    if {row["id"] for row in rows} != wanted - found.moved.keys():
        yield "metadata.jsonl does not tell of what is made"


def _key(mark: Mark) -> Key:
    return mark.id, mark.run, mark.attempt


def json_in(line: bytes) -> dict[str, Any]:
    """What a line says, nothing where it is torn."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
