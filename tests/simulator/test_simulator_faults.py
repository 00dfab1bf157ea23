"""Every fault plays as its name says, by share and by rule, the same in every run."""

from __future__ import annotations

import asyncio
import io
import time
from base64 import b64decode
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.core.simulation import FAULTS, FaultRule, Simulation, flaws_of, simulation_of
from pipeline.provider.simulator.admission import Admission
from pipeline.provider.simulator.asked import Asked
from pipeline.provider.simulator.chance import latency_of
from pipeline.provider.simulator.fate import Turn, fault_of
from pipeline.provider.simulator.faults import PLAYS

if TYPE_CHECKING:
    from collections.abc import Callable

STATUSES = {
    "server_error": 500,
    "bad_gateway": 502,
    "overloaded": 503,
    "gateway_timeout": 524,
    "throttled": 429,
    "daily_quota": 429,
    "unauthorized": 401,
    "no_credit": 402,
    "forbidden_model": 403,
    "firewall": 403,
    "moderated": 403,
    "no_model": 404,
    "bad_request": 400,
    "redirect": 307,
}
OF_THE_PROMPT = {
    "moderated",
    "refused",
    "bad_request",
    "too_large",
    "error_as_detail",
    "declined_in_words",
}


def playing(fault: str, **settings: Any) -> Simulation:
    plan: dict[str, Any] = {"latency_s": 0, "image_size": "96x96", "faults": {fault: 1.0}}
    return Simulation(**{**plan, **settings})


async def post(base_url: str, *, stream: bool = False) -> tuple[int, Any, bytes]:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "a hat"}]}
    patience = aiohttp.ClientTimeout(total=0.4)
    async with (
        aiohttp.ClientSession(timeout=patience) as session,
        session.post(f"{base_url}/chat/completions", json=body, allow_redirects=False) as response,
    ):
        return response.status, response.headers, await response.read()


def test_every_fault_that_is_named_can_be_played() -> None:
    assert set(PLAYS) == set(FAULTS)
    assert {name for name, play in PLAYS.items() if play.is_of_the_prompt} == OF_THE_PROMPT


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", STATUSES)
async def test_a_fault_of_the_status_answers_with_it(
    simulator: Any, fault: str, *, stream: bool
) -> None:
    async with simulator(playing(fault, retry_after_s=1.2)) as base_url:
        status, headers, body = await post(base_url, stream=stream)
        assert status == STATUSES[fault]
        assert ("Retry-After" in headers) == (fault in {"overloaded", "throttled"})
        assert headers.get("Retry-After", "2") == "2"
        if headers["Content-Type"].startswith("application/json") and body:
            assert orjson.loads(body)["error"]["code"] == status
        assert base_url.bill()["by_fault"] == {fault: 1}
        assert base_url.bill()["by_status"] == {str(status): 1}


def message_in(body: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(body)["choices"][0]["message"]
    return message


def is_text_only(body: bytes) -> bool:
    return "images" not in message_in(body) and len(message_in(body)["content"]) > 20


def is_refused(body: bytes) -> bool:
    choice = orjson.loads(body)["choices"][0]
    reasons = (choice["finish_reason"], choice["native_finish_reason"])
    return reasons == ("content_filter", "IMAGE_SAFETY") and bool(choice["message"]["refusal"])


def is_not_base64(body: bytes) -> bool:
    url = message_in(body)["images"][0]["image_url"]["url"]
    with pytest.raises(ValueError, match=r"(?i)base64"):
        b64decode(url.partition(",")[2], validate=True)
    return True


def is_half_an_image(body: bytes) -> bool:
    url = message_in(body)["images"][0]["image_url"]["url"]
    png = b64decode(url.partition(",")[2], validate=True)
    with pytest.raises(OSError, match="truncated"), Image.open(io.BytesIO(png)) as image:
        image.load()
    return True


def is_half_json(body: bytes) -> bool:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    return body.startswith(b"{")


LOOKS: dict[str, Callable[[bytes], bool]] = {
    "text_only": is_text_only,
    "refused": is_refused,
    "no_choices": lambda body: orjson.loads(body)["choices"] == [],
    "error_in_200": lambda body: orjson.loads(body)["error"]["code"] == 429,
    "error_in_choice": lambda body: orjson.loads(body)["choices"][0]["error"]["code"] == 502,
    "empty": lambda body: body == b"",
    "html": lambda body: body.startswith(b"<html>"),
    "half_json": is_half_json,
    "bad_base64": is_not_base64,
    "cut_image": is_half_an_image,
}


@pytest.mark.parametrize("fault", LOOKS)
async def test_a_fault_inside_a_200_looks_as_its_name_says(simulator: Any, fault: str) -> None:
    async with simulator(playing(fault)) as base_url:
        status, _, body = await post(base_url)
        assert status == 200
        assert LOOKS[fault](body)
        generated = {"text_only", "bad_base64", "cut_image"}
        assert base_url.bill()["billed"] == int(fault in generated)


@pytest.mark.parametrize(
    ("fault", "token"),
    [
        ("text_only", b'"finish_reason":"stop"'),
        ("refused", b"IMAGE_SAFETY"),
        ("error_in_200", b'"error":{"code":429'),
        ("error_in_choice", b'"error":{"code":502'),
        ("no_choices", b"[DONE]"),
    ],
)
async def test_a_fault_inside_a_stream_brings_no_image(
    simulator: Any, fault: str, token: bytes
) -> None:
    async with simulator(playing(fault)) as base_url:
        status, _, body = await post(base_url, stream=True)
        assert status == 200
        assert token in body
        assert b"data:image" not in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ("cut", aiohttp.ClientPayloadError, 1),
        ("stall", TimeoutError, 1),
        ("hang", TimeoutError, 0),
        ("reset", aiohttp.ClientOSError, 0),
    ],
)
async def test_a_fault_of_the_connection_breaks_it(
    simulator: Any, fault: str, error: type[Exception], billed: int, *, stream: bool
) -> None:
    async with simulator(playing(fault)) as base_url:
        with pytest.raises(error):
            await post(base_url, stream=stream)
        assert base_url.bill()["billed"] == billed


async def test_a_server_ends_at_once_although_requests_hang(simulator: Any) -> None:
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        async with simulator(playing("hang")) as base_url:
            body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

            async def hanging() -> None:
                with pytest.raises(aiohttp.ClientError):
                    await session.post(f"{base_url}/chat/completions", json=body)

            group.create_task(hanging())
            async with session.get(f"{base_url}/models") as response:
                await response.read()
            started = time.monotonic()
        assert time.monotonic() - started < 2


async def test_a_retry_meets_another_fate_but_a_refused_prompt_stays_refused(
    simulator: Any,
) -> None:
    rules = (FaultRule(fault="server_error", attempt=1),)
    async with simulator(playing("text_only", faults={}, rules=rules)) as base_url:
        assert [(await post(base_url))[0] for _ in range(3)] == [500, 200, 200]
    async with simulator(playing("moderated", faults={"moderated": 1.0})) as base_url:
        assert [(await post(base_url))[0] for _ in range(3)] == [403, 403, 403]


def turn(prompt: str, attempt: int = 1, request: int = 1) -> Turn:
    asked = Asked(model="m", prompt=prompt, size=(1, 1), is_streamed=False, key=f"key {prompt}")
    return Turn(asked=asked, attempt=attempt, request=request)


def test_shares_come_out_about_as_configured() -> None:
    faults = {"server_error": 0.1, "cut": 0.05, "refused": 0.2}
    plan = Simulation(faults=faults)
    met = Counter(fault_of(turn(f"prompt {n}"), plan) for n in range(4000))
    assert met["refused"] == pytest.approx(800, rel=0.15)
    assert met["server_error"] == pytest.approx(320, rel=0.25)
    assert met["cut"] == pytest.approx(160, rel=0.35)


@given(prompt=st.text(), seed=st.integers(), attempts=st.integers(2, 9))
def test_a_fate_depends_on_nothing_but_seed_body_and_attempt(
    prompt: str, seed: int, attempts: int
) -> None:
    plan = Simulation(seed=seed, faults={"refused": 0.5, "reset": 0.5})
    fates = [fault_of(turn(prompt, n), plan) for n in range(attempts)]
    assert fates == [fault_of(turn(prompt, n, request=7), plan) for n in range(attempts)]
    assert len({fate == "refused" for fate in fates}) == 1
    assert all(fate in {"refused", "reset", None} for fate in fates)


def test_the_first_rule_whose_conditions_all_hold_comes_before_the_shares() -> None:
    rules = (
        FaultRule(fault="cut", prompt="cat", attempt=1),
        FaultRule(fault="empty", request=3),
        FaultRule(fault="html", prompt="dog", rate=0.0),
    )
    plan = Simulation(rules=rules, faults={"hang": 1.0})
    assert fault_of(turn("a cat"), plan) == "cut"
    assert fault_of(turn("a cat", attempt=2), plan) == "hang"
    assert fault_of(turn("a cat", attempt=2, request=3), plan) == "empty"
    assert fault_of(turn("a dog"), plan) == "hang"


def test_a_simulation_survives_json() -> None:
    plan = Simulation(rules=(FaultRule(fault="cut", attempt=2),), faults={"html": 0.5})
    assert simulation_of(orjson.loads(orjson.dumps(asdict(plan)))) == plan


def test_sound_settings_have_no_flaws_and_flaws_are_all_told() -> None:
    assert flaws_of(Simulation()) == ()
    flaws = flaws_of(
        Simulation(
            faults={"nope": 0.1, "cut": 0.6, "html": 0.6},
            rules=(FaultRule(fault="cut", rate=2),),
            concurrency=0,
            images_per_reply=0,
            prebuilt_bytes=3,
            prices={"m": -1},
            price_spread=1.5,
        )
    )
    places = ["faults.nope", "add up", "rules[0].rate", "concurrency", "images_per_", "prebuilt_"]
    places += ["prices.m", "price_spread"]
    assert all(any(place in flaw for flaw in flaws) for place in places)


def test_latency_has_the_asked_median_and_99th_percentile() -> None:
    drawn = sorted(latency_of(0.2, 0.8, n) for n in range(4000))
    assert drawn[2000] == pytest.approx(0.2, rel=0.1)
    assert drawn[3960] == pytest.approx(0.8, rel=0.25)
    assert latency_of(0, 5, "any") == 0


@given(gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_never_more_get_in_than_burst_and_rate_allow(gaps: list[float]) -> None:
    gate = Admission(Simulation(requests_per_minute=60, burst=4))
    now, admitted = 100.0, 0
    for gap in gaps:
        now += gap
        wait_s = gate.enter(now)
        admitted += wait_s is None
        assert wait_s is None or wait_s >= 1
    assert admitted <= 4 + (now - 100.0) + 1e-6
