"""Plays one case of the wire: a scripted server on one side, a whole run on the other.

A :class:`Case` is a row of a table and holds no code: what the server sends, what the job and its
profile set, and what has to come of it. :func:`play` runs it through the real job file, engine,
sockets and output folder, and :func:`check` holds what was seen against what the row expects.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import tracemalloc
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from scripted import Asked, Script, scripted

from pipeline.app.drive import Driver, Run
from pipeline.app.wanted import Wanted, asked
from pipeline.core.ports import Event, Settled
from pipeline.job.keys import key_of
from pipeline.job.load import load_job
from pipeline.job.naming import Naming
from pipeline.store.durable import Durability
from pipeline.store.folder import Folder, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from pipeline.core.model import Why
    from pipeline.errors import Stop
    from pipeline.job.job import Job

KEY = "sk-wire-3f8a91c2d4e5"
_ENVIRON = {"WIRE_KEY": KEY}
_PROFILE: dict[str, Any] = {"model": "some/model", "api_key_env": "WIRE_KEY"}
_JOB: dict[str, Any] = {
    "name": "wire",
    "provider": "./there.yaml",
    "prompts": ["a cat"],
    "output": {"dir": "out", "durability": "process"},
    "limits": {"concurrency": 1},
    "retry": {"attempts": 3, "max_wait": 0.01},
    "timeouts": {"connect": 5, "idle": 5, "total": 20},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """What has to come of a case; what is None is not looked at.

    ``images``: what lies in the files of the first task, byte for byte, in the manifest's order.
    ``extensions``: theirs. ``why``: the reason of the first task's failure. ``warnings`` and
    ``detail``: a piece of each warning, in order, and of the detail. ``n_requests``: how many came
    to the server. ``stop``: why the run ended early. ``also`` asserts whatever else there is.
    """

    images: tuple[bytes, ...] | None = None
    extensions: tuple[str, ...] | None = None
    why: Why | None = None
    warnings: tuple[str, ...] | None = None
    text: str | None = None
    detail: str | None = None
    attempts: int | None = None
    n_requests: int | None = None
    stop: type[Stop] | None = None
    also: Callable[[Seen], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row: ``arrives`` and ``we`` are the sentences of the documentation's table.

    The n-th request meets the n-th of ``scripts``, all later ones the last. ``profile`` and
    ``job`` are laid over what every case has, their sections key by key. ``variant`` tells apart
    several rows of one number. ``greeting`` goes to whoever connects; ``{port}`` in a profile's
    ``base_url`` is the server's. ``measures_memory`` fills :attr:`Seen.peak_bytes`, and is slow.
    """

    number: int
    arrives: str
    we: str
    scripts: tuple[Script, ...]
    then: Then
    profile: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""
    measures_memory: bool = False
    greeting: bytes = b""

    @property
    def id(self) -> str:
        """``case-07-bare-base64-under-image``."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.arrives} {self.variant}".lower()).strip("-")
        return f"case-{self.number:02}-{words}"


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a case came to.

    ``lines``: the manifest's, in order. ``files``: what lies under the output folder outside
    ``.state``, by name, the manifest left out. ``requests`` know when they came (``at``, monotonic
    seconds). ``longest_step_s``: the most processor time the loop took between two of its turns;
    ``peak_bytes``: the most memory Python held above what it held before.
    """

    stop: Stop | None = None
    events: list[Event] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    n_open: int = 0
    n_accepted: int = 0
    longest_step_s: float = 0.0
    peak_bytes: int = 0
    took_s: float = 0.0

    @property
    def line(self) -> dict[str, Any]:
        """The only task's line."""
        (line,) = self.lines
        return line

    @property
    def gaps_s(self) -> list[float]:
        """Seconds from each request to the next."""
        times = [one.at for one in self.requests]
        return [later - sooner for sooner, later in itertools.pairwise(times)]

    def see(self, event: Event) -> None:
        self.events.append(event)

    @property
    def settled(self) -> list[Settled]:
        return [event for event in self.events if isinstance(event, Settled)]


def written(value: Any) -> bytes:
    """A JSON document, as YAML reads it too."""
    return orjson.dumps(value)


def laid_over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``more`` in it, sections key by key."""
    merged = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


async def play(case: Case, folder: Path) -> Seen:
    """Run the case in ``folder``, an empty one, and tell what was seen."""
    seen = Seen()
    async with scripted(*case.scripts, greeting=case.greeting) as server:
        job = _job(case, folder, server.base_url)
        started_at = time.monotonic()
        with _peak(seen) if case.measures_memory else nullcontext():
            async with _steps(seen):
                await _drive(job, seen)
        seen.took_s = time.monotonic() - started_at
        seen.requests = list(server.requests)
        await server.until_all_closed()
        seen.n_open, seen.n_accepted = server.n_open, server.n_accepted
    out = folder / "out"
    lines = (out / "manifest.jsonl").read_bytes().splitlines()
    seen.lines = [orjson.loads(line) for line in lines]
    seen.files = {
        name: path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and not (name := str(path.relative_to(out))).startswith((".state", "manifest."))
    }
    _check_secrets(out, seen)
    return seen


def check(case: Case, seen: Seen) -> None:
    """Assert that what was seen is what the row expects."""
    then = case.then
    line = seen.lines[0] if seen.lines else {}
    told = f"{line.get('why')}: {line.get('detail')} {line.get('warnings')} {seen.stop!r}"
    assert type(seen.stop) is (then.stop or type(None)), told
    names = [image["file"] for image in line.get("images", ())]
    is_as_expected: dict[str, Callable[[Any], bool]] = {
        "images": lambda wanted: [seen.files[name] for name in names] == list(wanted) != [],
        "extensions": lambda wanted: [name.rpartition(".")[2] for name in names] == list(wanted),
        "why": lambda wanted: (line["status"], line["why"], names) == ("failed", str(wanted), []),
        "warnings": lambda wanted: _are_in(wanted, line["warnings"]),
        "detail": lambda wanted: wanted in (line["detail"] or ""),
        "text": lambda wanted: wanted == (line["text"] or ""),
        "attempts": lambda wanted: wanted == line["attempts"],
        "n_requests": lambda wanted: wanted == len(seen.requests),
    }
    for name, is_so in is_as_expected.items():
        wanted = getattr(then, name)
        assert wanted is None or is_so(wanted), f"{name}, not {wanted!r:.200}: {told}"
    if then.also:
        then.also(seen)


def _are_in(pieces: tuple[str, ...], texts: list[str]) -> bool:
    pairs = zip(pieces, texts, strict=False)
    return len(pieces) == len(texts) and all(piece in text for piece, text in pairs)


def _job(case: Case, folder: Path, base_url: str) -> Job:
    profile = laid_over({"base_url": base_url, **_PROFILE}, case.profile)
    port = base_url.rpartition(":")[2].partition("/")[0]
    profile["base_url"] = profile["base_url"].replace("{port}", port)
    (folder / "there.yaml").write_bytes(written(profile))
    settings = laid_over(_JOB, case.job)
    settings["output"]["dir"] = str(folder / "out")
    (folder / "job.yaml").write_bytes(written(settings))
    return load_job(folder / "job.yaml", environ=_ENVIRON)


async def _drive(job: Job, seen: Seen) -> None:
    terms = Terms(
        job=job.name,
        run="r1",
        path_for=Naming.of(job.path).path_for,
        durability=Durability(job.durability),
    )
    key = key_of(job.chosen, _ENVIRON)
    with asked(job, lambda _: None) as wish, Folder(Path(job.out), terms) as store:
        keys = {job.chosen.name: key}
        run = Run(job=job, folder=store, keys=keys, observer=seen, models=wish.plan.models)
        driver = Driver(run)
        seen.stop = await driver.drive(Wanted(wish, store.ledger).owed())


@asynccontextmanager
async def _steps(seen: Seen) -> AsyncIterator[None]:
    """Watch how much processor time passes between two turns of the loop, however loaded."""

    async def watch() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            seen.longest_step_s = max(seen.longest_step_s, now - last)
            last = now

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


@contextmanager
def _peak(seen: Seen) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        seen.peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _check_secrets(out: Path, seen: Seen) -> None:
    """The key is in nothing that was written or told, whatever the case."""
    for path in out.rglob("*"):
        assert not (path.is_file() and KEY.encode() in path.read_bytes()), path
    assert KEY not in repr((seen.events, seen.stop))
