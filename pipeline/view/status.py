"""How an output folder stands, as text or JSON."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.view.flight import flight_lines, out_object
from pipeline.view.hold import lane_object
from pipeline.view.tally import Percentiles
from pipeline.view.wording import Style, count, duration, money, printable, rate, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.core.ports import LaneState
    from pipeline.view.flight import Attempt

_PLAIN = Style()
_SHOWN = 3


class Holder(Protocol):
    """The run that writes to the folder; ``str`` says who it is."""

    @property
    def since(self) -> str:
        """When it started, UTC, ISO 8601."""


class Standing(Protocol):
    """What is told of a folder; see the store's value of the same name."""

    @property
    def root(self) -> str:
        """The folder."""

    @property
    def job(self) -> str | None:
        """The name of its job."""

    @property
    def made(self) -> int:
        """Wanted tasks that have their images."""

    @property
    def failed(self) -> int:
        """Wanted tasks that were given up."""

    @property
    def failed_by_why(self) -> Mapping[str, int]:
        """The same, by reason."""

    @property
    def owed(self) -> int:
        """Wanted tasks in no line."""

    @property
    def unwanted(self) -> int:
        """Tasks in the manifest the job does not want any more."""

    @property
    def maybe_billed(self) -> int:
        """Attempts that left and were never answered, over all runs."""

    @property
    def cost_usd(self) -> float:
        """Over all runs."""

    @property
    def n_cost_known(self) -> int:
        """Lines that tell their cost."""

    @property
    def n_lines(self) -> int:
        """Lines in all."""

    @property
    def n_images(self) -> int:
        """Images in all."""

    @property
    def latencies_s(self) -> Sequence[float]:
        """Of every line, seconds."""

    @property
    def started_at(self) -> str | None:
        """Of the last run that wrote a line."""

    @property
    def finished_at(self) -> str | None:
        """Its newest line."""

    @property
    def last_images(self) -> int:
        """Its images."""

    @property
    def holder(self) -> Holder | None:
        """Who is writing, or who ended without letting go."""

    @property
    def is_running(self) -> bool:
        """Whether a run is going on."""

    @property
    def running_pid(self) -> int | None:
        """Its process."""

    @property
    def is_stale(self) -> bool:
        """Whether the last run ended without letting go."""

    @property
    def in_flight(self) -> int | None:
        """Requests that are out, while a run goes on."""

    @property
    def flying(self) -> Sequence[Attempt]:
        """Those requests, the first sent first."""

    @property
    def lanes(self) -> Sequence[LaneState]:
        """How the lanes of the run stand, as far as it said."""

    @property
    def unanswered(self) -> Sequence[Attempt]:
        """Those of ``maybe_billed`` that no line tells of."""


def status_text(
    standing: Standing, *, now: datetime, next_command: str | None = None, style: Style = _PLAIN
) -> str:
    """The lines of ``status``; ``next_command`` goes on with what is owed. ``now`` has a zone."""
    lines = list(_lines(standing, now, style))
    if next_command and standing.owed and not standing.is_running:
        lines.append(style(f"next: {printable(next_command)}", "bold"))
    return "\n".join(lines)


def status_json(standing: Standing, *, now: datetime) -> dict[str, Any]:
    """The object of ``status --json``; instants are UTC, ISO 8601, times seconds."""
    latency = Percentiles(standing.latencies_s)
    per_s = _images_per_s(standing)
    holder = standing.holder
    return {
        "output": standing.root,
        "job": standing.job,
        "made": standing.made,
        "failed": standing.failed,
        "by_why": dict(standing.failed_by_why),
        "owed": standing.owed,
        "unwanted": standing.unwanted,
        "in_flight": standing.in_flight,
        "in_flight_requests": [out_object(one, now) for one in standing.flying],
        "lanes": [lane_object(one) for one in standing.lanes],
        "maybe_billed": standing.maybe_billed,
        "maybe_billed_requests": [one.told() for one in standing.unanswered],
        "cost_usd": standing.cost_usd,
        "cost_known": standing.n_cost_known,
        "images": standing.n_images,
        "images_per_s": None if per_s is None else round(per_s, 3),
        "latency_p50_s": latency.at(0.50),
        "latency_p95_s": latency.at(0.95),
        "latency_p99_s": latency.at(0.99),
        "started_at": standing.started_at,
        "finished_at": standing.finished_at,
        "running": standing.is_running,
        "running_pid": standing.running_pid,
        "running_since": holder.since if holder and standing.is_running else None,
        "stale": standing.is_stale,
    }


def _lines(standing: Standing, now: datetime, style: Style) -> Iterator[str]:
    wanted = standing.made + standing.failed + standing.owed
    yield f"{style(printable(standing.root), 'bold')} · {_state(standing)}"
    yield f"made {standing.made} of {wanted} · {count(standing.n_images, 'image')}"
    if standing.failed:
        yield style(f"failed {standing.failed}: {reasons(standing.failed_by_why)}", "red")
    if standing.owed:
        yield style(f"owed {standing.owed}", "yellow")
    if standing.in_flight is not None:
        yield from flight_lines(standing.flying, standing.lanes, now)
    if standing.unwanted:
        yield f"no longer wanted by the job: {count(standing.unwanted, 'task')}"
    yield _cost(standing)
    if standing.unanswered:
        yield f"never answered, so maybe billed: {_unanswered(standing.unanswered)}"
    if standing.n_lines:
        yield _pace(standing)
    if standing.failed and not standing.is_running:
        yield f"failed ones again: imagebatch rerun {shlex.quote(standing.root)}"


def _state(standing: Standing) -> str:
    if standing.is_running:
        return f"running ({printable(str(standing.holder))})"
    if standing.is_stale:
        return f"the last run ended without finishing ({printable(str(standing.holder))})"
    return "no run is going on"


def _cost(standing: Standing) -> str:
    is_told = standing.n_cost_known == standing.n_lines
    known = "" if is_told else f" (known for {standing.n_cost_known:,} of {standing.n_lines:,})"
    return f"cost {money(standing.cost_usd)}{known} · maybe billed {standing.maybe_billed}"


def _unanswered(attempts: Sequence[Attempt]) -> str:
    """The last of them, with the provider's id where it is known: what its support asks for."""
    told = [one.told() for one in reversed(attempts[-_SHOWN:])]
    names = [
        f"task {one['id']}" + (f" ({one['request_id']})" * bool(one["request_id"])) for one in told
    ]
    more = f" and {len(attempts) - _SHOWN:,} more (--json)" if len(attempts) > _SHOWN else ""
    return printable(", ".join(names)) + more


def _pace(standing: Standing) -> str:
    latency = Percentiles(standing.latencies_s)
    told = [f"p{p} {duration(s)}" for p in (50, 95, 99) if (s := latency.at(p / 100)) is not None]
    per_s = _images_per_s(standing)
    which = "so far" if standing.is_running else "in the last run"
    speed = "" if per_s is None else f"{rate(per_s)} {which} · "
    return f"{speed}latency {', '.join(told)}"


def _images_per_s(standing: Standing) -> float | None:
    if not (standing.started_at and standing.finished_at):
        return None
    try:
        passed = datetime.fromisoformat(standing.finished_at) - datetime.fromisoformat(
            standing.started_at
        )
    except (ValueError, TypeError):
        return None
    return standing.last_images / max(passed.total_seconds(), 1e-3)
