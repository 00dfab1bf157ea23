"""Whole commands against a server that means harm: bounded, told calmly, nothing forged."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from beside import in_a_thread
from leaks import leaks_in
from scripted import Script, Scripted, scripted

from pipeline.core.model import Secret
from pipeline.core.ports import Break, Broken
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands import Desk

KEY = "sk-servers-0123456789abcdef"
PATIENCE = Patience(connect_s=2, idle_s=2, total_s=20, most_body_bytes=8 << 20)
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\u009b31m\r\nmade 999 of 999\u2028\x00"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


@contextmanager
def served(desk: Desk, *scripts: Script) -> Iterator[Scripted]:
    """A job and a profile with a key for a scripted server."""
    desk.environ(THERE_KEY=KEY)
    with in_a_thread(lambda: scripted(*scripts)) as there:
        desk.job(["a"], base_url=there.base_url, more="retry: {attempts: 1}\n")
        desk.provider(there.base_url, "api_key_env: THERE_KEY\n")
        yield there


def error_of(status: int, **error: Any) -> Script:
    return Script.whole(json.dumps({"error": {"code": status, **error}}).encode(), status)


async def met(script: Script) -> Broken | None:
    """How a request to such a server ends; None: with a whole reply."""
    async with scripted(script) as there, Http(Address(base_url=there.base_url), PATIENCE) as http:
        try:
            async with http.get("/x") as reply:
                async for _ in reply.body:
                    pass
        except Broken as broken:
            return broken
    return None


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_unpacked_no_further_than_the_cap(coding: str) -> None:
    plain = bytes(64 << 20)
    packed = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    script = Script.whole(packed, content_encoding=coding)
    tracemalloc.start()
    try:
        broken = await met(script)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert broken is not None
    assert broken.how is Break.TOO_LARGE
    assert peak < 16 << 20


@pytest.mark.parametrize("coding", ["br", "zstd", "snappy", "gzip, gzip"])
async def test_a_coding_nobody_asked_for_is_no_picture(coding: str) -> None:
    broken = await met(Script.whole(gzip.compress(b"{}"), content_encoding=coding))
    assert broken is None or broken.how is Break.GARBLED


@pytest.mark.parametrize(
    "endless",
    [b"x: " + b"a" * 60_000, b"x: y\r\n" * 10_000, b"\r\n ".join([b"x: y"] * 10_000)],
    ids=["one header", "many headers", "folded header"],
)
async def test_headers_without_end_are_no_reply(endless: bytes) -> None:
    script = Script().send(b"HTTP/1.1 200 OK\r\n")
    for _ in range(20):
        script.send(endless)
    broken = await met(script.hang())
    assert broken is not None
    assert broken.how is Break.GARBLED


async def test_hints_before_the_head_do_not_count_as_one() -> None:
    script = Script()
    for _ in range(200):
        script.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 20)
    assert await met(script.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")) is None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (error_of(400, message=EVIL + KEY), 3),
        (error_of(401, message=EVIL + KEY), 77),
        (error_of(403, message=EVIL + KEY), 77),
        (error_of(429, message=f"free-models-per-day {EVIL}{KEY}"), 4),
        (
            error_of(
                404, message=EVIL, availability={"retryable": False, "fallback_models": [EVIL, KEY]}
            ),
            78,
        ),
        (Script.whole(b"", 302, location=f"https://evil.example/\x1b[2J{KEY}"), 78),
        (Script.whole(EVIL.encode() + KEY.encode(), 500), 3),
        (
            Script.whole(
                json.dumps(
                    {"id": EVIL + KEY, "model": EVIL, "choices": [{"finish_reason": EVIL}]}
                ).encode(),
                x_generation_id=KEY,
            ),
            3,
        ),
    ],
    ids=["400", "401", "403", "quota", "model", "redirect", "500", "no image"],
)
def test_nothing_a_server_says_reaches_the_terminal_or_forges_a_line(
    desk: Desk, script: Script, code: int
) -> None:
    with served(desk, script):
        for words in (
            ("run", "job.yaml", "-v"),
            ("run", "job.yaml", "--json"),
            ("status", "out"),
            ("verify", "out"),
        ):
            ended = desk.run(*words)
            assert ended.code == code or words[0] != "run"
            told = ended.out + ended.err
            assert not UNSEEN.search(told)
            assert not any(line.startswith("made 999") for line in told.splitlines())
            assert not leaks_in(told)


@pytest.mark.parametrize("words", [("models", "--refresh"), ("doctor",), ("models", "--json")])
def test_a_list_of_models_is_somebody_elses_text_too(desk: Desk, words: tuple[str, ...]) -> None:
    listed = [
        {
            "id": "fine/model",
            "architecture": {"output_modalities": ["image", EVIL]},
            "aliases": [EVIL],
        },
        {"id": EVIL + KEY, "architecture": {"output_modalities": ["image"]}},
        {"id": "x" * 1_000_000, "architecture": {"output_modalities": ["image"]}},
        {"id": "deep", "pricing": {"image": "9" * 9_999}, "architecture": {"modality": "a->image"}},
    ]
    with served(desk, Script.whole(json.dumps({"data": listed}).encode())):
        ended = desk.run(words[0], "--provider", "there.yaml", *words[1:])
    assert "fine/model" in ended.out or words[0] == "doctor"
    assert not UNSEEN.search(ended.out + ended.err)
    assert len(ended.out) < 10_000


@pytest.mark.parametrize("body", ["[" * 1_000 + "]" * 1_000, '{"detail":' * 900 + "1" + "}" * 900])
def test_a_list_of_models_of_any_depth_is_no_bug_of_ours(desk: Desk, body: str) -> None:
    with served(desk, Script.whole(body.encode())):
        ended = desk.run("models", "--provider", "there.yaml")
    assert "a bug of ours" not in ended.err


def test_a_list_without_end_is_left_where_it_is(desk: Desk) -> None:
    with served(desk, Script.whole(b" " * (17 << 20))):
        ended = desk.run("models", "--provider", "there.yaml")
    assert ended.code == 69
    assert "bytes" in ended.err


async def test_a_stranger_on_plain_http_never_sees_the_key_in_a_break() -> None:
    async with scripted(Script().send(f"HTTP/1.1 {KEY}\r\n\r\n".encode()).close()) as there:
        home = Address(base_url=there.base_url, key=Secret(KEY))
        async with Http(home, PATIENCE) as http:
            with pytest.raises(Broken) as broken:
                async with http.get("/x"):
                    pass
    assert KEY not in repr(broken.value)
