"""Words on the command line -> one call into the application; errors -> exit codes.

Nothing heavy is imported here: ``--help`` has to be instant, so the application is imported when
a command runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from pipeline import __version__
from pipeline.errors import BadUsage, Faulty, Interrupted, Stop, exit_code_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_AMOUNT = re.compile(r"\$?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,18}")
_LONGEST = 18  # characters of a number anybody means


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and never lets a traceback reach a person."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _perform(_arguments_in(words))
    except Stop as stop:
        return _told(stop, words)
    except _Ended as ended:
        if ended.number == signal.SIGINT and {"status", "--watch"} <= set(words):
            return 0  # Ctrl-C is how one leaves it
        how = "interrupted" if ended.number == signal.SIGINT else "ended by SIGTERM"
        told = f"{how}; nothing was lost. Run the same command to go on"
        return _told(Interrupted(told, signal_number=ended.number), words)
    except BrokenPipeError:
        _stop_talking()
        return 128 + signal.SIGPIPE
    except Exception as bug:
        if {"-v", "--verbose"} & set(words):
            raise
        what = f"a bug of ours: {type(bug).__name__}: {bug}"
        return _told(Stop(f"{what}\nPlease report it with what -v prints"), words)


def _perform(arguments: argparse.Namespace) -> int:
    from pipeline.app import perform

    return perform(arguments)


class _Ended(KeyboardInterrupt):
    """A signal outside of a run; of this family, so that nobody on the way takes it for an error.

    Of KeyboardInterrupt itself the interpreter remembers that it was raised inside an ``exec``,
    as in the making of a dataclass, and would end by the signal instead of our exit code.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise _Ended(number)


def _told(stop: Stop, words: Sequence[str]) -> int:
    """Tell a person on stderr, and a program that reads JSON on stdout; returns the exit code.

    Faults stand at the start of their lines, where editors look for ``file:line:col:``.
    """
    from pipeline.view.wording import seen

    code = exit_code_of(stop)
    told = seen(str(stop))
    sys.stderr.write(f"{told}\n" if isinstance(stop, Faulty) else f"imagebatch: {told}\n")
    if "--json" in words:
        summary = {"event": "summary", "exit_code": code, "reason": str(stop)}
        sys.stdout.write(f"{json.dumps(summary)}\n")
    return code


def _stop_talking() -> None:
    """Whoever read our output is gone: nothing is left for the end to flush and complain about."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


class _Parser(argparse.ArgumentParser):
    """Wrong words are a Stop like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would exit with, told with the usage."""
        raise BadUsage(f"{message}\n{self.format_usage().rstrip()}")


def _arguments_in(words: Sequence[str]) -> argparse.Namespace:
    """The words as arguments; what is wrong behind a command is told with that command's usage."""
    parser, commands = _parser()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        commands.choices[arguments.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


def _parser() -> tuple[_Parser, _Commands]:
    parser = _Parser(
        prog="imagebatch",
        description="Many prompts in, many images out: nothing lost, nothing bought twice.",
        epilog="Start with: imagebatch run jobs/quickstart.yaml (needs no key). "
        "Exit codes and the job file are in the README.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"imagebatch {__version__}")
    parser.set_defaults(json=False, quiet=False, verbose=False, color=None)
    _tells(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (
        _add_run,
        _add_plan,
        _add_rerun,
        _add_status,
        _add_verify,
        _add_models,
        _add_doctor,
        _add_simulate,
    ):
        add(commands)
    schema = _command(commands, "schema", "the JSON Schema of a job or a provider profile")
    schema.add_argument("which", nargs="?", choices=["job", "provider"], default="job")
    return parser, commands


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[_Parser]  # noqa: SLF001


def _add_run(commands: _Commands) -> None:
    run = _command(commands, "run", "make every image the job wants that is not there yet")
    _reads_a_job(run)
    _runs(run)


def _add_plan(commands: _Commands) -> None:
    plan = _command(commands, "plan", "tell what a run would do; sends nothing, needs no key")
    _reads_a_job(plan)


def _add_rerun(commands: _Commands) -> None:
    rerun = _command(commands, "rerun", "run failed tasks of an output folder again")
    rerun.add_argument("folder", type=_folder, metavar="OUT", help="the output folder")
    rerun.add_argument(
        "--why", metavar="W,…", action="append", default=[], help="only those that failed so"
    )
    rerun.add_argument(
        "--id", metavar="ID,…", action="append", default=[], help="only these tasks or rows"
    )
    _overrides(rerun)
    _runs(rerun)


def _add_status(commands: _Commands) -> None:
    status = _command(commands, "status", "how an output folder stands, also during a run")
    status.add_argument("folder", type=_folder, metavar="OUT", help="the output folder")
    status.add_argument("--watch", action="store_true", help="every 2 s while a run goes on")


def _add_verify(commands: _Commands) -> None:
    verify = _command(commands, "verify", "every line of an output folder against its images")
    verify.add_argument("folder", type=_folder, metavar="OUT", help="the output folder")
    verify.add_argument(
        "--repair", action="store_true", help="mend it; nothing that was paid for is deleted"
    )
    _waits(verify)


def _add_models(commands: _Commands) -> None:
    models = _command(commands, "models", "the provider's models that make images")
    models.add_argument("--provider", type=_word, metavar="NAME|FILE", help="default: simulator")
    models.add_argument(
        "--refresh", action="store_true", help="ask again; else a list is kept for a day"
    )


def _add_doctor(commands: _Commands) -> None:
    doctor = _command(commands, "doctor", "check address, key and models of a provider")
    doctor.add_argument("--provider", type=_word, metavar="NAME|FILE", help="default: simulator")
    doctor.add_argument("--model", metavar="M", help="default: the profile's")
    doctor.add_argument(
        "--spend", action="store_true", help="also make two images, plain and streamed"
    )


def _add_simulate(commands: _Commands) -> None:
    simulate = _command(commands, "simulate", "the embedded provider as a server of its own")
    simulate.add_argument("--port", type=_port, metavar="N", default=8765, help="default: 8765")
    simulate.add_argument(
        "--profile", metavar="F", default="simulator", help="a profile with a simulator section"
    )
    simulate.add_argument(
        "--scenario", metavar="NAME", help="a weather to play: limits, outages, what hangs"
    )
    simulate.add_argument(
        "--scale", metavar="S", type=_times, default=1.0, help="play it S times as fast"
    )


def _command(commands: _Commands, name: str, what: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False
    )
    _tells(command)
    return command


def _tells(parser: argparse.ArgumentParser) -> None:
    """Flags of all, before the command or behind it; where one is not given it says nothing."""

    def switch(*names: str, what: str) -> None:
        parser.add_argument(*names, action="store_true", default=argparse.SUPPRESS, help=what)

    switch("--json", what="JSON objects on stdout, one a line")
    switch("-q", "--quiet", what="no progress, no success")
    switch("-v", "--verbose", what="tell more")
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default=argparse.SUPPRESS,
        help="default: auto",
    )


def _reads_a_job(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB.yaml", help="the job file")
    command.add_argument("--out", type=_word, metavar="DIR", help="the output folder")
    _overrides(command)


def _overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument("--provider", type=_word, metavar="NAME|FILE", help="instead of the job's")
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="instead of the job's: --set retry.attempts=3 (repeatable)",
    )
    command.add_argument("--limit", type=_count, metavar="N", help="only the first N tasks")


def _runs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-runtime", type=_seconds, metavar="2h", help="stop in time, resumable (exit 4)"
    )
    command.add_argument(
        "--max-usd",
        type=_dollars,
        metavar="5",
        help="the most the output folder may cost, over all its runs (exit 4)",
    )
    _waits(command)
    command.add_argument(
        "--adopt", action="store_true", help="use a folder that belongs to another job"
    )
    command.add_argument(
        "--yes", action="store_true", help="accepted for scripts: nothing is ever asked"
    )


def _waits(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait", type=_seconds, metavar="SECS", default=0.0, help="wait for another run to end"
    )


def _seconds(text: str) -> float:
    parts = _DURATION.findall(text)
    if len(text) > _LONGEST or not parts or "".join(map("".join, parts)) != text:
        shown = repr(text[:40])
        raise argparse.ArgumentTypeError(f"{shown} is no time; write 90, 90s, 30m, 2h or 1h30m")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def _dollars(text: str) -> float:
    if len(text) > _LONGEST or not _AMOUNT.fullmatch(text):
        shown = repr(text[:40])
        raise argparse.ArgumentTypeError(f"{shown} is no amount; write US dollars: 5 or 2.50")
    return float(text.removeprefix("$"))


def _times(text: str) -> float:
    if not _AMOUNT.fullmatch(text) or text.startswith("$") or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no factor; write one above 0: 10 or 0.5")
    return float(text)


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no count; write a whole number from 1 up"
        )
    return int(text)


def _port(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; write a whole number")
    return int(text)


def _folder(text: str) -> str:
    if max(len(os.fsencode(part)) for part in _word(text).split("/")) > 255 or len(text) > 4000:
        raise argparse.ArgumentTypeError("no folder has a name as long as this")
    return text


def _word(text: str) -> str:
    # An unset variable of a shell script, most likely: nothing else is taken in its place.
    if not text.strip():
        raise argparse.ArgumentTypeError("is blank: say which, or leave the flag out")
    return text
