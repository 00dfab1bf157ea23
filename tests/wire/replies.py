"""What servers say, to build cases from: small images of every type, messages, streams."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from typing import TYPE_CHECKING, Any

import orjson
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from scripted import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripted import Peer

SIZE = (28, 20)
MODEL = "some/model"


def picture(form: str, seed: int = 1, *, note: str = "", **how: Any) -> bytes:
    """A small noisy image; ``note`` goes into a PNG's metadata."""
    noise = random.Random(seed).randbytes(SIZE[0] * SIZE[1] * 3)
    target = io.BytesIO()
    if note:
        how["pnginfo"] = PngInfo()
        how["pnginfo"].add_text("made by", note)
    Pillow.frombytes("RGB", SIZE, noise).save(target, form, **how)
    return target.getvalue()


CAT, DOG = picture("PNG"), picture("PNG", 2)
CAT_SIGNED = picture("PNG", note="the same pixels, another signature")
ODD = next(png for n in (1, 2, 3) if len(png := picture("PNG", note="x" * n)) % 3)
"""One whose base64 needs padding."""
JPEG, WEBP, GIF = picture("JPEG"), picture("WEBP"), picture("GIF")
AVIF = picture("AVIF")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"><path d="M0 0h9v9"/></svg>'


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def data_url(image: bytes = CAT, head: str = "data:image/png;base64,") -> str:
    return head + b64(image)


def images(*urls: Any) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def reply(*, finish: str | None = "stop", **said: Any) -> dict[str, Any]:
    """A whole chat reply; ``finish`` None leaves the reason out."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", **said}}
    if finish:
        choice["finish_reason"] = finish
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1120, "cost": 0.039},
    }


def pictured(*pictures: bytes, **more: Any) -> dict[str, Any]:
    """A whole chat reply with these images where most gateways put them."""
    return reply(content="", images=images(*map(data_url, pictures)), **more)


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"id": "gen-1", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def shown(*pictures: bytes) -> dict[str, Any]:
    """An event that brings images."""
    return delta(images=images(*map(data_url, pictures)))


END = delta("stop", content="")
USAGE = {"id": "gen-1", "choices": [], "usage": {"completion_tokens": 1120, "cost": 0.04}}
DONE = b"data: [DONE]\n\n"


def events(*documents: Any) -> bytes:
    """Server-sent events, bytes as they are."""
    return b"".join(
        one if isinstance(one, bytes) else b"data: " + orjson.dumps(one) + b"\n\n"
        for one in documents
    )


class Said(Script):
    """A script that says one whole body, which can be asked for."""

    body = b""


def plain(document: Any, **headers: Any) -> Said:
    """A whole JSON reply."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    script = Said.whole(body, **({"content_type": "application/json"} | headers))
    script.body = body
    return script


def streamed(*documents: Any, piece: int = 1 << 20) -> Said:
    """A whole stream, cut into chunks of ``piece`` bytes."""
    body = events(*documents)
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    script = Said.chunked(*pieces, content_type="text/event-stream")
    script.body = body
    return script


def large_png(side: int) -> Iterator[bytes]:
    """A PNG of ``side`` squared pixels, 3 bytes each, uncompressed, piece by piece."""
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    row = b"\0" + random.Random(side).randbytes(3 * side)
    adler, head = 1, b"\x78\x01"
    for number in range(side):
        adler = zlib.adler32(row, adler)
        is_last = number == side - 1
        block = struct.pack("<BHH", is_last, len(row), len(row) ^ 0xFFFF) + row
        yield _chunk(b"IDAT", head + block + (struct.pack(">I", adler) if is_last else b""))
        head = b""
    yield _chunk(b"IEND", b"")


def large(before: bytes, side: int, behind: bytes) -> Script:
    """A reply whose image is never whole in memory on this side either."""

    async def step(peer: Peer) -> None:
        rest = b""
        for piece in large_png(side):
            rest += piece
            whole = len(rest) // 3 * 3
            await peer.write(base64.b64encode(rest[:whole]))
            rest = rest[whole:]
        await peer.write(base64.b64encode(rest) + behind)

    return Script().head(connection="close").send(before).do(step).close()


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)
