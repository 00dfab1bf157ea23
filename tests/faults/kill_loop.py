"""Kills a run at random, again and again, and reckons with the provider's bill at the end.

As a script it prints the figures of the track record::

    python tests/faults/kill_loop.py --tasks 2000 --kills 200 --concurrency 32
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).resolve().parents[2]
LATENCY_S = 0.12
START_S = 0.6
"""About how long the command takes until its first request, on a machine with little else to do."""

_WITHIN_S = 60
_LAST_RUN_WITHIN_S = 600
_PROVIDER = """\
model: simulator/painter
simulator: {{latency_s: {latency_s}, latency_p99_s: {p99_s}, image_size: 64x64, keep_alive_s: 0.05}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What came out, in numbers; :meth:`check` says how they have to be.

    ``in_flight_at_kills``: charged by the provider, and in no line when their run was dead.
    ``adopted``: those of them that recovery saved; ``finished_but_bought_again``: those it ought to
    have saved, as the journal had their result. ``listed``: what ``status`` calls maybe billed,
    ``listed_with_generation`` of them by the generation's id, the others by their task's alone;
    ``unlisted``: on the bill, but neither in a line nor listed; ``listed_though_never_charged``:
    died between the note that they leave and the provider. ``flaws``: what must never be, in words.
    """

    n_tasks: int
    n_kills: int
    concurrency: int
    is_streamed: bool
    seed: int
    elapsed_s: float
    kills_before_any_request: int
    billed: int
    in_flight_at_kills: int
    most_in_flight_at_a_kill: int
    adopted: int
    asked_again_though_acknowledged: int
    finished_but_bought_again: int
    billed_without_record: int
    listed: int
    listed_with_generation: int
    listed_though_recorded: int
    listed_though_never_charged: int
    unlisted: int
    made: int
    lines: int
    files: int
    flaws: tuple[str, ...]

    def check(self) -> None:
        """Raise AssertionError with all figures where a promise is broken."""
        told = json.dumps(asdict(self), indent=1)
        assert not self.flaws, told
        assert self.made == self.lines == self.files == self.n_tasks, told
        assert self.asked_again_though_acknowledged == 0, told
        assert self.finished_but_bought_again == 0, told
        assert self.most_in_flight_at_a_kill <= self.concurrency, told
        assert self.billed_without_record <= self.in_flight_at_kills, told
        assert self.unlisted == 0, told
        assert self.listed_though_recorded == 0, told


def kill_loop(
    *, n_tasks: int, n_kills: int, concurrency: int, is_streamed: bool, seed: int, folder: Path
) -> Reckoning:
    """Run a job of ``n_tasks`` in ``folder``, kill it ``n_kills`` times, then let it finish."""
    chance = random.Random(seed)
    began = time.monotonic()
    witness = Witness(folder / "out")
    with provider(folder, latency_s=LATENCY_S) as address:
        write_job(folder, address, n_tasks, concurrency, is_streamed=is_streamed)
        for n_left in range(n_kills, 0, -1):
            told = _live(folder, chance, (n_tasks - witness.n_lines) / n_left)
            witness.look(charged(address), told)
        last = command(folder, "run", "job.yaml", "--json")
        status = command(folder, "status", "out", "--json")
        verdict = command(folder, "verify", "out", "--json")
        bill = charged(address)
    witness.look(bill, ())
    if last["exit_code"] or last["owed"] or last["failed"]:
        witness.flaws.append(f"the last run ended with {last}")
    if verdict["exit_code"]:
        witness.flaws.append(f"verify ended with {verdict}")
    return Reckoning(
        n_tasks=n_tasks,
        n_kills=n_kills,
        concurrency=concurrency,
        is_streamed=is_streamed,
        seed=seed,
        elapsed_s=round(time.monotonic() - began, 1),
        **witness.figures(),
        **accounts(folder / "out", status.get("maybe_billed_requests", []), bill),
        flaws=(*witness.flaws, *flaws_of(folder / "out")),
    )


def _live(folder: Path, chance: random.Random, fair_share: float) -> list[str]:
    """Start the run and kill it: a third anywhere from its start on, the rest while it works.

    ``fair_share``: as many images as it may make for the job to last until the last kill. Returns
    the ids that it said were made.
    """
    n_wanted = chance.randint(0, max(1, round(1.4 * fair_share)))
    told = b""
    with started(folder, "run", "job.yaml", "--json") as process:
        assert process.stdout
        if chance.random() < 1 / 3:
            time.sleep(chance.uniform(0, START_S + 2 * LATENCY_S))
        else:
            while n_wanted > 0 and (line := process.stdout.readline()):
                told += line
                n_wanted -= b'"made"' in line
            time.sleep(chance.uniform(0, LATENCY_S / 4))
        process.kill()
        told += process.stdout.read()
        process.wait(_WITHIN_S)
    events = [json.loads(line) for line in told.splitlines(keepends=True) if line.endswith(b"\n")]
    return [one["id"] for one in events if one["event"] == "made"]


class Witness:
    """Looks at the manifest and the bill whenever a run is dead."""

    def __init__(self, out: Path) -> None:
        self.flaws: list[str] = []
        self._out = out
        self._manifest = b""
        self._kept: set[str] = set()
        self._acknowledged: set[str] = set()
        self._finished: set[str] = set()
        self._ids: set[str] = set()
        self._in_flight: list[set[str]] = []
        self._n_charged = 0
        self._n_idle = 0
        self._n_asked_again = 0
        self._n_bought_again = 0

    @property
    def n_lines(self) -> int:
        """Lines in the manifest when it was last looked at."""
        return len(self._ids)

    def look(self, bill: list[dict[str, str]], told: Collection[str]) -> None:
        """A run has ended, with ``bill`` so far; ``told``: the ids it said were made."""
        sent = bill[self._n_charged :]
        self._n_charged = len(bill)
        self._n_idle += not sent
        self._n_asked_again += sum(one["prompt"] in self._acknowledged for one in sent)
        self._n_bought_again += sum(one["prompt"] in self._finished for one in sent)
        self._read()
        self._finished = finished_in(self._out) - self._acknowledged
        self._in_flight.append({one["id"] for one in sent} - self._kept)
        if missing := set(told) - self._ids:
            self.flaws.append(f"said to be made, but in no line: {missing}")

    def figures(self) -> dict[str, int]:
        """What it saw, in numbers; the last look is at a run that was left alone."""
        *at_kills, at_the_end = self._in_flight
        if at_the_end:
            self.flaws.append(f"charged to a run that was not killed, and in no line: {at_the_end}")
        return {
            "kills_before_any_request": self._n_idle,
            "billed": self._n_charged,
            "in_flight_at_kills": sum(map(len, at_kills)),
            "most_in_flight_at_a_kill": max(map(len, at_kills), default=0),
            "adopted": sum(len(one & self._kept) for one in at_kills),
            "asked_again_though_acknowledged": self._n_asked_again,
            "finished_but_bought_again": self._n_bought_again,
        }

    def _read(self) -> None:
        """The lines that are new; a torn last one acknowledges nothing yet."""
        manifest = _manifest(self._out)
        whole = manifest[: manifest.rfind(b"\n") + 1]
        if not whole.startswith(self._manifest):
            self.flaws.append("lines that stood in the manifest have changed")
        for text in whole[len(self._manifest) :].splitlines():
            line = json.loads(text)
            self._kept.add(line["request_id"])
            self._acknowledged.add(_key(line["prompt"]))
            self._ids.add(line["id"])
        self._manifest = whole


def accounts(
    out: Path, maybe_billed: list[dict[str, Any]], bill: list[dict[str, str]]
) -> dict[str, int]:
    """The bill against the lines of ``out`` and its list of maybe billed requests."""
    lines = [json.loads(line) for line in _manifest(out).splitlines()]
    kept = {line["request_id"] for line in lines}
    settled = {(line["id"], line["run"]) for line in lines}
    task_of = {_key(line["prompt"]): line["id"] for line in lines}
    by_generation = Counter(one["request_id"] for one in maybe_billed if one["request_id"])
    by_task = Counter(one["id"] for one in maybe_billed if not one["request_id"])
    unrecorded = [one for one in bill if one["id"] not in kept]
    unnamed = Counter(
        task_of.get(one["prompt"]) for one in unrecorded if not by_generation[one["id"]]
    )
    return {
        "billed_without_record": len(unrecorded),
        "listed": len(maybe_billed),
        "listed_with_generation": by_generation.total(),
        "listed_though_recorded": sum(
            one["request_id"] in kept or (one["id"], one["run"]) in settled for one in maybe_billed
        ),
        "listed_though_never_charged": len(maybe_billed) - len(unrecorded),
        "unlisted": (unnamed - by_task).total(),
        "made": len({line["id"] for line in lines if line["status"] == "made"}),
        "lines": len(lines),
        "files": sum(one.is_file() for one in (out / "images").rglob("*")),
    }


def flaws_of(out: Path) -> Iterator[str]:
    """What must never be in an output folder, in words."""
    named = set()
    for line in _manifest(out).splitlines():
        for image in json.loads(line)["images"]:
            named.add(out / image["file"])
            there = (out / image["file"]).read_bytes() if (out / image["file"]).is_file() else b""
            if sha256(there).hexdigest() != image["sha256"]:
                yield f"{image['file']} is not what its line says"
    for file in (out / "images").rglob("*"):
        if file.is_file() and file not in named:
            yield f"{file} is named by no line"
    for part in (out / ".state/parts").iterdir():
        yield f"a part is left: {part.name}"


def finished_in(out: Path) -> set[str]:
    """The prompts, as the bill names them, whose images the journal says are complete."""
    *lines, _ = _content(out / ".state/journal.jsonl").split(b"\n")
    results = (json.loads(line).get("result") for line in lines)
    return {_key(result["prompt"]) for result in results if result}


def charged(address: str) -> list[dict[str, str]]:
    """Every generation on the bill, oldest first.

    Asked twice: what a dead client had sent has been read by the time of the second answer.
    """
    for _ in range(2):
        with urlopen(f"{address.removesuffix('/v1')}/bill?generated=1", timeout=_WITHIN_S) as reply:
            bill = json.load(reply)
    generated: list[dict[str, str]] = bill["generated"]
    assert len(generated) == bill["billed"]
    return generated


def write_job(
    folder: Path, address: str, n_tasks: int, concurrency: int, *, is_streamed: bool
) -> None:
    """``job.yaml`` in ``folder``, which asks ``address`` for ``n_tasks`` images into ``out``."""
    prompts = (json.dumps({"prompt": f"view {n} of the harbour"}) for n in range(n_tasks))
    (folder / "prompts.jsonl").write_text("\n".join(prompts))
    (folder / "there.yaml").write_text(
        f"base_url: {address}\nmodel: simulator/painter\nstream: {str(is_streamed).lower()}\n"
    )
    (folder / "job.yaml").write_text(
        "provider: ./there.yaml\nprompts: {file: prompts.jsonl}\noutput: {dir: out}\n"
        f"limits: {{concurrency: {concurrency}}}\n"
    )


@contextmanager
def provider(folder: Path, *, latency_s: float) -> Iterator[str]:
    """The base URL of a provider in a process of its own, which outlives every kill."""
    profile = _PROVIDER.format(latency_s=latency_s, p99_s=4 * latency_s)
    (folder / "provider.yaml").write_text(profile)
    words = ("simulate", "--port", "0", "--profile", "./provider.yaml", "--json")
    with started(folder, *words) as process:
        assert process.stdout
        yield str(json.loads(process.stdout.readline())["base_url"])


def command(folder: Path, *words: str) -> dict[str, Any]:
    """The last object that a command tells, which may take its time."""
    with started(folder, *words) as process:
        out, _ = process.communicate(timeout=_LAST_RUN_WITHIN_S)
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in ``folder``, killed at the end if it still goes on."""
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        env=environ(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def environ(folder: Path) -> dict[str, str]:
    """What a command in ``folder`` needs around it."""
    return os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / ".cache")}


def _key(prompt: str) -> str:
    """How the bill names a prompt."""
    return sha256(prompt.encode()).hexdigest()[:16]


def _manifest(out: Path) -> bytes:
    return _content(out / "manifest.jsonl")


def _content(file: Path) -> bytes:
    with suppress(FileNotFoundError):
        return file.read_bytes()
    return b""


def _main() -> None:
    parser = argparse.ArgumentParser(description="Kill a run at random, and reckon.")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    for is_streamed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            reckoning = kill_loop(
                n_tasks=words.tasks,
                n_kills=words.kills,
                concurrency=words.concurrency,
                is_streamed=is_streamed,
                seed=words.seed,
                folder=Path(folder),
            )
        sys.stdout.write(json.dumps(asdict(reckoning), indent=1) + "\n")
        reckoning.check()


if __name__ == "__main__":
    _main()
