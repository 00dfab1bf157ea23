"""What a client gets from the simulator when all is well, over a real socket."""

from __future__ import annotations

import asyncio
import io
from base64 import b64decode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from openai import AsyncOpenAI
from PIL import Image

from pipeline.core.simulation import FaultRule, Simulation
from pipeline.errors import BadUsage
from pipeline.provider.simulator.bill import MOST_GENERATIONS, Bill, prompt_key
from pipeline.provider.simulator.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROMPT = "Generate a beautiful sunset over mountains"


def body_of(prompt: str = PROMPT, **rest: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "any/model", "modalities": ["image", "text"], "messages": messages, **rest}


async def ask(session: aiohttp.ClientSession, base_url: str, **body: Any) -> dict[str, Any]:
    async with session.post(f"{base_url}/chat/completions", json=body_of(**body)) as response:
        assert response.status == 200, await response.text()
        reply: dict[str, Any] = orjson.loads(await response.read())
        return reply


def urls_in(reply: dict[str, Any]) -> list[str]:
    return [image["image_url"]["url"] for image in reply["choices"][0]["message"]["images"]]


def png_in(url: str) -> bytes:
    label, _, text = url.partition(",")
    assert label == "data:image/png;base64"
    return b64decode(text, validate=True)


def chunks_in(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [orjson.loads(line) for line in lines]


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


@pytest.fixture
def quick(simulator: Any) -> Any:
    """A simulator without latency, and a session to ask it with."""

    @asynccontextmanager
    async def asking(**settings: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, Any]]:
        plan = Simulation(**{"latency_s": 0, "image_size": "96x96", **settings})
        async with simulator(plan) as base_url, aiohttp.ClientSession() as session:
            yield session, base_url

    return asking


async def test_a_plain_reply_has_the_shape_that_the_knox_guide_documents(quick: Any) -> None:
    async with quick(cost_usd=0.039) as (session, base_url):
        reply = await ask(session, base_url)
        assert reply["id"].startswith("gen-")
        assert reply["model"] == "any/model"
        assert isinstance(reply["choices"][0]["message"]["content"], str)
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["usage"]["cost"] == 0.039
        assert size_of(png_in(urls_in(reply)[0])) == (96, 96)


async def test_a_stream_carries_the_same_image_in_one_line_of_its_own(quick: Any) -> None:
    async with quick(images_per_reply=2) as (session, base_url):
        plain = urls_in(await ask(session, base_url))
        body = body_of(stream=True)
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            assert response.content_type == "text/event-stream"
            stream = await response.read()
        chunks = chunks_in(stream)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        images = [delta["images"] for delta in deltas if "images" in delta]
        assert stream.startswith(b": OPENROUTER PROCESSING\n\n")
        assert stream.endswith(b"data: [DONE]\n\n")
        assert [image[0]["image_url"]["url"] for image in images] == plain
        assert [image[0]["index"] for image in images] == [0, 1]
        assert all("content" not in delta for delta in deltas if "images" in delta)
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["total_tokens"] > 1000
        assert len(set(plain)) == 2


async def test_a_stream_stays_alive_with_comments_while_the_image_is_in_the_making(
    quick: Any,
) -> None:
    slow = {"latency_s": 0.2, "latency_p99_s": 0.2, "keep_alive_s": 0.02}
    async with quick(**slow) as (session, base_url):
        body = body_of(stream=True)
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            assert (await response.read()).count(b": OPENROUTER PROCESSING") > 2


async def test_the_same_request_gives_the_same_image_in_any_order_and_on_any_server(
    quick: Any,
) -> None:
    prompts = ["a cat", "a dog", "a city by the sea"]
    async with quick() as (session, base_url):
        forth = [urls_in(await ask(session, base_url, prompt=p)) for p in prompts]
    async with quick() as (session, base_url):
        back = [urls_in(await ask(session, base_url, prompt=p)) for p in reversed(prompts)]
    assert forth == back[::-1]
    assert len({url for (url,) in forth}) == 3


async def test_another_seed_in_the_body_or_in_the_settings_gives_another_image(quick: Any) -> None:
    async with quick() as (session, base_url):
        seeds = [urls_in(await ask(session, base_url, seed=seed))[0] for seed in (1, 2)]
    async with quick(seed=5) as (session, base_url):
        seeds += urls_in(await ask(session, base_url, seed=1))
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({}, (512, 512)),
        ({"aspect_ratio": "16:9"}, (672, 384)),
        ({"aspect_ratio": "9:16"}, (384, 672)),
        ({"image_size": "0.5K"}, (256, 256)),
        ({"aspect_ratio": "16:9", "image_size": "2K"}, (1344, 768)),
        ({"image_size": "300x200"}, (300, 200)),
    ],
)
async def test_the_image_has_the_asked_shape(
    quick: Any, config: dict[str, str], size: tuple[int, int]
) -> None:
    async with quick(image_size="512x512") as (session, base_url):
        reply = await ask(session, base_url, image_config=config)
        assert size_of(png_in(urls_in(reply)[0])) == size


async def test_a_prompt_may_come_as_parts_and_in_any_script(quick: Any) -> None:
    parts = [{"type": "text", "text": "富士山 \x07 \u202e עברית 🎉"}]
    async with quick() as (session, base_url):
        reply = await ask(session, base_url, messages=[{"role": "user", "content": parts}])
        assert size_of(png_in(urls_in(reply)[0])) == (96, 96)


async def test_prebuilt_images_have_the_length_asked_for(quick: Any) -> None:
    async with quick(images="prebuilt", prebuilt_bytes=150_000) as (session, base_url):
        png = png_in(urls_in(await ask(session, base_url))[0])
        assert len(png) == 150_000
        assert size_of(png)[0] > 100


async def test_the_models_that_make_images_can_be_told_from_the_one_that_does_not(
    quick: Any,
) -> None:
    async with quick() as (session, base_url):
        async with session.get(f"{base_url}/models") as response:
            models = (await response.json())["data"]
        query = {"output_modalities": "image"}
        async with session.get(f"{base_url}/models", params=query) as response:
            chosen = (await response.json())["data"]
    outputs = [model["architecture"]["output_modalities"] for model in models]
    assert [o for o in outputs if "image" not in o] == [["text"]]
    assert len(chosen) == len(models) - 1 > 3
    assert all(isinstance(price, str) for m in models for price in m["pricing"].values())


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'{"model": "m"}', "messages"),
        (b'{"messages": []}', "model"),
        (b'{"model": "m", "messages": [{"role": "system", "content": "x"}]}', "user"),
        (b'{"model": "m", "messages": [{"role": "user", "content": " "}]}', "no text"),
        (orjson.dumps(body_of(image_config={"aspect_ratio": "7:5"})), "16:9"),
        (orjson.dumps(body_of(image_config={"image_size": "huge"})), "2K"),
        (orjson.dumps(body_of(image_config=[1])), "image_config"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(quick: Any, body: bytes, hint: str) -> None:
    async with (
        quick() as (session, base_url),
        session.post(f"{base_url}/chat/completions", data=body) as response,
    ):
        assert response.status == 400
        error = (await response.json())["error"]
        assert error["code"] == 400
        assert hint in error["message"]
        assert base_url.bill()["billed"] == 0


async def test_an_unknown_path_is_told_the_known_ones(quick: Any) -> None:
    async with (
        quick() as (session, base_url),
        session.get(f"{base_url}/chat") as response,
    ):
        assert response.status == 404
        assert "/v1/models" in (await response.json())["error"]["message"]


async def test_only_the_configured_key_gets_in(quick: Any) -> None:
    async with quick(api_key="sk-made-up") as (session, base_url):
        for key, status in (("sk-made-up", 200), ("sk-other", 401), (None, 401)):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            url = f"{base_url}/chat/completions"
            async with session.post(url, json=body_of(), headers=headers) as response:
                assert response.status == status
            async with session.get(f"{base_url}/models", headers=headers) as response:
                assert response.status == status
        assert base_url.bill()["by_status"] == {"200": 1, "401": 2}


async def test_more_requests_than_the_rate_lets_in_meet_a_429_with_whole_seconds(
    quick: Any,
) -> None:
    async with quick(requests_per_minute=40, burst=3) as (session, base_url):
        waits = []
        for _ in range(5):
            async with session.post(f"{base_url}/chat/completions", json=body_of()) as response:
                waits.append((response.status, response.headers.get("Retry-After")))
        assert waits == [(200, None)] * 3 + [(429, "2")] * 2
        assert base_url.bill()["billed"] == 3


async def test_more_requests_side_by_side_than_allowed_meet_a_429(quick: Any) -> None:
    slow = {"latency_s": 0.3, "latency_p99_s": 0.3, "concurrency": 2}
    async with quick(**slow) as (session, base_url):

        async def status() -> tuple[int, str | None]:
            async with session.post(f"{base_url}/chat/completions", json=body_of()) as response:
                return response.status, response.headers.get("Retry-After")

        met = await asyncio.gather(*(status() for _ in range(5)))
        assert sorted(met, key=str) == [(200, None)] * 2 + [(429, "1")] * 3
        assert base_url.bill()["in_flight_peak"] == 2


async def test_the_bill_counts_images_by_prompt(quick: Any) -> None:
    async with quick(cost_usd=0.5, images_per_reply=2) as (session, base_url):
        await ask(session, base_url, prompt="twice")
        await ask(session, base_url, prompt="twice")
        async with session.get(base_url.removesuffix("/v1") + "/bill") as response:
            bill = await response.json()
    assert bill["requests"] == 2
    assert bill["billed"] == 4
    assert bill["cost_usd"] == 2.0
    assert bill["prompts"] == {prompt_key("twice"): 4}
    assert "generated" not in bill


async def test_a_model_may_have_its_own_price_and_replies_differ_from_it(quick: Any) -> None:
    async with quick(cost_usd=0.5, prices={"dear": 2.0}, price_spread=0.25) as (session, base_url):
        costs = [
            (await ask(session, base_url, prompt=str(n), model="dear"))["usage"]["cost"]
            for n in range(9)
        ]
        assert base_url.bill()["cost_usd"] == pytest.approx(sum(costs))
        other = await ask(session, base_url)
    assert 1.5 <= min(costs) < 1.9
    assert 2.1 < max(costs) <= 2.5
    assert 0.375 <= other["usage"]["cost"] <= 0.625


async def test_what_a_reply_does_not_tell_is_on_the_bill_all_the_same(quick: Any) -> None:
    async with quick(cost_usd=0.5, tells_cost=False) as (session, base_url):
        usage = (await ask(session, base_url))["usage"]
        assert base_url.bill()["cost_usd"] == 0.5
    assert usage["total_tokens"] > 1290
    assert "cost" not in usage


@pytest.mark.parametrize(("by_tokens", "listed"), [(False, 0.0387), (True, 0.00003)])
async def test_the_list_has_the_price_of_an_image_or_of_its_tokens(
    quick: Any, *, by_tokens: bool, listed: float
) -> None:
    settings = {"prices": {"who/ever": 0.0387}, "lists_token_prices": by_tokens}
    async with quick(**settings) as (session, base_url), session.get(f"{base_url}/models") as told:
        models = {model["id"]: model for model in (await told.json())["data"]}
    assert float(models["who/ever"]["pricing"]["image_output"]) == pytest.approx(listed)


async def test_the_bill_names_every_reply_that_is_charged_where_that_is_asked_for(
    quick: Any,
) -> None:
    async with quick(rules=(FaultRule(fault="server_error", prompt="free"),)) as (session, base):
        paid = [(await ask(session, base, prompt=prompt))["id"] for prompt in ("a", "b", "a")]
        async with session.post(f"{base}/chat/completions", json=body_of("free")) as response:
            assert response.status == 500
        async with session.get(base.removesuffix("/v1") + "/bill?generated=1") as response:
            bill = await response.json()
    assert bill["generated"] == [
        {"id": name, "prompt": prompt_key(prompt)}
        for name, prompt in zip(paid, ("a", "b", "a"), strict=True)
    ]


def test_the_bill_forgets_the_oldest_replies_before_it_fills_the_memory() -> None:
    bill = Bill()
    for number in range(MOST_GENERATIONS + 1):
        bill.charge_prompt("a", 1, generation=str(number))
    told = bill.told(in_flight_peak=0, with_generations=True)["generated"]
    assert (len(told), told[0]["id"]) == (MOST_GENERATIONS, "1")


async def test_the_official_openai_client_reads_the_image_plain_and_streamed(
    simulator: Any,
) -> None:
    messages: Any = [{"role": "user", "content": PROMPT}]
    async with (
        simulator(Simulation(latency_s=0, api_key="sk-made-up")) as base_url,
        AsyncOpenAI(base_url=base_url, api_key="sk-made-up", max_retries=0) as client,
    ):
        plain = await client.chat.completions.create(model="any/model", messages=messages)
        message: Any = plain.choices[0].message
        stream: Any = await client.chat.completions.create(
            model="any/model", messages=messages, stream=True
        )
        deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
        models = [model.id async for model in client.models.list()]
    streamed = [image for delta in deltas for image in getattr(delta, "images", None) or []]
    assert size_of(png_in(message.images[0]["image_url"]["url"])) == (512, 512)
    assert [image["image_url"] for image in streamed] == [message.images[0]["image_url"]]
    assert "google/gemini-2.5-flash-image" in models


async def test_a_taken_port_is_a_usage_error_that_names_the_way_out(simulator: Any) -> None:
    async with simulator(Simulation()) as base_url:
        port = int(base_url.removesuffix("/v1").rpartition(":")[2])
        with pytest.raises(BadUsage, match=f"port {port} is taken .* --port"):
            await serve(Simulation(), port=port, started=print, until=asyncio.Event())


async def test_settings_with_flaws_are_named_all_at_once() -> None:
    flawed = Simulation(image_size="big", faults={"sever_error": 0.1}, latency_s=-1)
    with pytest.raises(BadUsage) as caught:
        await serve(flawed, started=print, until=asyncio.Event())
    for hint in ("image_size", "sever_error", "latency_s"):
        assert hint in str(caught.value)
