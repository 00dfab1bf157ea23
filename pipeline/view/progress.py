"""While a run goes on: a live line, a plain line now and then, JSON events, or nothing."""

from __future__ import annotations

import os
import threading
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TextIO

import orjson
from tqdm import tqdm

from pipeline.core.ports import Settled
from pipeline.view.events import object_of
from pipeline.view.line import live_words, plain_line, progress_object
from pipeline.view.notes import Notes
from pipeline.view.wording import in_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.ports import Event
    from pipeline.view.tally import Tally

PLAIN_EVERY_S = 30.0
_LIVE_EVERY_S = 1.0
_EARLY_S = 0.5  # a timer may ring a little before its time
_USUAL_COLUMNS, _USUAL_ROWS = 80, 24
_FORMAT = "{percentage:3.0f}%|{bar}| {desc}"
_FRAME_COLUMNS = 8  # of that line, with a bar of one column


class Mode(Enum):
    """Who is listening on stderr."""

    LIVE = "a terminal"
    PLAIN = "a file or a pipe"
    QUIET = "nobody"


class Voice(Protocol):
    """One way of telling."""

    period_s: float | None

    def hear(self, event: Event, tally: Tally, now: float) -> None:
        """An event; the tally has it already."""

    def tick(self, tally: Tally, now: float) -> None:
        """Time has passed."""

    def close(self) -> None:
        """Leave nothing behind."""


class Progress:
    """The engine's ``Observer``: keeps the tally and lets its voices tell."""

    def __init__(
        self, tally: Tally, voices: tuple[Voice, ...], *, now: Callable[[], float]
    ) -> None:
        """``now``: the clock the tally was started on, seconds."""
        self.tally = tally
        self._voices = voices
        self._now = now

    @property
    def period_s(self) -> float | None:
        """How often :meth:`tick` wants to be called, seconds; None: never."""
        return min((v.period_s for v in self._voices if v.period_s is not None), default=None)

    def see(self, event: Event) -> None:
        """Something happened."""
        now = self._now()
        self.tally.note(event, now)
        for voice in self._voices:
            voice.hear(event, self.tally, now)

    def tick(self) -> None:
        """Time has passed, maybe with nothing happening; every lane was told of before."""
        for voice in self._voices:
            voice.tick(self.tally, self._now())
        self.tally.end_round()

    def close(self) -> None:
        """The end: the live line is gone, the cursor where it was. Harmless the second time."""
        for voice in self._voices:
            voice.close()


def voices_for(
    mode: Mode, *, err: TextIO, json_to: TextIO | None = None, is_verbose: bool = False
) -> tuple[Voice, ...]:
    """What a run tells: people on ``err`` by ``mode``, programs on ``json_to`` if given."""
    voices: list[Voice] = []
    if mode is Mode.LIVE:
        voices.append(LiveLine(err, is_verbose=is_verbose))
    if mode is Mode.PLAIN:
        voices.append(PlainLines(err, is_verbose=is_verbose))
    if json_to is not None:
        voices.append(JsonLines(json_to))
    return tuple(voices)


class LiveLine:
    """One tqdm line, drawn over itself; it is gone at the end."""

    period_s: float | None = _LIVE_EVERY_S

    def __init__(self, err: TextIO, *, is_verbose: bool = False) -> None:
        """``err``: a terminal."""
        self._err = err
        self._line: _Line | None = None
        self._notes = Notes(is_verbose=is_verbose)

    def hear(self, event: Event, tally: Tally, now: float) -> None:
        """Count on; a long wait and the drain get a line of their own above the live one."""
        note = self._notes.of(event, now)
        if note:
            _Line.write(note, file=self._err)
        if isinstance(event, Settled):
            self._draw(tally, now, is_due=False)

    def tick(self, tally: Tally, now: float) -> None:
        """Draw it again: rates fall and in-flight changes while nothing settles."""
        self._draw(tally, now, is_due=True)

    def close(self) -> None:
        """Wipe the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _draw(self, tally: Tally, now: float, *, is_due: bool) -> None:
        if self._line is None:
            self._line = _Line(
                total=tally.wanted,
                file=self._err,
                bar_format=_FORMAT,
                nrows=_USUAL_ROWS,
                leave=False,
            )
        line = self._line
        line.n = tally.wanted - tally.left
        line.ncols = _columns_of(self._err)
        if is_due or now - line.drawn_at >= line.mininterval:
            line.drawn_at = now
            words = live_words(tally, now, n_columns=line.ncols - _FRAME_COLUMNS)
            line.set_description_str(words, refresh=True)


class PlainLines:
    """A line every 30 s: no carriage return, no escape, fit for a log file."""

    period_s: float | None = PLAIN_EVERY_S

    def __init__(self, err: TextIO, *, is_verbose: bool = False) -> None:
        """``err``: anything that takes lines."""
        self._err = err
        self._turns = _Turns()
        self._notes = Notes(is_verbose=is_verbose)

    def hear(self, event: Event, tally: Tally, now: float) -> None:
        """Tell of a long wait and of the drain at once; of the rest when it is time."""
        note = self._notes.of(event, now)
        if note:
            self._say(note)
        self.tick(tally, now)

    def tick(self, tally: Tally, now: float) -> None:
        """The line, if the last one is 30 s old."""
        if self._turns.is_due(tally.started_at, now):
            self._say(plain_line(tally, now))

    def close(self) -> None:
        """Nothing to wipe."""

    def _say(self, line: str) -> None:
        self._err.write(f"{line}\n")
        self._err.flush()


class JsonLines:
    """An object a line for each thing that happens; see the ``event`` key."""

    period_s: float | None = PLAIN_EVERY_S

    def __init__(self, out: TextIO) -> None:
        """``out``: where results go."""
        self._out = out
        self._turns = _Turns()

    def hear(self, event: Event, tally: Tally, now: float) -> None:  # noqa: ARG002 - the port
        """One object: ``made``, ``failed``, ``retry``, ``waiting`` or ``draining``."""
        said = object_of(event)
        if said:
            self._say(said)

    def tick(self, tally: Tally, now: float) -> None:
        """One object, ``progress``, if the last one is 30 s old."""
        if self._turns.is_due(tally.started_at, now):
            self._say(progress_object(tally, now))

    def close(self) -> None:
        """Nothing to end: the summary is the report's."""

    def _say(self, said: dict[str, Any]) -> None:
        self._out.write(in_json(orjson.dumps(said).decode()) + "\n")
        self._out.flush()


class _Turns:
    """Every 30 s, counted from the start of the run."""

    def __init__(self) -> None:
        self._told_at: float | None = None

    def is_due(self, started_at: float, now: float) -> bool:
        told_at = started_at if self._told_at is None else self._told_at
        if now - told_at < PLAIN_EVERY_S - _EARLY_S:
            return False
        self._told_at = now
        return True


class _Line(tqdm):  # type: ignore[type-arg]  # not subscriptable at run time
    """tqdm without its monitor thread and without its lock between processes."""

    monitor_interval: ClassVar[int] = 0
    drawn_at: float = -1.0


_Line.set_lock(threading.RLock())


def _columns_of(terminal: TextIO) -> int:
    """How wide it is now; a terminal that does not know its size, as under a recorder, says 0."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS
