"""What a run would do, as text or JSON, before anything is sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.view.wording import (
    Style,
    count,
    duration,
    money_between,
    printable,
    reasons,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLAIN = Style()
_PROMPT_CHARACTERS = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTask:
    """One of the next tasks to send, as it would be sent and kept."""

    prompt: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is left to send may cost, in US dollars.

    ``low_usd`` and ``high_usd``: the least and the most where every task takes one try that is
    billed; ``most_usd``: where every try it may have is. ``source`` says who knows, in words. The
    ``unknown`` tasks of the ``n_tasks`` are in none of these sums: nobody knows what they cost;
    ``models`` are theirs.
    """

    n_tasks: int
    low_usd: float
    high_usd: float
    most_usd: float
    source: str
    unknown: int = 0
    models: tuple[str, ...] = ()

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows the price of any task."""
        return 0 < self.n_tasks == self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """One of several providers, with the limits of its own."""

    provider: str
    weight: float
    concurrency: int
    requests_per_minute: float | None
    images_per_minute: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """Everything ``plan`` tells.

    ``tasks`` = ``new`` + ``made`` + the failed. ``to_send``: what a run would ask for now: the new
    and those of the failed that may succeed. ``axes``: name and size of each matrix axis.
    ``duplicates``: tasks folded into an earlier one, ``duplicates_told`` the same in words.
    ``at_the_limits_s``: the shortest time the job's own limits allow for ``to_send``, ``bill`` what
    they may cost. ``first``: the next to be sent, those of the plan where none is. ``lanes``: of
    several providers each one.
    """

    job: str
    output: str
    provider: str
    model: str
    rows: int
    axes: tuple[tuple[str, int], ...]
    samples: int
    tasks: int
    new: int
    made: int
    failed_by_why: Mapping[str, int]
    to_send: int
    duplicates: int
    duplicates_told: str | None
    concurrency: int
    requests_per_minute: float | None
    at_the_limits_s: float | None
    disk_needed_bytes: int | None
    disk_free_bytes: int | None
    first: tuple[FirstTask, ...]
    bill: Bill | None = None
    images_per_minute: float | None = None
    lanes: tuple[LanePlan, ...] = ()

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())

    @property
    def disk_lacks_bytes(self) -> int:
        """How much the disk is too small by; 0 where it is not, or nobody knows."""
        if self.disk_needed_bytes is None or self.disk_free_bytes is None:
            return 0
        return max(0, self.disk_needed_bytes - self.disk_free_bytes)


def plan_text(plan: PlanView, *, style: Style = _PLAIN) -> str:
    """The lines of ``plan``."""
    return "\n".join(_lines(plan, style))


def plan_json(plan: PlanView) -> dict[str, Any]:
    """The object of ``plan --json``: every field under its name, times in seconds.

    The prices are None where nobody knows any, else the sums of those that are known.
    """
    told = asdict(plan)
    told["axes"] = dict(plan.axes)
    told["failed_by_why"] = dict(plan.failed_by_why)
    told["first"] = [asdict(one) for one in plan.first]
    told["lanes"] = [asdict(one) for one in plan.lanes]
    del told["bill"]
    counted = {"failed": plan.failed, "disk_lacks_bytes": plan.disk_lacks_bytes}
    return {"event": "plan", **told, **counted, **_prices(plan.bill)}


def price_text(bill: Bill) -> str:
    """``$3.20-$4.10 (catalog of …)``, and for how many tasks nobody knows."""
    if not bill.n_tasks:
        return "$0.00 (nothing to send)"
    if bill.is_unknown:
        where = "the profile's `prices`, or a list of models as `imagebatch models` keeps it"
        return f"{_unknown(bill)}; {where}, would tell"
    once = " if each takes one try" if bill.most_usd > bill.high_usd else ""
    known = f"{money_between(bill.low_usd, bill.high_usd)} ({bill.source}){once}"
    return f"{known}; price {_unknown(bill)}" if bill.unknown else known


def _unknown(bill: Bill) -> str:
    first, others = bill.models[0], len(bill.models) - 1
    more = f", and {others:,} more" if others else ""
    return f"unknown for {bill.unknown:,} of {count(bill.n_tasks, 'task')} (model {first}{more})"


def _prices(bill: Bill | None) -> dict[str, Any]:
    if bill is None:
        return {}
    is_told = not bill.is_unknown
    return {
        "price": price_text(bill),
        "price_low_usd": round(bill.low_usd, 6) if is_told else None,
        "price_high_usd": round(bill.high_usd, 6) if is_told else None,
        "price_most_usd": round(bill.most_usd, 6) if is_told else None,
        "price_source": bill.source or None,
        "price_unknown": bill.unknown,
    }


def _lines(plan: PlanView, style: Style) -> Iterator[str]:
    yield (
        f"{style(printable(plan.job), 'bold')}: {count(plan.tasks, 'task')}"
        f" with {printable(plan.provider)}, {printable(plan.model)}"
    )
    yield f"{plan.new:,} new · {plan.made:,} made · {plan.failed:,} failed{_whys(plan)}"
    yield _shape(plan)
    if plan.duplicates:
        told = plan.duplicates_told or f"{count(plan.duplicates, 'duplicate')} folded"
        yield style(printable(told), "yellow")
    least = "" if plan.at_the_limits_s is None else f": at least {duration(plan.at_the_limits_s)}"
    yield f"to send: {count(plan.to_send, 'request')}, {_limits(plan)}{least}"
    yield from map(_lane, plan.lanes)
    if plan.bill:
        yield f"price: {printable(price_text(plan.bill))}"
    yield from _disk(plan, style)
    yield f"output: {printable(plan.output)}"
    if plan.first:
        yield "next to send:" if 0 < plan.to_send < plan.tasks else "first:"
        yield from (
            f"  {printable(one.file)}  {style(_shown(one.prompt), 'dim')}" for one in plan.first
        )


def _whys(plan: PlanView) -> str:
    return f" ({reasons(plan.failed_by_why)})" if plan.failed else ""


def _shape(plan: PlanView) -> str:
    axes = [f"{printable(name)} {number:,}" for name, number in plan.axes]
    factors = [count(plan.rows, "prompt"), *axes, count(plan.samples, "sample")]
    return " x ".join(factors)


def _limits(plan: PlanView | LanePlan) -> str:
    limits = f"{plan.concurrency:,} at once"
    if plan.requests_per_minute is not None:
        limits += f", {plan.requests_per_minute:,g} requests a minute"
    if plan.images_per_minute is not None:
        limits += f", {plan.images_per_minute:,g} images a minute"
    return limits


def _lane(lane: LanePlan) -> str:
    weight = "" if lane.weight == 1 else f", weight {lane.weight:g}"
    return f"  {printable(lane.provider)}: {_limits(lane)}{weight}"


def _disk(plan: PlanView, style: Style) -> Iterator[str]:
    if plan.disk_free_bytes is None:
        return
    needed = plan.disk_needed_bytes
    about = "" if needed is None else f"about {size(needed)} needed, "
    told = f"disk: {about}{size(plan.disk_free_bytes)} free"
    if not plan.disk_lacks_bytes:
        yield told
        return
    lacking = f"{told}: too little by about {size(plan.disk_lacks_bytes)}"
    yield style(f"{lacking}; free some, or choose a folder on another disk with --out", "yellow")


def _shown(prompt: str) -> str:
    return printable(prompt, at_most=_PROMPT_CHARACTERS)
