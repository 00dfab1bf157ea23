"""What a run would do, as text or JSON, before anything is sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.view.wording import Style, count, duration, money, printable, reasons, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLAIN = Style()
_PROMPT_CHARACTERS = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTask:
    """One of the first tasks, as it would be sent and kept."""

    prompt: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """Everything ``plan`` tells.

    ``tasks`` = ``new`` + ``made`` + the failed. ``to_send``: what a run would ask for now: the new
    and those of the failed that may succeed. ``axes``: name and size of each matrix axis.
    ``duplicates``: tasks folded into an earlier one, ``duplicates_told`` the same in words.
    ``at_the_limits_s``: the shortest time the job's own limits allow for ``to_send``. ``price``:
    what that may cost, with its source, in words; ``price_low_usd`` and ``price_high_usd`` the
    same in US dollars and ``price_source`` who says so, all None where nobody does.
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
    price: str | None = None
    price_low_usd: float | None = None
    price_high_usd: float | None = None
    price_source: str | None = None

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())


def plan_text(plan: PlanView, *, style: Style = _PLAIN) -> str:
    """The lines of ``plan``."""
    return "\n".join(_lines(plan, style))


def plan_json(plan: PlanView) -> dict[str, Any]:
    """The object of ``plan --json``: every field under its name, times in seconds."""
    told = asdict(plan)
    told["axes"] = dict(plan.axes)
    told["failed_by_why"] = dict(plan.failed_by_why)
    told["first"] = [asdict(one) for one in plan.first]
    return {"event": "plan", **told, "failed": plan.failed}


def price_text(n_requests: int, low_usd: float, high_usd: float, source: str) -> str:
    """What so many requests cost at a price each: ``about $0.78 at $0.039 each (profile)``.

    ``low_usd`` and ``high_usd`` are of one request, and differ where models do.
    """
    sums, prices = money(n_requests * low_usd), f"${low_usd:.4g}"
    if low_usd != high_usd:
        sums = f"{sums} to {money(n_requests * high_usd)}"
        prices = f"{prices} to ${high_usd:.4g}"
    return f"about {sums} at {prices} each ({source})"


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
    yield _limits(plan)
    if plan.price:
        yield f"price: {printable(plan.price)}"
    yield from _disk(plan)
    yield f"output: {printable(plan.output)}"
    if plan.first:
        yield "first:"
        yield from (
            f"  {printable(one.file)}  {style(_shown(one.prompt), 'dim')}" for one in plan.first
        )


def _whys(plan: PlanView) -> str:
    return f" ({reasons(plan.failed_by_why)})" if plan.failed else ""


def _shape(plan: PlanView) -> str:
    axes = [f"{printable(name)} {number:,}" for name, number in plan.axes]
    factors = [count(plan.rows, "prompt"), *axes, count(plan.samples, "sample")]
    return " x ".join(factors)


def _limits(plan: PlanView) -> str:
    minute = plan.requests_per_minute
    limits = f"{plan.concurrency:,} at once"
    if minute is not None:
        limits += f", {minute:,g} requests a minute"
    least = "" if plan.at_the_limits_s is None else f": at least {duration(plan.at_the_limits_s)}"
    return f"to send: {count(plan.to_send, 'request')}, {limits}{least}"


def _disk(plan: PlanView) -> Iterator[str]:
    if plan.disk_free_bytes is None:
        return
    needed = plan.disk_needed_bytes
    about = "" if needed is None else f"about {size(needed)} needed, "
    yield f"disk: {about}{size(plan.disk_free_bytes)} free"


def _shown(prompt: str) -> str:
    return printable(prompt, at_most=_PROMPT_CHARACTERS)
