"""The last lines of a run, as a person reads them and as a program does."""

from __future__ import annotations

from typing import Any

import pytest
from telling import back, failed, lane, made, sent, tried_again

from pipeline.core.model import Why
from pipeline.core.ports import HeldBy
from pipeline.core.prices import Price
from pipeline.view.report import Ending, next_command, summary_json, summary_text
from pipeline.view.tally import Tally
from pipeline.view.wording import Style


def _ending(**changes: Any) -> Ending:
    said: dict[str, Any] = {
        "wanted": 1632,
        "made": 1632,
        "failed_by_why": {},
        "owed": 0,
        "output": "outputs/sunsets",
        "again": "imagebatch run jobs/sunsets.yaml --limit 9",
        "exit_code": 0,
        "elapsed_s": 133.0,
        "cost_usd_in_all": 0.0,
    }
    return Ending(**(said | changes))


def _tally(n_made: int = 0, n_failed: int = 0) -> Tally:
    tally = Tally(wanted=1632, started_at=0.0)
    for number in range(n_made):
        tally.note(sent(number), 1.0)
        tally.note(back(), 1.0)
        tally.note(made(number, n_images=1 + (number < 8)), 1.0)
    for number in range(n_failed):
        tally.note(sent(number), 1.0)
        tally.note(back(None, is_maybe_billed=number < 3), 1.0)
        tally.note(failed(number, cost_usd=None), 1.0)
    return tally


def test_a_run_that_made_everything() -> None:
    assert summary_text(_ending(cost_usd_in_all=65.28), _tally(1632)) == (
        "made 1632 of 1632 · 1,640 images\n"
        "cost $65.28\n"
        "12.3 images/s · 2 min 13 s · 1,632 requests · latency p50 8.0 s, p95 8.0 s\n"
        "output: outputs/sunsets  (manifest.jsonl, images/)\n"
        "next: imagebatch status outputs/sunsets"
    )


def test_a_run_with_failures_retries_and_an_earlier_run() -> None:
    tally = _tally(80, 12)
    tally.note(tried_again(Why.THROTTLED), 1.0)
    ending = _ending(
        made=1620, failed_by_why={"no_image": 2, "refused": 10}, exit_code=3, cost_usd_in_all=9.6
    )
    assert summary_text(ending, tally) == (
        "made 1620 of 1632 · 80 of them in this run · 88 images\n"
        "failed 12: refused 10, no_image 2\n"
        "tried again 1: throttled 1\n"
        "cost $3.20 and 3 requests of unknown cost ($3.20-$3.32) · $9.60 over all runs"
        " · maybe billed 3\n"
        "0.66 images/s (39.7 a minute) · 2 min 13 s · 92 requests · latency p50 8.0 s, p95 8.0 s\n"
        "output: outputs/sunsets  (manifest.jsonl, images/)\n"
        "next: imagebatch run jobs/sunsets.yaml --limit 9"
    )


def _untold(*, n_made: int, n_failed: int) -> Tally:
    """A run whose provider tells no cost."""
    tally = Tally(wanted=9, started_at=0.0)
    for number in range(n_made):
        tally.note(back(None), 1.0)
        tally.note(made(number, cost_usd=None, n_unpriced=1), 1.0)
    for number in range(n_failed):
        tally.note(back(None), 1.0)
        tally.note(failed(number, Why.NO_IMAGE, cost_usd=None, n_unpriced=1), 1.0)
    return tally


def test_images_of_unknown_cost_have_cost_the_least_and_other_replies_maybe_nothing() -> None:
    price = Price(low_usd=0.03, high_usd=0.05, source="s")
    ending, tally = _ending(price=price, n_cut_off=1), _untold(n_made=2, n_failed=1)
    assert "\ncost $0.00 and 4 requests of unknown cost ($0.06-$0.20) · " in summary_text(
        ending, tally
    )
    told = summary_json(ending, tally)
    assert (told["cost_usd"], told["cost_usd_low"], told["cost_usd_high"]) == (0, 0.06, 0.2)
    assert told["unknown_cost"] == 4


def test_where_nobody_knows_a_price_there_is_no_range() -> None:
    ending, tally = _ending(), _untold(n_made=1, n_failed=0)
    assert "\ncost $0.00 and 1 request of unknown cost\n" in summary_text(ending, tally)
    told = summary_json(ending, tally)
    assert told["cost_usd_low"] is told["cost_usd_high"] is None


def test_what_failed_before_anything_was_made_is_of_no_unknown_cost() -> None:
    tally = Tally(wanted=1, started_at=0.0)
    tally.note(back(None), 1.0)
    tally.note(failed(why=Why.REJECTED, cost_usd=None), 1.0)
    assert "\ncost $0.00\n" in summary_text(_ending(), tally)


def test_a_cost_that_is_known_is_its_own_range() -> None:
    told = summary_json(_ending(), _tally(2))
    assert told["cost_usd_low"] == told["cost_usd_high"] == told["cost_usd"] == 0.08


def test_the_limit_that_was_found_out_is_named_with_what_saves_finding_it_out_again() -> None:
    tally = _tally(2)
    tally.note(lane(HeldBy.PACE, per_minute=600.0), 1.0)
    assert "saves" not in summary_text(_ending(), tally)
    tally.note(lane(HeldBy.END, per_minute=588.0, is_measured=True), 1.0)
    assert (
        "\nthe provider lets through about 580 a minute:"
        " limits.requests_per_minute: 580 saves the finding out\noutput:"
    ) in summary_text(_ending(), tally)
    (told,) = summary_json(_ending(), tally)["lanes"]
    assert (told["requests_per_minute"], told["measured"]) == (588.0, True)


def test_a_run_with_nothing_to_do_says_so() -> None:
    assert summary_text(_ending(cost_usd_in_all=3.2), _tally()) == (
        "made 1632 of 1632 · nothing was sent: they were there already\n"
        "cost $0.00 · $3.20 over all runs\n"
        "output: outputs/sunsets  (manifest.jsonl, images/)\n"
        "next: imagebatch status outputs/sunsets"
    )


def test_a_stopped_run_says_why_and_never_takes_more_than_12_lines() -> None:
    ending = _ending(
        made=3,
        owed=9,
        failed_by_why={str(why): 1 for why in Why},
        exit_code=130,
        reason="Ctrl-C\x1b[2J",
        n_cut_off=2,
    )
    tally = _tally(3, 1)
    tally.note(tried_again(), 1.0)
    tally.note(lane(HeldBy.END, per_minute=588.0, is_measured=True), 1.0)
    told = summary_text(ending, tally).splitlines()
    assert len(told) <= 12
    assert "owed 9: not settled yet" in told
    assert "stopped: Ctrl-C [2J" in told
    assert "maybe billed 3" in summary_text(ending, tally)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "imagebatch status outputs/sunsets"),
        ({"output": "my outputs/a'b"}, "imagebatch status 'my outputs/a'\"'\"'b'"),
        ({"owed": 1}, "imagebatch run jobs/sunsets.yaml --limit 9"),
        ({"exit_code": 4}, "imagebatch run jobs/sunsets.yaml --limit 9"),
        (
            {"failed_by_why": {"lost": 1, "refused": 3}},
            "imagebatch run jobs/sunsets.yaml --limit 9",
        ),
        (
            {"failed_by_why": {"rejected": 1, "refused": 3, "lost": 0}, "exit_code": 3},
            "imagebatch rerun outputs/sunsets --why refused,rejected",
        ),
    ],
)
def test_the_next_command_is_the_one_that_gets_on(changes: dict[str, Any], told: str) -> None:
    assert next_command(_ending(**changes)) == told


def test_the_summary_for_programs_has_every_key() -> None:
    ending = _ending(made=2, failed_by_why={"refused": 1}, exit_code=3, n_cut_off=1)
    told = summary_json(ending, _tally(2, 1))
    assert told["event"] == "summary"
    assert (told["made"], told["failed"], told["owed"], told["maybe_billed"]) == (2, 1, 0, 2)
    assert (told["requests"], told["images"], told["cost_usd"]) == (3, 4, 0.08)
    assert set(told) >= {
        "failed_by_why",
        "images_per_s",
        "elapsed_s",
        "retries",
        "output",
        "next",
        "exit_code",
        "reason",
    }


def test_colour_is_there_only_where_it_is_asked_for() -> None:
    assert "\x1b" not in summary_text(_ending(), _tally(2))
    assert "\x1b[32mmade 1632 of 1632\x1b[0m" in summary_text(
        _ending(), _tally(2), style=Style(is_on=True)
    )
