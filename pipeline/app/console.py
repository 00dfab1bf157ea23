"""The one place that prints: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import BadUsage
from pipeline.job.environment import environment
from pipeline.view.progress import Mode, Voice, voices_for
from pipeline.view.wording import Style, in_json, seen

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TextIO

    from pipeline.core.ports import Event
    from pipeline.view.tally import Tally

_COLOR_WORDS = frozenset({"auto", "always", "never"})


class Console:
    """Where a command's words go, by its flags and by who is listening."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Of the flags: ``json, quiet, verbose, color``; raises :class:`BadUsage`."""
        self.is_json: bool = arguments.json
        self.is_quiet: bool = arguments.quiet
        self.is_verbose: bool = arguments.verbose
        self._color = _color_of(arguments)

    def style_for(self, stream: TextIO) -> Style:
        """Colour or none: flag, then IMAGEBATCH_COLOR, NO_COLOR, FORCE_COLOR, then a terminal."""
        environ = environment()
        choice = self._color
        if choice == "auto" and environ.get("NO_COLOR"):
            choice = "never"
        if choice == "auto" and environ.get("FORCE_COLOR"):
            choice = "always"
        return Style(is_on=choice == "always" or (choice == "auto" and stream.isatty()))

    @property
    def style(self) -> Style:
        """The style of results."""
        return self.style_for(sys.stdout)

    def say(self, text: str) -> None:
        """A result, for people."""
        _write(sys.stdout, seen(text))

    def emit(self, value: dict[str, Any]) -> None:
        """A result, for programs: one JSON object a line."""
        _write(sys.stdout, in_json(orjson.dumps(value).decode()))

    def conclude(self, text_in: Callable[[Style], str], *, is_success: bool) -> None:
        """The last words of a run, for people. ``-q`` silences a success; the rest is an error."""
        if self.is_quiet and is_success:
            return
        stream = sys.stderr if self.is_quiet else sys.stdout
        _write(stream, seen(text_in(self.style_for(stream))))

    def note(self, text: str) -> None:
        """A warning or a remark; ``-q`` silences it."""
        if not self.is_quiet:
            _write(sys.stderr, seen(text))

    def voices(self) -> tuple[Voice, ...]:
        """Who tells of a run while it goes on."""
        mode = Mode.LIVE if sys.stderr.isatty() else Mode.PLAIN
        voices = voices_for(
            Mode.QUIET if self.is_quiet else mode,
            err=sys.stderr,
            json_to=sys.stdout if self.is_json else None,
            is_verbose=self.is_verbose,
        )
        return tuple(map(_Unheard, voices))


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def _color_of(arguments: argparse.Namespace) -> str:
    """The flag's word, else IMAGEBATCH_COLOR's, else auto."""
    if arguments.color:
        return str(arguments.color)
    word = environment().get("IMAGEBATCH_COLOR") or "auto"
    if word not in _COLOR_WORDS:
        raise BadUsage(f"IMAGEBATCH_COLOR={word}: set it to auto, always or never, or unset it")
    return word


class _Unheard:
    """A voice that falls silent once nobody listens: a closed pipe costs no image."""

    def __init__(self, voice: Voice) -> None:
        self._voice: Voice | None = voice
        self.period_s = voice.period_s

    def hear(self, event: Event, tally: Tally, now: float) -> None:
        self._say(lambda voice: voice.hear(event, tally, now))

    def tick(self, tally: Tally, now: float) -> None:
        self._say(lambda voice: voice.tick(tally, now))

    def close(self) -> None:
        self._say(lambda voice: voice.close())

    def _say(self, what: Callable[[Voice], None]) -> None:
        if self._voice:
            try:
                what(self._voice)
            except OSError:
                self._voice = None
