"""What no retry would change is found with what is in flight; the rest stays owed."""

from __future__ import annotations

import base64
import io
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from commands import check_whole, ended, next_event
from PIL import Image
from scripted import Script, scripted

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from commands import Desk, Serving
    from scripted import Scripted

N_TASKS, CONCURRENCY, N_SOUND = 200, 16, 40
MORE = f"limits: {{concurrency: {CONCURRENCY}}}\n"


def picture() -> str:
    """A small PNG as a data URL."""
    target = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(target, "PNG")
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


SOUND = json.dumps(
    {"choices": [{"message": {"images": [{"image_url": {"url": picture()}}]}}]}
).encode()
PAGE = b"<html><head><title>Access denied</title></head></html>"


def error(code: int, message: str, **more: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a provider says from some request on, and what becomes of the run.

    ``n_more``: how many requests may follow the first such answer beside those in flight.
    """

    name: str
    status: int
    body: bytes
    code: int
    says: tuple[str, ...]
    n_more: int = 0


CASES = [
    Case(
        name="credit",
        status=402,
        body=error(402, "Insufficient credits"),
        code=77,
        says=("Add credit", "then run again", "Insufficient credits"),
    ),
    Case(
        name="key",
        status=401,
        body=error(401, "User not found."),
        code=77,
        says=("refuses this key", "Check the key, then run again"),
    ),
    Case(
        name="permission",
        status=403,
        body=error(403, "This token is not authorized to use model: m"),
        code=77,
        says=("may not use this model", "choose another model"),
    ),
    Case(
        name="model",
        status=404,
        body=error(404, "No endpoints found for m"),
        code=78,
        says=("cannot serve this model", "imagebatch models"),
    ),
    Case(
        name="model gone, with others to choose",
        status=404,
        body=error(404, "Gone", availability={"retryable": False, "fallback_models": ["m/two"]}),
        code=78,
        says=("cannot serve this model", "Available instead: m/two"),
    ),
    Case(
        name="daily quota",
        status=429,
        body=error(429, "Slow", metadata={"limit_source": "openrouter_free_tier_daily"}),
        code=4,
        says=("daily quota is used up. Run again when it resets", "00:00 UTC"),
    ),
    Case(
        name="redirect",
        status=307,
        body=b"",
        code=78,
        says=("redirects, which is never followed", "base_url"),
    ),
    Case(
        name="firewall",
        status=403,
        body=PAGE,
        code=69,
        says=("a firewall answers", "try another network"),
        n_more=1,
    ),
]


def playing(case: Case, *, n_sound: int) -> AbstractContextManager[Scripted]:
    """A provider that serves so many images, then says the same to everybody.

    Its model list comes first: that is asked for before any image.
    """
    models = Script.whole(b'{"data": []}')
    sound = (Script().pause(0.03).head(content_length=len(SOUND)).send(SOUND),) * n_sound
    kind = "text/html" if case.body == PAGE else "application/json"
    last = Script.whole(case.body, case.status, content_type=kind)
    return in_a_thread(lambda: scripted(*(models,) * 2, *sound, last))


@pytest.mark.parametrize("n_sound", [0, N_SOUND], ids=["at once", "in mid-run"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_run_stops_with_what_is_in_flight_and_the_rest_stays_owed(
    desk: Desk, case: Case, n_sound: int
) -> None:
    with playing(case, n_sound=n_sound) as there:
        desk.job([f"p{n}" for n in range(N_TASKS)], base_url=there.base_url, more=MORE)
        told = desk.run("run", "job.yaml", "--json")
        asked = [one for one in there.requests if one.method == "POST"]
    n_made = told.summary["made"]
    n_after = sum(one.at > asked[n_sound].at for one in asked)
    assert n_after <= CONCURRENCY + case.n_more
    assert (told.code, told.summary["failed"]) == (case.code, 0)
    assert told.summary["owed"] == N_TASKS - n_made
    assert n_made <= n_sound
    assert all(words in told.summary["reason"] for words in case.says), told.summary["reason"]
    assert told.summary["next"] == "imagebatch run job.yaml"
    assert [line["status"] for line in desk.lines] == ["made"] * n_made
    check_whole(desk.out)


@pytest.mark.parametrize("case", CASES[-1:], ids=["firewall"])
def test_a_firewalls_page_that_passes_stops_nothing(desk: Desk, case: Case) -> None:
    """One page for each request in flight; who looks once more finds the way free."""
    models = Script.whole(b'{"data": []}')
    page = Script.whole(case.body, case.status, content_type="text/html")
    sound = Script.whole(SOUND)
    with in_a_thread(lambda: scripted(models, models, *(page,) * 4, sound)) as there:
        more = "limits: {concurrency: 4}\n"
        desk.job([f"p{n}" for n in range(12)], base_url=there.base_url, more=more)
        told = desk.run("run", "job.yaml", "--json")
    assert (told.code, told.summary["made"]) == (0, 12)
    assert sum(one.method == "POST" for one in there.requests) == 16


def test_an_endpoint_that_goes_down_in_mid_run_ends_it_and_the_next_run_goes_on(
    desk: Desk, provider: Serving
) -> None:
    settings = Simulation(latency_s=0.05, latency_p99_s=0.1, image_size="32x32")
    retry = "retry: {attempts: 2, max_wait: 0.05}\nstop: {failures_in_a_row: 5}\n"
    with ExitStack() as open_for_now:
        there = open_for_now.enter_context(provider(settings))
        prompts = [f"p{n}" for n in range(N_TASKS)]
        desk.job(prompts, base_url=there.base_url, more=MORE + retry)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            open_for_now.close()
            told = ended(process)
    summary = told.objects[-1]
    assert (told.code, summary["exit_code"]) == (4, 4)
    assert "5 tasks in a row failed by the provider's fault" in summary["reason"]
    assert "Run again when it is well" in summary["reason"]
    assert 5 <= summary["failed"] < 5 + CONCURRENCY
    assert set(summary["failed_by_why"]) <= {"unreachable", "lost"}
    assert summary["owed"] == N_TASKS - summary["made"] - summary["failed"]
    with provider(settings) as there:
        desk.provider(there.base_url)
        assert desk.run("run", "job.yaml").code == 0
    check_whole(desk.out)


def test_failures_in_a_row_are_counted_for_each_run_by_itself(
    desk: Desk, provider: Serving
) -> None:
    """What failed in a row is tried again, and the breaker is closed at the start."""
    broken = Simulation(latency_s=0, image_size="32x32", rules=(FaultRule(fault="server_error"),))
    more = "retry: {attempts: 1}\nstop: {failures_in_a_row: 3}\nlimits: {concurrency: 1}\n"
    with provider(broken) as there:
        desk.job([f"p{n}" for n in range(10)], base_url=there.base_url, more=more)
        for _ in range(2):
            before = there.bill()["requests"]
            told = desk.run("run", "job.yaml", "--json")
            assert (told.code, there.bill()["requests"] - before) == (4, 3)
            assert (told.summary["failed"], told.summary["owed"]) == (3, 7)
