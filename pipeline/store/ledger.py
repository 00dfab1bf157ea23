"""The fold of the manifest: what is made, what failed and why, what is owed, what it cost."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pipeline.core.model import Why
from pipeline.errors import BadUsage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_MADE = "made"
_FINAL = frozenset(str(why) for why in Why if why.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tasks are made, and how many failed by why, the most frequent first."""

    made: int
    failed_by_why: dict[str, int]

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())


@dataclass(slots=True, kw_only=True)
class Span:
    """What the manifest tells of one run: its images and when it first and last did something."""

    run: str
    n_images: int
    started_at: str
    finished_at: str


class Ledger:
    """What holds of each id: the newest line. Compact: some 130 bytes for each id.

    A made task whose files a later line moved out of its way holds no more: it is owed again.
    Money adds up over all lines, since it was spent in each.
    """

    def __init__(self) -> None:
        """Empty; :meth:`note` fills it."""
        self._states: dict[str, int] = {}  # id -> offset of its newest line * 64 + its word's place
        self._words: list[str] = [_MADE, *map(str, Why)]
        self._n_by_word: list[int] = [0] * len(self._words)
        self.n_lines = 0
        self.n_images = 0
        self.cost_usd = 0.0
        self.n_cost_known = 0
        self.maybe_billed = 0
        self.latencies_s = array("f")
        self.last: Span | None = None

    def note(self, offset: int, line: bytes) -> None:
        """Take in the line that starts at ``offset``; raises ValueError where it is no record."""
        gist = _gist_of(line)
        place = self._place_of(gist.word)
        for displaced in gist.displaced:
            self._forget(displaced)
        before = self._states.get(gist.id)
        if before is not None:
            self._n_by_word[before % 64] -= 1
        self._n_by_word[place] += 1
        self._states[gist.id] = offset * 64 + place
        self._add_up(gist)

    def owes(self, task_id: str) -> bool:
        """Whether ``run`` asks for it: not made, and not failed for good."""
        word = self.word_of(task_id)
        return word is None or (word != _MADE and word not in _FINAL)

    def word_of(self, task_id: str) -> str | None:
        """``made``, why it failed, or None where no line tells of it."""
        state = self._states.get(task_id)
        return None if state is None else self._words[state % 64]

    def ids(self) -> Collection[str]:
        """Every id that holds."""
        return self._states.keys()

    def counts(self, *, without: Iterable[str] = ()) -> Counts:
        """How many are made and failed; ``without``: ids that are not wanted any more."""
        n_by_word = list(self._n_by_word)
        for task_id in without:
            if (state := self._states.get(task_id)) is not None:
                n_by_word[state % 64] -= 1
        by_why = sorted(zip(self._words[1:], n_by_word[1:], strict=True), key=lambda one: -one[1])
        return Counts(made=n_by_word[0], failed_by_why={why: n for why, n in by_why if n})

    def offset_of(self, task_id: str) -> int | None:
        """Where the newest line of a task starts, None where no line tells of it."""
        state = self._states.get(task_id)
        return None if state is None else state // 64

    def offset_of_made(self, task_id: str) -> int | None:
        """Where the newest line of a made task starts, None where it is not made."""
        state = self._states.get(task_id)
        return None if state is None or state % 64 else state // 64

    def offsets_of_made(self) -> array[int]:
        """Where the newest lines of the made start, the id seen first first."""
        states = tuple(self._states.values())  # as it is now: another thread may note a line
        return array("Q", (state // 64 for state in states if state % 64 == 0))

    def offsets_of_failed(self, whys: Collection[str] = ()) -> array[int]:
        """Where the newest lines of those that failed, for one of ``whys`` if any, start."""
        asked = {
            place for place, word in enumerate(self._words) if place and (not whys or word in whys)
        }
        return array("Q", (state // 64 for state in self._states.values() if state % 64 in asked))

    def check_whys(self, whys: Iterable[str]) -> None:
        """Raise :class:`BadUsage` for a word that is no why, listing what is there."""
        for why in whys:
            if why not in self._words[1:]:
                there = ", ".join(f"{one} {n}" for one, n in self.counts().failed_by_why.items())
                raise BadUsage(
                    f"--why {why}: no such reason; failed here: {there or 'nothing'}"
                    f" (reasons are {', '.join(self._words[1:])})"
                )

    def _forget(self, task_id: str) -> None:
        if (state := self._states.pop(task_id, None)) is not None:
            self._n_by_word[state % 64] -= 1

    def _place_of(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)  # a why that a later version wrote
            self._n_by_word.append(0)
        return self._words.index(word)

    def _add_up(self, gist: _Gist) -> None:
        self.n_lines += 1
        self.n_images += gist.n_images
        self.maybe_billed += gist.maybe_billed
        self.latencies_s.append(gist.latency_s)
        if gist.cost_usd is not None:
            self.cost_usd += gist.cost_usd
            self.n_cost_known += 1
        last = self.last
        if last is None or last.run != gist.run:
            self.last = Span(
                run=gist.run,
                n_images=gist.n_images,
                started_at=gist.started_at,
                finished_at=gist.finished_at,
            )
            return
        last.n_images += gist.n_images
        last.started_at = min(last.started_at, gist.started_at)
        last.finished_at = max(last.finished_at, gist.finished_at)


class _Gist(NamedTuple):
    """What the fold needs of a line."""

    id: str
    word: str
    n_images: int
    maybe_billed: int
    latency_s: float
    cost_usd: float | None
    run: str
    started_at: str
    finished_at: str
    displaced: tuple[str, ...]


def _gist_of(line: bytes) -> _Gist:
    record = orjson.loads(line)
    try:
        cost_usd = record.get("cost_usd")
        return _Gist(
            str(record["id"]),
            _word_of(record),
            len(record["images"]),
            int(record.get("maybe_billed") or 0),
            float(record.get("latency_s") or 0.0),
            None if cost_usd is None else float(cost_usd),
            str(record.get("run")),
            str(record.get("started_at") or ""),
            str(record.get("finished_at") or ""),
            tuple(one["id"] for one in record.get("orphaned") or () if one.get("id")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {error!r}") from error


def _word_of(record: dict[str, Any]) -> str:
    if record["status"] == _MADE:
        return _MADE
    why = record["why"]
    if record["status"] != "failed" or not isinstance(why, str) or why == _MADE:
        raise ValueError("not a record: neither made nor failed for a reason")
    return why
