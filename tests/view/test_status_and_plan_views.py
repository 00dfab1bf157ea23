"""``status`` and ``plan``, as a person reads them and as a program does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.view.plan import Bill, FirstTask, PlanView, plan_json, plan_text, price_text
from pipeline.view.status import status_json, status_text

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class _Attempt:
    number: int

    def told(self) -> dict[str, Any]:
        request_id = None if self.number % 2 else f"gen-{self.number}"
        return {"id": f"{self.number:04x}", "attempt": 1, "request_id": request_id}


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
    unanswered: Sequence[_Attempt] = ()


def test_status_of_a_folder_at_rest() -> None:
    assert status_text(_Standing()) == (
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
    told = status_text(_Standing(unanswered=attempts, maybe_billed=6))
    assert "maybe billed 6" in told
    assert (
        "never answered, so maybe billed: task 0004 (gen-4), task 0003, task 0002 (gen-2)"
        " and 2 more (--json)" in told
    )
    assert len(status_json(_Standing(unanswered=attempts))["maybe_billed_requests"]) == 5
    assert "(--json)" not in status_text(_Standing(unanswered=attempts[:3]))


def test_status_of_a_running_one_says_who_and_what_is_in_flight() -> None:
    told = status_text(_Standing(holder=_Holder(), is_running=True, in_flight=64))
    assert "running (pid 123 on host, since 2026-11-22 14:03 UTC)" in told
    assert "in flight 64" in told
    assert "rerun" not in told


def test_status_of_a_killed_one_says_so() -> None:
    told = status_text(_Standing(holder=_Holder(), is_stale=True))
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
    assert status_text(standing).splitlines()[1:] == [
        "made 0 of 0 · 0 images",
        "cost $0.00 · maybe billed 0",
    ]
    told = status_json(standing)
    assert (told["latency_p50_s"], told["images_per_s"]) == (None, None)


def test_status_for_programs_holds_the_integers_and_the_cost() -> None:
    told = status_json(_Standing(holder=_Holder(), is_running=True, running_pid=123))
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


def test_a_plan() -> None:
    assert plan_text(_plan()) == (
        "sunsets: 24 tasks with knox, google/gemini\n"
        "20 new · 3 made · 1 failed (refused 1)\n"
        "8 prompts x style 3 x 1 sample\n"
        "to send: 20 requests, 64 at once, 600 requests a minute: at least 2.0 s\n"
        "disk: about 36.0 MB needed, 84.0 GB free\n"
        "output: outputs/sunsets\n"
        "first:\n"
        f"  images/000/a.png  a  sunset {'x' * 61}…"
    )


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
