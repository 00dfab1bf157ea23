"""How a run ended, in at most 12 lines or as JSON: what is there, what it cost, what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.core.model import FINAL_WHYS
from pipeline.view.hold import lane_object, measured_text
from pipeline.view.wording import (
    Style,
    count,
    duration,
    money,
    money_between,
    printable,
    rate,
    reasons,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.core.prices import Price
    from pipeline.view.tally import Tally

_PLAIN = Style()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run left its folder.

    ``made``, ``failed_by_why`` and ``owed`` count the ``wanted`` tasks as they stand now, whichever
    run settled them, ``unwanted`` what is there beside them. ``output``: the folder as the user
    names it. ``again``: the command that goes
    on, ready to paste; ``rerun``: the one for what failed for good, None for all of it.
    ``reason``: why the run stopped early, None where it did not. ``n_cut_off``: requests it left
    unanswered then, which may be billed too. ``price``: of a request of unknown cost, None: as the
    replies of this run. ``*_in_all`` count every run of the folder.
    """

    wanted: int
    made: int
    failed_by_why: Mapping[str, int]
    owed: int
    output: str
    again: str
    exit_code: int
    elapsed_s: float
    cost_usd_in_all: float
    maybe_billed_in_all: int = 0
    unwanted: int = 0
    rerun: str | None = None
    reason: str | None = None
    n_cut_off: int = 0
    price: Price | None = None

    @property
    def failed(self) -> int:
        """How many failed in all."""
        return sum(self.failed_by_why.values())


def next_command(ending: Ending) -> str:
    """The exact command to run next, fit for a shell.

    What may still succeed is asked for by the same command again; what failed for good only by
    ``rerun``; where nothing is left to do, ``status`` shows it.
    """
    folder = shlex.quote(ending.output)
    failed = {why for why, number in ending.failed_by_why.items() if number}
    if ending.owed or failed - FINAL_WHYS or ending.exit_code not in {0, 3}:
        return ending.again
    if failed:
        return ending.rerun or f"imagebatch rerun {folder} --why {','.join(sorted(failed))}"
    return f"imagebatch status {folder}"


def summary_text(ending: Ending, tally: Tally, *, style: Style = _PLAIN) -> str:
    """The last lines of a run."""
    return "\n".join(_lines(ending, tally, style))


def summary_json(ending: Ending, tally: Tally) -> dict[str, Any]:
    """The last object of ``--json``. ``*_now``, requests, rates and cost are this run's alone.

    ``cost_usd`` is what replies told, ``cost_usd_low`` and ``cost_usd_high`` the least and the most
    it may be with the requests of ``unknown_cost``; None where nobody knows what those cost.
    """
    cost = cost_between(ending, tally)
    return {
        "event": "summary",
        "made": ending.made,
        "failed": ending.failed,
        "failed_by_why": dict(ending.failed_by_why),
        "owed": ending.owed,
        "wanted": ending.wanted,
        "unwanted": ending.unwanted,
        "maybe_billed": tally.maybe_billed + ending.n_cut_off,
        "maybe_billed_in_all": ending.maybe_billed_in_all,
        "cost_usd": round(tally.cost_usd, 6),
        "cost_usd_low": None if cost is None else round(cost[0], 6),
        "cost_usd_high": None if cost is None else round(cost[1], 6),
        "unknown_cost": n_of_unknown_cost(ending, tally),
        "cost_usd_in_all": round(ending.cost_usd_in_all, 6),
        "made_now": tally.made,
        "failed_now": tally.failed,
        "images": tally.images,
        "images_per_s": round(tally.images / max(ending.elapsed_s, 1e-3), 3),
        "elapsed_s": round(ending.elapsed_s, 3),
        "latency_p50_s": tally.latency.at(0.50),
        "latency_p95_s": tally.latency.at(0.95),
        "requests": tally.requests,
        "retries": tally.retries,
        "retries_by_why": dict(tally.retries_by_why),
        "lanes": [lane_object(lane) for lane in tally.lanes],
        "output": ending.output,
        "next": next_command(ending),
        "exit_code": ending.exit_code,
        "reason": ending.reason,
    }


def n_of_unknown_cost(ending: Ending, tally: Tally) -> int:
    """How many requests of the run cost nobody knows what: some nothing, maybe."""
    return tally.untold_made + tally.untold_failed + ending.n_cut_off


def cost_between(ending: Ending, tally: Tally) -> tuple[float, float] | None:
    """The least and the most that the run cost, in US dollars; None where nobody can say.

    An image that was made has cost the cheapest price at least; anything else maybe nothing.
    """
    n_unknown, told = n_of_unknown_cost(ending, tally), tally.replies_usd
    if not n_unknown:
        return tally.cost_usd, tally.cost_usd
    prices = [told] if told else []
    if ending.price:
        prices.append((ending.price.low_usd, ending.price.high_usd))
    if not prices:
        return None
    low_usd, high_usd = min(low for low, _ in prices), max(high for _, high in prices)
    return tally.cost_usd + tally.untold_made * low_usd, tally.cost_usd + n_unknown * high_usd


def _lines(ending: Ending, tally: Tally, style: Style) -> Iterator[str]:
    is_whole = ending.made == ending.wanted
    yield _joined([style(_made(ending), "green" if is_whole else "bold"), *_news(ending, tally)])
    if ending.failed:
        told = f"failed {ending.failed}: {reasons(ending.failed_by_why)}"
        yield style(told, "red")
    if ending.owed:
        yield style(f"owed {ending.owed}: not settled yet", "yellow")
    if tally.retries:
        yield f"tried again {tally.retries:,}: {reasons(tally.retries_by_why)}"
    yield _joined(_costs(ending, tally))
    if tally.requests:
        yield _joined(_pace(ending, tally))
    if measured := measured_text(tally.lanes):
        yield measured
    if ending.reason:
        yield style(f"stopped: {printable(ending.reason)}", "yellow")
    yield f"output: {printable(ending.output)}  (manifest.jsonl, images/)"
    yield style(f"next: {next_command(ending)}", "bold")


def _made(ending: Ending) -> str:
    return f"made {ending.made} of {ending.wanted}"


def _news(ending: Ending, tally: Tally) -> Iterator[str]:
    if tally.made and tally.made != ending.made:
        yield f"{tally.made:,} of them in this run"
    if tally.images and (tally.images != tally.made or tally.made == ending.made):
        yield count(tally.images, "image")
    if not tally.requests and ending.made:
        yield "nothing was sent: they were there already"
    if ending.unwanted:
        yield f"{ending.unwanted:,} no longer wanted"


def _costs(ending: Ending, tally: Tally) -> Iterator[str]:
    yield f"cost {money(tally.cost_usd)}{_of_unknown_cost(ending, tally)}"
    if ending.cost_usd_in_all - tally.cost_usd >= 5e-7:
        yield f"{money(ending.cost_usd_in_all)} over all runs"
    maybe_billed = tally.maybe_billed + ending.n_cut_off
    if ending.maybe_billed_in_all > maybe_billed:
        yield f"maybe billed {maybe_billed} ({ending.maybe_billed_in_all} over all runs)"
    elif maybe_billed:
        yield f"maybe billed {maybe_billed}"


def _of_unknown_cost(ending: Ending, tally: Tally) -> str:
    number = n_of_unknown_cost(ending, tally)
    if not number:
        return ""
    between = cost_between(ending, tally)
    told = f" ({money_between(*between)})" if between else ""
    return f" and {count(number, 'request')} of unknown cost{told}"


def _pace(ending: Ending, tally: Tally) -> Iterator[str]:
    yield rate(tally.images / max(ending.elapsed_s, 1e-3))
    yield duration(ending.elapsed_s)
    yield count(tally.requests, "request")
    middle, slow = tally.latency.at(0.50), tally.latency.at(0.95)
    if middle is not None and slow is not None:
        yield f"latency p50 {duration(middle)}, p95 {duration(slow)}"


def _joined(words: Iterable[str]) -> str:
    return " · ".join(words)
