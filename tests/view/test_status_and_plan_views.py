"""``status`` and ``plan``, as a person reads them and as a program does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from telling import lane

from pipeline.core.ports import HeldBy
from pipeline.view.plan import Bill, FirstTask, LanePlan, PlanView, plan_json, plan_text, price_text
from pipeline.view.status import status_json, status_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.ports import LaneState

NOW = datetime(2026, 11, 22, 14, 0, 41, tzinfo=UTC)


@dataclass
class _Attempt:
    number: int

    def told(self) -> dict[str, Any]:
        request_id = None if self.number % 2 else f"gen-{self.number}"
        return {
            "id": f"{self.number:04x}",
            "attempt": 1 + self.number % 2,
            "run": "r",
            "at": f"2026-11-22T14:00:{self.number:02}.000Z",
            "model": "google/gemini",
            "prompt": f"a fox\x1b[2J, drawn {self.number} times",
            "request_id": request_id,
        }


@dataclass
class _Holder:
    since: str = "2026-11-22T14:03:00+00:00"

    def __str__(self) -> str:
        return "pid 123 on host, since 2026-11-22 14:03 UTC"


@dataclass
class _Standing:
    root: str = "outputs/sun sets"
    job: str | None = "sunsets"
    made: int = 5
    failed_by_why: dict[str, int] = field(default_factory=lambda: {"refused": 2, "lost": 1})
    failed: int = 3
    owed: int = 2
    unwanted: int = 1
    maybe_billed: int = 1
    cost_usd: float = 0.2
    n_cost_known: int = 8
    n_lines: int = 9
    n_images: int = 7
    latencies_s: list[float] = field(default_factory=lambda: [8.0] * 9)
    started_at: str | None = "2026-11-22T14:00:00.000Z"
    finished_at: str | None = "2026-11-22T14:00:03.500Z"
    last_images: int = 7
    holder: _Holder | None = None
    is_running: bool = False
    is_stale: bool = False
    running_pid: int | None = None
    in_flight: int | None = None
    flying: Sequence[_Attempt] = ()
    lanes: Sequence[LaneState] = ()
    unanswered: Sequence[_Attempt] = ()


def text_of(standing: _Standing) -> str:
    return status_text(standing, now=NOW)


def json_of(standing: _Standing) -> dict[str, Any]:
    return status_json(standing, now=NOW)


def running(n_out: int, *lanes: LaneState) -> _Standing:
    flying = [_Attempt(number) for number in range(n_out)]
    return _Standing(holder=_Holder(), is_running=True, in_flight=n_out, flying=flying, lanes=lanes)


def test_status_of_a_folder_at_rest() -> None:
    assert text_of(_Standing()) == (
        "outputs/sun sets · no run is going on\n"
        "made 5 of 10 · 7 images\n"
        "failed 3: refused 2, lost 1\n"
        "owed 2\n"
        "no longer wanted by the job: 1 task\n"
        "cost $0.20 (known for 8 of 9) · maybe billed 1\n"
        "2.0 images/s in the last run · latency p50 8.0 s, p95 8.0 s, p99 8.0 s\n"
        "failed ones again: imagebatch rerun 'outputs/sun sets'"
    )


def test_status_names_the_last_requests_that_were_never_answered() -> None:
    attempts = [_Attempt(number) for number in range(5)]
    told = text_of(_Standing(unanswered=attempts, maybe_billed=6))
    assert "maybe billed 6" in told
    assert (
        "never answered, so maybe billed: task 0004 (gen-4), task 0003, task 0002 (gen-2)"
        " and 2 more (--json)" in told
    )
    assert len(json_of(_Standing(unanswered=attempts))["maybe_billed_requests"]) == 5
    assert "(--json)" not in text_of(_Standing(unanswered=attempts[:3]))


def test_status_of_a_running_one_says_who_and_what_is_in_flight() -> None:
    told = text_of(running(3, lane(HeldBy.PACE, in_flight=3, per_minute=588.0, is_measured=True)))
    assert "running (pid 123 on host, since 2026-11-22 14:03 UTC)" in told
    assert (
        "\nin flight 3, the oldest for 41 s\n"
        "  task 0000, for 41 s, google/gemini: a fox [2J, drawn 0 times\n"
        "  task 0001, for 40 s, attempt 2, google/gemini: a fox [2J, drawn 1 times\n"
        "  task 0002, for 39 s, google/gemini: a fox [2J, drawn 2 times\n"
        "knox: 3 in flight, held back by the pace: 580 a minute, measured;"
        " more concurrency would not help\n"
    ) in told
    assert "2.0 images/s so far" in told
    assert "rerun" not in told


def test_status_shows_the_oldest_of_many_and_all_of_them_to_programs() -> None:
    told = text_of(running(30))
    assert "\nin flight 30, the oldest for 41 s\n" in told
    assert told.count("\n  task ") == 8
    assert "\n  and 22 more (--json)\n" in told
    assert [one["for_s"] for one in json_of(running(2))["in_flight_requests"]] == [41.0, 40.0]


def test_status_shows_every_lane_with_its_limit_and_what_holds_it_back() -> None:
    lanes = (
        lane(HeldBy.END, in_flight=2, per_minute=600.0),
        lane(HeldBy.SICK, "local\x1b[2J", in_flight=0, until_s=4.0),
    )
    told = text_of(running(0, *lanes))
    assert (
        "\nin flight 0\n"
        "knox: 2 in flight, nothing left to send; limit 600 a minute, as told\n"
        "local [2J: 0 in flight, the endpoint is unwell: one request at a time tries it,"
        " next in 4 s\n"
    ) in told
    first, _ = json_of(running(0, *lanes))["lanes"]
    assert first == {
        "lane": "knox",
        "in_flight": 2,
        "held_by": "end",
        "until_s": None,
        "requests_per_minute": 600.0,
        "window": None,
        "measured": False,
    }


def test_a_request_of_unknown_age_or_of_an_older_journal_is_listed_all_the_same() -> None:
    class _Old(_Attempt):
        def told(self) -> dict[str, Any]:
            return super().told() | {"at": "?", "model": "", "prompt": ""}

    standing = running(0)
    standing.flying = [_Old(0)]
    assert "\nin flight 1\n  task 0000\n" in text_of(standing)


def test_status_of_a_killed_one_says_so() -> None:
    told = text_of(_Standing(holder=_Holder(), is_stale=True))
    assert "the last run ended without finishing (pid 123" in told


def test_status_of_an_empty_folder() -> None:
    nothing: dict[str, Any] = {"made": 0, "failed": 0, "owed": 0, "unwanted": 0, "n_images": 0}
    standing = _Standing(
        **nothing,
        failed_by_why={},
        n_lines=0,
        n_cost_known=0,
        cost_usd=0.0,
        maybe_billed=0,
        latencies_s=[],
        started_at=None,
        finished_at=None,
    )
    assert text_of(standing).splitlines()[1:] == [
        "made 0 of 0 · 0 images",
        "cost $0.00 · maybe billed 0",
    ]
    told = json_of(standing)
    assert (told["latency_p50_s"], told["images_per_s"]) == (None, None)


def test_status_for_programs_holds_the_integers_and_the_cost() -> None:
    told = json_of(_Standing(holder=_Holder(), is_running=True, running_pid=123))
    for key, number in {"made": 5, "failed": 3, "owed": 2, "maybe_billed": 1}.items():
        assert told[key] == number
    assert told["cost_usd"] == 0.2
    assert told["by_why"] == {"refused": 2, "lost": 1}
    assert (told["running_pid"], told["stale"]) == (123, False)


def _plan(**changes: Any) -> PlanView:
    said: dict[str, Any] = {
        "job": "sunsets",
        "output": "outputs/sunsets",
        "provider": "knox",
        "model": "google/gemini",
        "rows": 8,
        "axes": (("style", 3),),
        "samples": 1,
        "tasks": 24,
        "new": 20,
        "made": 3,
        "failed_by_why": {"refused": 1},
        "to_send": 20,
        "duplicates": 0,
        "duplicates_told": None,
        "concurrency": 64,
        "requests_per_minute": 600.0,
        "at_the_limits_s": 2.0,
        "disk_needed_bytes": 36_000_000,
        "disk_free_bytes": 84_000_000_000,
        "first": (FirstTask(prompt="a \u202esunset\n" + "x" * 99, file="images/000/a.png"),),
    }
    return PlanView(**(said | changes))


def test_the_plan_of_a_pool_names_the_limits_of_each() -> None:
    knox = LanePlan(
        provider="knox",
        weight=2.0,
        concurrency=8,
        requests_per_minute=300.0,
        images_per_minute=None,
    )
    mine = replace(knox, provider="mine", weight=1.0, requests_per_minute=None)
    told = plan_text(_plan(lanes=(knox, mine)))
    assert "  knox: 8 at once, 300 requests a minute, weight 2\n  mine: 8 at once\n" in told
    assert [one["provider"] for one in plan_json(_plan(lanes=(knox, mine)))["lanes"]] == [
        "knox",
        "mine",
    ]


def test_a_plan() -> None:
    assert plan_text(_plan()) == (
        "sunsets: 24 tasks with knox, google/gemini\n"
        "20 new · 3 made · 1 failed (refused 1)\n"
        "8 prompts x style 3 x 1 sample\n"
        "to send: 20 requests, 64 at once, 600 requests a minute: at least 2.0 s\n"
        "disk: about 36.0 MB needed, 84.0 GB free\n"
        "output: outputs/sunsets\n"
        "next to send:\n"
        f"  images/000/a.png  a  sunset {'x' * 61}…"
    )


def test_a_plan_says_where_the_disk_is_too_small() -> None:
    told = plan_text(_plan(disk_free_bytes=6_000_000))
    assert (
        "\ndisk: about 36.0 MB needed, 6.0 MB free: too little by about 30.0 MB;"
        " free some, or choose a folder on another disk with --out\n"
    ) in told
    assert _plan(disk_free_bytes=None).disk_lacks_bytes == 0
    assert plan_json(_plan(disk_free_bytes=6_000_000))["disk_lacks_bytes"] == 30_000_000


def test_a_plan_says_what_was_folded_and_what_it_may_cost() -> None:
    told = plan_text(
        _plan(
            duplicates=3,
            duplicates_told="3 prompts are the same request as an earlier one",
            bill=_bill(),
            requests_per_minute=None,
            at_the_limits_s=None,
            disk_free_bytes=None,
            first=(),
        )
    )
    assert "3 prompts are the same request as an earlier one\n" in told
    assert "price: $0.78 (the profile's prices) if each takes one try\n" in told
    assert "to send: 20 requests, 64 at once\n" in told
    assert told.endswith("output: outputs/sunsets")


def _bill(**changes: Any) -> Bill:
    said: dict[str, Any] = {
        "n_tasks": 20,
        "low_usd": 0.78,
        "high_usd": 0.78,
        "most_usd": 3.9,
        "source": "the profile's prices",
    }
    return Bill(**(said | changes))


UNKNOWN = (
    "unknown for 20 of 20 tasks (model x, and 1 more); the profile's `prices`, or a list "
    "of models as `imagebatch models` keeps it, would tell"
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                "low_usd": 3.2,
                "high_usd": 4.0999,
                "most_usd": 4.0999,
                "source": "catalog of api.knox.chat, 2026-11-22; dearest reply seen $0.041",
            },
            "$3.20-$4.10 (catalog of api.knox.chat, 2026-11-22; dearest reply seen $0.041)",
        ),
        (
            {"unknown": 12, "models": ("x",), "most_usd": 0.78},
            "$0.78 (the profile's prices); price unknown for 12 of 20 tasks (model x)",
        ),
        (
            {"unknown": 20, "models": ("x", "y"), "source": ""},
            UNKNOWN,
        ),
        ({"n_tasks": 0, "low_usd": 0.0, "high_usd": 0.0}, "$0.00 (nothing to send)"),
    ],
)
def test_a_price_in_words(changes: dict[str, Any], told: str) -> None:
    assert price_text(_bill(**changes)) == told


def test_the_prices_of_a_plan_for_programs_are_null_where_nobody_knows_any() -> None:
    names = ("price_low_usd", "price_high_usd", "price_most_usd")
    told = plan_json(_plan(bill=_bill()))
    assert [told[name] for name in names] == [0.78, 0.78, 3.9]
    assert (told["price_source"], told["price_unknown"]) == ("the profile's prices", 0)
    told = plan_json(_plan(bill=_bill(unknown=20, models=("x",), source="")))
    assert [told[name] for name in names] == [None] * 3
    assert (told["price_source"], told["price_unknown"]) == (None, 20)


def test_a_plan_for_programs() -> None:
    told = plan_json(_plan())
    assert told["event"] == "plan"
    assert told["axes"] == {"style": 3}
    assert told["first"][0]["file"] == "images/000/a.png"
    assert (told["new"], told["made"], told["failed"]) == (20, 3, 1)
