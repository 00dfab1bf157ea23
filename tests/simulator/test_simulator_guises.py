"""Whatever the simulator can be told to play, the client takes it for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from pipeline.core.model import Failure, Past, Task, Why
from pipeline.core.simulation import FAULTS, FaultRule, Simulation
from pipeline.engine.worker import Got, Worker
from pipeline.errors import Misconfigured
from pipeline.provider.chat import Chat
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.simulator.guises import GUISES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.errors import Stop

TASK = Task(id="0" * 20, index=0, sample=0, prompt="a hat", model="m")
PATIENCE = Patience(connect_s=5, idle_s=5, total_s=20, most_body_bytes=2**24)

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"
MADE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(GUISES, (PNG,)),
    "as_jpeg": (JPEG,),
    "as_webp": (WEBP,),
    "draft_first": (WEBP, PNG),
    "blank_lines_first": (PNG,),
    "plain_for_stream": (PNG,),
}
WARNED = {"as_jpeg": "labelled", "as_webp": "labelled", "one_pixel": "1x1", "cut_by_length": "leng"}
FAILED: dict[str, tuple[Why, type[Stop] | None]] = {
    "request_timeout": (Why.SERVER_ERROR, None),
    "too_large": (Why.TOO_LARGE, None),
    "upstream_overloaded": (Why.OVERLOADED, None),
    "throttled_until": (Why.THROTTLED, None),
    "long_wait": (Why.THROTTLED, None),
    "gone_model": (Why.MODEL, Misconfigured),
    "busy_model": (Why.OVERLOADED, None),
    "wrong_modalities": (Why.MODEL, Misconfigured),
    "error_as_detail": (Why.REJECTED, None),
    "error_as_text": (Why.REJECTED, None),
    "error_like_xai": (Why.REJECTED, None),
    "error_like_anthropic": (Why.OVERLOADED, None),
    "error_like_litellm": (Why.THROTTLED, None),
    "null": (Why.BAD_REPLY, None),
    "blank": (Why.BAD_REPLY, None),
    "long_header": (Why.BAD_REPLY, None),
    "odd_encoding": (Why.BAD_REPLY, None),
    "declined_in_words": (Why.REFUSED, None),
    "no_image_reason": (Why.NO_IMAGE, None),
    "dropped_image": (Why.NO_IMAGE, None),
    "empty_image": (Why.BAD_IMAGE, None),
    "page_as_image": (Why.BAD_IMAGE, None),
}
HINTED = {"throttled_until": 1.0, "long_wait": 3600.0, "busy_model": 0.5}
OLDER = 28
"""How many faults have their tests beside this file."""


class Memory:
    """A trail, and a part, that keep nothing."""

    def part(self) -> Memory:
        return self

    def write(self, piece: bytes) -> None:
        assert piece

    def discard(self) -> None:
        pass

    def heard(self, request_id: str) -> None:
        assert request_id

    @property
    def past(self) -> Past:
        return Past()

    def answered(self) -> None:
        raise AssertionError

    def back(self, *, cost_usd: float | None, is_maybe_billed: bool, is_unpriced: bool) -> None:
        raise AssertionError


def playing(fault: str, **settings: Any) -> Simulation:
    plan: dict[str, Any] = {"latency_s": 0, "image_size": "96x96", "faults": {fault: 1.0}}
    return Simulation(**{**plan, **settings})


async def met(base_url: str, *, stream: bool = False, tries: int = 1) -> Got | Failure:
    chat = Chat(is_streamed=stream, mask=str)
    async with Http(Address(base_url=str(base_url)), PATIENCE) as http:
        worker = Worker(provider=chat, transport=http)
        for _ in range(tries - 1):
            await worker.attempt(TASK, Memory())
        return await worker.attempt(TASK, Memory())


def test_every_fault_has_its_test() -> None:
    assert not MADE.keys() & FAILED.keys()
    assert len(FAULTS) == OLDER + len(MADE) + len(FAILED)


def test_the_documentation_lists_them_all() -> None:
    document = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    faults, _, _ = document.partition("## Scenarios")
    listed = [line for line in faults.splitlines() if line.startswith("| `")]
    assert listed == [f"| `{name}` | {what} |" for name, what in FAULTS.items()]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", MADE)
async def test_an_image_in_an_odd_guise_is_found(
    simulator: Any, fault: str, *, stream: bool
) -> None:
    async with simulator(playing(fault)) as base_url:
        got = await met(base_url, stream=stream)
        assert isinstance(got, Got), got
        assert tuple(image.media_type for image in got.images) == MADE[fault]
        expected = (1, 1) if fault == "one_pixel" else (96, 96)
        assert (got.images[-1].width, got.images[-1].height) == expected
        assert "base64" not in (got.answer.text or "")
        warnings = " ".join(got.answer.warnings)
        assert (
            (WARNED[fault] in warnings)
            if fault in WARNED
            else (fault == "draft_first") or (not warnings)
        ), warnings
        assert base_url.bill()["by_fault"] == {fault: 1}
        assert base_url.bill()["billed"] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAILED)
async def test_what_brings_no_image_has_its_reason(
    simulator: Any, fault: str, *, stream: bool
) -> None:
    async with simulator(playing(fault)) as base_url:
        failure = await met(base_url, stream=stream)
        assert isinstance(failure, Failure), failure
        why, stop = FAILED[fault]
        assert (failure.why, type(failure.stop)) == (why, stop or type(None))
        if fault in HINTED:  # an instant is told in a clock of whole seconds
            assert failure.retry_after_s == pytest.approx(HINTED[fault], abs=1.1)
        if fault == "dropped_image":
            assert "dropped the image" in (failure.answer.detail or "")


async def test_a_model_that_only_draws_serves_who_asks_for_nothing_else(simulator: Any) -> None:
    async with simulator(playing("wrong_modalities")) as base_url:
        assert isinstance(await met(base_url, tries=2), Got)
        assert base_url.bill()["by_fault"] == {"wrong_modalities": 1}


async def test_a_rule_can_play_a_guise_once(simulator: Any) -> None:
    rules = (FaultRule(fault="as_jpeg", attempt=1),)
    async with simulator(playing("html", faults={}, rules=rules)) as base_url:
        first = await met(base_url)
        second = await met(base_url)
        assert isinstance(first, Got)
        assert isinstance(second, Got)
        assert (first.images[0].media_type, second.images[0].media_type) == (JPEG, PNG)


def url_in(message: dict[str, Any]) -> str:
    url: str = message["images"][0]["image_url"]["url"]
    return url


LOOKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "as_parts": lambda said: [part["type"] for part in said["content"]] == ["text", "image_url"],
    "as_markdown": lambda said: "![image](data:image/png;base64," in said["content"],
    "as_bare_base64": lambda said: said["image"][0]["data"].startswith("iVBOR"),
    "as_text_url": lambda said: said["content"].startswith("data:image/png;base64,"),
    "url_safe": lambda said: {"-", "_"} & set(url_in(said).partition(",")[2]),
    "unpadded": lambda said: not url_in(said).endswith("="),
    "wrapped": lambda said: "\n" in url_in(said),
    "odd_data_url": lambda said: url_in(said).startswith("DATA:image/png;charset=binary;BASE64,"),
    "draft_first": lambda said: len(said["images"]) == 2,
    "same_twice": lambda said: said["images"][0]["image_url"] == said["images"][1]["image_url"],
}


@pytest.mark.parametrize("fault", LOOKS)
async def test_a_guise_looks_as_its_name_says(simulator: Any, fault: str) -> None:
    async with simulator(playing(fault)) as base_url:
        body = {"model": "m", "messages": [{"role": "user", "content": "a hat"}]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            (choice,) = (await response.json())["choices"]
        message = choice["message"]
        assert LOOKS[fault](message)
        assert "images" in message or fault.startswith("as_")
