"""What people would use instead, as small scripts: asks N times, C at once, writes the images.

    python clients.py openai|aiohttp BASE_URL N C FOLDER [--stream]

Neither hashes, syncs, checks or keeps a record.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path


async def with_openai(base_url: str, number: int, folder: Path, *, stream: bool) -> None:
    from openai import AsyncOpenAI

    global _client
    try:
        client = _client
    except NameError:
        client = _client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": f"prompt {number}"}],
        "extra_body": {"modalities": ["image", "text"]},
    }
    images = []
    if stream:
        async for chunk in await client.chat.completions.create(**body, stream=True):
            for choice in chunk.choices:
                images += getattr(choice.delta, "images", None) or []
    else:
        reply = await client.chat.completions.create(**body)
        images = reply.choices[0].message.images
    write(images, number, folder)


async def with_aiohttp(base_url: str, number: int, folder: Path, *, stream: bool) -> None:
    import aiohttp

    global _session
    try:
        session = _session
    except NameError:
        session = _session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**26
        )
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": f"prompt {number}"}],
        "modalities": ["image", "text"],
        "stream": stream,
    }
    images = []
    async with session.post(f"{base_url}/chat/completions", json=body) as reply:
        if stream:
            async for line in reply.content:
                if line.startswith(b"data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        images += choice["delta"].get("images", [])
        else:
            images = (await reply.json())["choices"][0]["message"]["images"]
    write(images, number, folder)


def write(images: list[dict], number: int, folder: Path) -> None:
    for image in images:
        data = base64.b64decode(image["image_url"]["url"].partition(",")[2])
        (folder / f"{number}.png").write_bytes(data)


async def main() -> None:
    kind, base_url, n, c, folder = sys.argv[1:6]
    ask = with_openai if kind == "openai" else with_aiohttp
    slots = asyncio.Semaphore(int(c))

    async def one(number: int) -> None:
        async with slots:
            await ask(base_url, number, Path(folder), stream="--stream" in sys.argv)

    await asyncio.gather(*(one(number) for number in range(int(n))))
    if "_session" in globals():
        await _session.close()


asyncio.run(main())
