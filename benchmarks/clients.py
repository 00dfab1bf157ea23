"""What people would use instead, as small scripts: asks N times, C at once, writes the images.

    python clients.py openai|litellm|aiohttp|requests BASE_URL N C FOLDER [--stream]

`requests` reads as Knox Chat's image guide does (plain, and streamed line by line), in a pool of
threads. None of them hashes, syncs, checks, tries again or keeps a record.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

Ask = Callable[[int], Awaitable[None]]

KIND, BASE_URL, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[5])
N, AT_ONCE = int(sys.argv[3]), int(sys.argv[4])
IS_STREAMED = "--stream" in sys.argv
URL = f"{BASE_URL}/chat/completions"


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"prompt {number}"}]


def body(number: int) -> dict[str, Any]:
    said = {"model": "m", "messages": messages(number), "modalities": ["image", "text"]}
    return said | ({"stream": True} if IS_STREAMED else {})


def write(images: Iterable[dict[str, Any]], number: int) -> None:
    for image in images:
        content = base64.b64decode(image["image_url"]["url"].partition(",")[2])
        (FOLDER / f"{number}.png").write_bytes(content)


async def with_openai(_: AsyncExitStack) -> Ask:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
    more = {"extra_body": {"modalities": ["image", "text"]}}

    async def ask(number: int) -> None:
        said = {"model": "m", "messages": messages(number), **more}
        images: list[dict[str, Any]] = []
        if IS_STREAMED:
            async for chunk in await client.chat.completions.create(**said, stream=True):
                for choice in chunk.choices:
                    images += getattr(choice.delta, "images", None) or []
        else:
            reply = await client.chat.completions.create(**said)
            images = reply.choices[0].message.images
        write(images, number)

    return ask


async def with_litellm(_: AsyncExitStack) -> Ask:
    import litellm

    async def ask(number: int) -> None:
        reply = await litellm.acompletion(
            model="openai/m",
            messages=messages(number),
            api_base=BASE_URL,
            api_key="none",
            modalities=["image", "text"],
            stream=IS_STREAMED,
            num_retries=0,
        )
        images: list[dict[str, Any]] = []
        if IS_STREAMED:
            async for chunk in reply:
                images += getattr(chunk.choices[0].delta, "images", None) or []
        else:
            images = reply.choices[0].message.images
        write(images, number)

    return ask


async def with_aiohttp(stack: AsyncExitStack) -> Ask:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=connector, read_bufsize=2**26)  # else a line is too long
    )

    async def ask(number: int) -> None:
        images: list[dict[str, Any]] = []
        async with session.post(URL, json=body(number)) as reply:
            if IS_STREAMED:
                async for line in reply.content:
                    if line.startswith(b"data: {"):
                        for choice in json.loads(line[6:])["choices"]:
                            images += choice["delta"].get("images", [])
            else:
                images = (await reply.json())["choices"][0]["message"]["images"]
        write(images, number)

    return ask


def run_requests() -> None:
    """As the guide has it, a session a thread beside: without one every request would connect."""
    import threading

    import requests

    kept = threading.local()

    def ask(number: int) -> None:
        if not hasattr(kept, "session"):
            kept.session = requests.Session()
        if not IS_STREAMED:
            reply = kept.session.post(URL, json=body(number)).json()
            write(reply["choices"][0]["message"]["images"], number)
            return
        response = kept.session.post(URL, json=body(number), stream=True)
        for line in response.iter_lines():
            text = line.decode("utf-8") if line else ""
            if text.startswith("data: ") and text[6:] != "[DONE]":
                for choice in json.loads(text[6:])["choices"]:
                    write(choice["delta"].get("images", []), number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(ask, range(N)):
            pass


async def run(begin: Callable[[AsyncExitStack], Awaitable[Ask]]) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        ask = await begin(stack)

        async def one(number: int) -> None:
            async with slots:
                await ask(number)

        await asyncio.gather(*(one(number) for number in range(N)))


if KIND == "requests":
    run_requests()
else:
    ways = {"openai": with_openai, "litellm": with_litellm, "aiohttp": with_aiohttp}
    asyncio.run(run(ways[KIND]))
