r"""The fold of the journal: which attempts no manifest line accounts for, and what they may cost.

A line of the journal is one of these, as JSON (``\n`` at its end):

* ``send``: an attempt of a task is about to leave, to ``model``; written before it does, with the
  start of its ``prompt``, by which a person knows it;
* ``heard``: its reply's head came, with the id under which the provider knows it;
* ``answered``: its reply said what became of it, and had no images that count;
* ``back``: it came back without images, with what it cost, whether it may have been billed, and
  whether it was answered in a way that cost something nobody told;
* ``result``: its images lie complete in ``parts``; the record is the manifest line to come.

``heard``, ``answered`` and ``back`` belong to the last ``send`` of the same task and number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.store.record import line_of
from pipeline.store.salvage import gap_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


PROMPT_CHARACTERS = 60
_TOLD = ("id", "attempt", "run", "at", "model", "prompt", "request_id")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt that was announced. ``at``: when, UTC, ISO 8601; ``prompt``: how it begins.

    ``is_maybe_billed`` as long as nobody knows how it ended, and where it ended without an answer.
    ``request_id``: the provider's, None where no reply's head came. ``n_answers``: how many of its
    task's requests were answered before it; ``is_answered``: whether this one was, without images.
    """

    id: str
    attempt: int
    run: str
    at: str
    model: str = ""
    prompt: str = ""
    request_id: str | None = None
    cost_usd: float | None = None
    is_maybe_billed: bool = True
    is_unpriced: bool = False
    is_back: bool = False
    n_answers: int = 0
    is_answered: bool = False

    @property
    def counts(self) -> bool:
        """Whether it has to be remembered, though no line tells of it: money, or a next request."""
        return self.is_about_money or self.is_answered

    @property
    def is_about_money(self) -> bool:
        """Whether it cost something, or may have."""
        return self.is_maybe_billed or self.is_unpriced or bool(self.cost_usd)

    def told(self) -> dict[str, Any]:
        """What ``status`` tells of it."""
        said = asdict(self)
        return {name: said[name] for name in _TOLD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A record that may lack its manifest line; ``parts``: where its images lay, in their order."""

    record: Mapping[str, Any]
    parts: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Its task and its run: a task is settled once in a run."""
        return self.record["id"], self.record["run"]

    @property
    def asides(self) -> list[tuple[str, str]]:
        """What has to make way, by its name and where it goes."""
        return [(one["file"], one["moved_to"]) for one in self.record["orphaned"]]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Each part with the name its image gets."""
        files = [image["file"] for image in self.record["images"]]
        return list(zip(self.parts, files, strict=True))


@dataclass(slots=True)
class Attempts:
    """What the journal says so far, less what a manifest line has settled."""

    by_task: dict[str, list[Attempt]] = field(default_factory=dict)
    results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def note(self, line: bytes) -> None:
        """Take in a line of the journal; raises ValueError for what is none."""
        said = orjson.loads(line)
        try:
            self._note(said)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a line of the journal: {error!r}") from error

    def send(self, attempt: Attempt) -> None:
        """An attempt is about to leave."""
        self.by_task.setdefault(attempt.id, []).append(attempt)

    def last(self, task_id: str, number: int) -> Attempt:
        """The attempt of that number which was announced last; raises KeyError where none was."""
        for attempt in reversed(self.by_task.get(task_id, ())):
            if attempt.attempt == number:
                return attempt
        raise KeyError(f"{task_id} was never sent as attempt {number}")

    def settle(self, task_id: str, run: str) -> None:
        """A manifest line tells of all that this run did for the task."""
        self.results.pop((task_id, run), None)
        before = (one for one in self.by_task.get(task_id, ()) if one.run != run)
        self._keep(task_id, (one for one in before if one.is_about_money))

    def forget_answered(self, task_id: str) -> None:
        """Drop what came back for nothing: neither cost nor doubt."""
        self._keep(task_id, (one for one in self.by_task.get(task_id, ()) if one.counts))

    def __iter__(self) -> Iterator[Attempt]:
        """The attempts that no line accounts for and that count, the first sent first."""
        for attempts in tuple(self.by_task.values()):
            yield from (one for one in attempts if one.counts)

    @property
    def cost_usd(self) -> float:
        """What they cost, as far as they told."""
        return sum(one.cost_usd or 0.0 for one in self)

    def unknown_costs(self) -> Counter[str]:
        """By model, how many of them may have been charged, and nobody told how much."""
        return Counter(
            one.model
            for one in self._unfinished()
            if one.cost_usd is None and (one.is_maybe_billed or one.is_unpriced)
        )

    def maybe_billed(self, *, but: str | None = None) -> list[Attempt]:
        """Those that may have been billed for nothing; ``but``: less what is on its way there.

        What brought its images is not among them: the next run takes those over.
        """
        return [
            one
            for one in self._unfinished()
            if one.is_maybe_billed and (one.is_back or one.run != but)
        ]

    def in_flight(self, run: str) -> list[Attempt]:
        """Those of a run that goes on which have not come back."""
        return [one for one in self._unfinished() if one.run == run and not one.is_back]

    def _unfinished(self) -> Iterator[Attempt]:
        return (one for one in self if (one.id, one.run) not in self.results)

    def lines(self) -> Iterator[bytes]:
        """The shortest journal that says the same."""
        for attempt in self:
            yield send_line(attempt)
            if attempt.request_id is not None:
                yield heard_line(attempt)
            if attempt.is_answered:
                yield answered_line(attempt)
            if attempt.is_back:
                yield back_line(attempt)
        for result in tuple(self.results.values()):
            yield result_line(result)

    def _note(self, said: Mapping[str, Any]) -> None:
        if "send" in said:
            self.send(
                Attempt(
                    id=said["send"],
                    attempt=said["attempt"],
                    run=said["run"],
                    at=said["at"],
                    model=said.get("model", ""),
                    prompt=str(said.get("prompt", "")),
                    n_answers=int(said.get("answers", 0)),
                )
            )
        elif "heard" in said:
            self.last(said["heard"], said["attempt"]).request_id = said["request_id"]
        elif "answered" in said:
            self.last(said["answered"], said["attempt"]).is_answered = True
        elif "back" in said:
            attempt = self.last(said["back"], said["attempt"])
            attempt.cost_usd = said["cost_usd"]
            attempt.is_maybe_billed = bool(said["maybe_billed"])
            attempt.is_unpriced = bool(said.get("unpriced"))
            attempt.is_back = True
        else:
            record, parts = said["result"], tuple(said["parts"])
            gap = gap_in(record)
            if gap or "orphaned" not in record or len(parts) != len(record["images"]):
                raise ValueError(f"not a result: {gap or 'parts and images do not match'}")
            result = Result(record=record, parts=parts)
            self.results[result.key] = result

    def _keep(self, task_id: str, attempts: Iterable[Attempt]) -> None:
        if kept := list(attempts):
            self.by_task[task_id] = kept
        else:
            self.by_task.pop(task_id, None)


def send_line(attempt: Attempt) -> bytes:
    """An attempt is about to leave."""
    said = {"send": attempt.id, "attempt": attempt.attempt, "run": attempt.run, "at": attempt.at}
    later = {"answers": attempt.n_answers} if attempt.n_answers else {}
    return line_of(said | {"model": attempt.model, "prompt": attempt.prompt} | later)


def heard_line(attempt: Attempt) -> bytes:
    """The head of its reply came."""
    return line_of(
        {"heard": attempt.id, "attempt": attempt.attempt, "request_id": attempt.request_id}
    )


def answered_line(attempt: Attempt) -> bytes:
    """Its reply said what became of it."""
    return line_of({"answered": attempt.id, "attempt": attempt.attempt})


def back_line(attempt: Attempt) -> bytes:
    """It came back without images."""
    return line_of(
        {
            "back": attempt.id,
            "attempt": attempt.attempt,
            "cost_usd": attempt.cost_usd,
            "maybe_billed": attempt.is_maybe_billed,
            "unpriced": attempt.is_unpriced,
        }
    )


def result_line(result: Result) -> bytes:
    """Its images lie complete in their parts."""
    return line_of({"result": result.record, "parts": result.parts})
