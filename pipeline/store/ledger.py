"""The fold of the manifest: what is made, what failed and why, what is owed, what it cost."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, groupby, islice
from operator import attrgetter
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.model import FINAL_WHYS, Why
from pipeline.errors import BadUsage
from pipeline.store.gist import gists_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.store.gist import Gist

_MADE = "made"
_WHYS = (*map(str, Why),)
DONE_WORDS: frozenset[str | None] = frozenset({_MADE, *FINAL_WHYS})
"""What a run does not ask for again: made, or failed for good."""

_AT_ONCE = 256  # lines


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
    """What lines in a row tell of their run: its images, when it first and last did something."""

    run: str | None
    n_lines: int
    n_images: int
    started_at: str
    finished_at: str

    def after(self, before: Span | None) -> Span:
        """The span of this stretch of lines and, where that is the same run's, the one before."""
        if before is None or before.run != self.run:
            return self
        return Span(
            run=self.run,
            n_lines=before.n_lines + self.n_lines,
            n_images=before.n_images + self.n_images,
            started_at=min(before.started_at, self.started_at),
            finished_at=max(before.finished_at, self.finished_at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllBut:
    """Every id of a folder but ``ids``: ``n_others`` others, where that is shorter to say."""

    ids: AbstractSet[str]
    n_others: int

    def __contains__(self, task_id: object) -> bool:
        """Whether it is one of the others."""
        return task_id not in self.ids

    def __len__(self) -> int:
        """How many the others were."""
        return self.n_others


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger says of the stretch of the manifest it heard, fit to go between processes.

    ``ids`` with their ``states`` (array of 64 bit), and of the failed the ``whys``; ``forgotten``:
    ids that were displaced in that stretch. ``latencies_s``: array of 32-bit floats. The rest as in
    :class:`Ledger`.
    """

    ids: list[str]
    states: bytes
    whys: dict[str, str]
    forgotten: list[str]
    latencies_s: bytes
    n_lines: int
    n_images: int
    cost_usd: float
    n_cost_known: int
    maybe_billed: int
    unknown_costs: dict[str, int]
    replies_usd: dict[str, tuple[float, float]]
    last: Span | None


class Ledger:
    """What holds of each id: the newest line. Some 155 bytes for each, 60 more where it failed.

    A made task whose files a later line moved out of its way holds no more: it is owed again.
    Money adds up over all lines, since it was spent in each. ``replies_usd``: by model the least
    and the most that a reply cost; ``unknown_costs``: by model how many requests may have cost
    what nobody told.
    """

    def __init__(self) -> None:
        """Empty; :meth:`note` fills it."""
        self._states: dict[
            str, int
        ] = {}  # id -> offset of its newest line, of a failed one ~offset
        self._whys: dict[str, str] = {}  # of the failed
        self._forgotten: dict[str, None] = {}
        self.n_lines = 0
        self.n_images = 0
        self.cost_usd = 0.0
        self.n_cost_known = 0
        self.maybe_billed = 0
        self.unknown_costs: Counter[str] = Counter()
        self.replies_usd: dict[str, tuple[float, float]] = {}
        self.latencies_s = array("f")
        self.last: Span | None = None

    def note(self, offset: int, line: bytes) -> None:
        """Take in the line that starts at ``offset``; raises ValueError where it is no record."""
        if self.note_all(offset, [line]) == offset:
            raise ValueError("no record")

    def note_all(self, offset: int, lines: Iterable[bytes]) -> int:
        """Take in lines, newlines included, the first of which starts at ``offset``.

        Returns where the first that is no record starts, and takes in no more; else where the last
        one ends.
        """
        left = iter(lines)
        while batch := list(islice(left, _AT_ONCE)):
            gists = gists_of(batch)
            offset = self._hold(offset, gists, batch)
            self._add_up(gists)
            if len(gists) < len(batch):
                break
        return offset

    def told(self) -> Told:
        """What it says, for the ledger of the lines before: see :meth:`go_on_with`."""
        return Told(
            ids=list(self._states),
            states=array("q", self._states.values()).tobytes(),
            whys=self._whys,
            forgotten=list(self._forgotten),
            latencies_s=self.latencies_s.tobytes(),
            n_lines=self.n_lines,
            n_images=self.n_images,
            cost_usd=self.cost_usd,
            n_cost_known=self.n_cost_known,
            maybe_billed=self.maybe_billed,
            unknown_costs=self.unknown_costs,
            replies_usd=self.replies_usd,
            last=self.last,
        )

    def go_on_with(self, told: Told) -> None:
        """Take in the lines that follow, by what a ledger of theirs alone tells."""
        self._forget(told.forgotten)
        for task_id in told.ids if self._whys else ():
            self._whys.pop(task_id, None)
        self._whys.update(told.whys)
        self._states.update(zip(told.ids, array("q", told.states), strict=True))
        self.latencies_s.frombytes(told.latencies_s)
        self.n_lines += told.n_lines
        self.n_images += told.n_images
        self.cost_usd += told.cost_usd
        self.n_cost_known += told.n_cost_known
        self.maybe_billed += told.maybe_billed
        self.unknown_costs.update(told.unknown_costs)
        for model, range_usd in told.replies_usd.items():
            self._widen(model, range_usd)
        if told.last:
            is_all = told.last.n_lines == told.n_lines
            self.last = told.last.after(self.last) if is_all else told.last

    def owes(self, task_id: str) -> bool:
        """Whether ``run`` asks for it: not made, and not failed for good."""
        return self.word_of(task_id) not in DONE_WORDS

    def word_of(self, task_id: str) -> str | None:
        """``made``, why it failed, or None where no line tells of it."""
        return self.words_of([task_id])[0]

    def words_of(self, task_ids: Iterable[str]) -> list[str | None]:
        """Of each what :meth:`word_of` says: quicker for many."""
        states, whys = self._states, self._whys
        return [whys.get(one, _MADE) if one in states else None for one in task_ids]

    def ids(self) -> AbstractSet[str]:
        """Every id that holds."""
        return self._states.keys()

    def counts(self, *, without: Iterable[str] | AllBut = ()) -> Counts:
        """How many are made and failed; ``without``: ids that are not wanted any more."""
        if isinstance(without, AllBut):
            words = Counter(self.words_of(without.ids))
        else:
            words = Counter[str | None](
                tuple(self._whys.values())
            )  # another thread may note a line
            words[_MADE] = len(self._states) - words.total()
            words.subtract(self.words_of(without))
        del words[None]
        n_made = words.pop(_MADE, 0)
        return Counts(
            made=n_made, failed_by_why={str(why): n for why, n in words.most_common() if n}
        )

    def offset_of(self, task_id: str) -> int | None:
        """Where the newest line of a task starts, None where no line tells of it."""
        state = self._states.get(task_id)
        return ~state if state is not None and state < 0 else state

    def offset_of_made(self, task_id: str) -> int | None:
        """Where the newest line of a made task starts, None where it is not made."""
        state = self._states.get(task_id)
        return None if state is None or state < 0 else state

    def offsets_of_made(self) -> array[int]:
        """Where the newest lines of the made start, the id seen first first."""
        states = tuple(self._states.values())  # as it is now: another thread may note a line
        return array("Q", (state for state in states if state >= 0))

    def offsets_of_failed(self, whys: Collection[str] = ()) -> array[int]:
        """Where the newest lines of those that failed, for one of ``whys`` if any, start."""
        failed = tuple(self._whys.items())
        return array("Q", (~self._states[one] for one, why in failed if not whys or why in whys))

    def check_whys(self, whys: Iterable[str]) -> None:
        """Raise :class:`BadUsage` for a word that is no why, listing what is there."""
        for why in whys:
            if why not in (known := dict.fromkeys((*_WHYS, *self._whys.values()))):
                there = ", ".join(f"{one} {n}" for one, n in self.counts().failed_by_why.items())
                raise BadUsage(
                    f"--why {why}: no such reason; failed here: {there or 'nothing'}"
                    f" (reasons are {', '.join(known)})"
                )

    def _forget(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self._forgotten[task_id] = None
            self._states.pop(task_id, None)
            self._whys.pop(task_id, None)

    def _hold(self, offset: int, gists: Sequence[Gist], lines: Sequence[bytes]) -> int:
        """Note which line holds of each id; returns where the last of them ends."""
        *offsets, end = accumulate(map(len, lines[: len(gists)]), initial=offset)
        if all(gist.status == _MADE and not gist.orphaned for gist in gists):
            ids = [gist.id for gist in gists]
            self._states.update(zip(ids, offsets, strict=True))
            for task_id in ids if self._whys else ():
                self._whys.pop(task_id, None)
            return end
        for gist, start in zip(gists, offsets, strict=True):
            if gist.orphaned:
                self._forget([one.id for one in gist.orphaned if one.id is not None])
            if gist.status == _MADE:
                self._states[gist.id] = start
                self._whys.pop(gist.id, None)
            else:
                self._whys[gist.id] = intern(str(gist.why))
                self._states[gist.id] = ~start
        return end

    def _add_up(self, gists: Sequence[Gist]) -> None:
        """A list for each sum: quicker than one loop, and this runs for every line there is."""
        self.n_lines += len(gists)
        self.maybe_billed += sum([gist.maybe_billed or 0 for gist in gists])
        self.latencies_s.extend([gist.latency_s for gist in gists if gist.latency_s])
        models = {gist.model for gist in gists}
        for model in models:
            of_model = gists if len(models) == 1 else [g for g in gists if g.model == model]
            self._add_up_costs(model, of_model)
        for run, group in groupby(gists, key=attrgetter("run")):
            of_run = list(group)
            span = Span(
                run=run,
                n_lines=len(of_run),
                n_images=sum([len(gist.images) for gist in of_run]),
                started_at=min([gist.started_at for gist in of_run]),
                finished_at=max([gist.finished_at for gist in of_run]),
            )
            self.n_images += span.n_images
            self.last = span.after(self.last)

    def _add_up_costs(self, model: str, gists: Sequence[Gist]) -> None:
        """What lines of one model tell; the sum of several attempts is no price of a reply."""
        costs = [gist.cost_usd for gist in gists if gist.cost_usd is not None]
        if costs:
            self.cost_usd += sum(costs)
            self.n_cost_known += len(costs)
            once = [g.cost_usd for g in gists if g.cost_usd is not None and g.attempts == 1]
            if once:
                self._widen(model, (min(once), max(once)))
        unknown = [g for g in gists if g.maybe_billed or g.unpriced or g.cost_usd is None]
        if n_unknown := sum((g.maybe_billed or 0) + _unpriced(g) for g in unknown):
            self.unknown_costs[model] += n_unknown

    def _widen(self, model: str, range_usd: tuple[float, float]) -> None:
        lowest, highest = range_usd
        low, high = self.replies_usd.get(model, range_usd)
        self.replies_usd[model] = min(low, lowest), max(high, highest)


def _unpriced(gist: Gist) -> int:
    """Requests of a line whose cost nobody told; a line may lack the number."""
    if gist.unpriced is not None:
        return gist.unpriced
    return int(gist.status == _MADE and gist.cost_usd is None)
