"""Input images: what is looked at, what is sent, and how little of it is in memory."""

from __future__ import annotations

import asyncio
import json
import os
import tracemalloc
from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as Pillow
from scripted import Peer, Script, scripted

from pipeline.core.model import Reference, Request, Task
from pipeline.core.ports import Break, Broken
from pipeline.provider.chat import Chat
from pipeline.provider.http import Address, Http, Patience
from pipeline.provider.references import MOST_BYTES, Library

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = Patience(connect_s=5, idle_s=20, total_s=60, most_body_bytes=1 << 20)
KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def picture(path: Path, kind: str = "PNG", n_bytes: int = 0) -> Path:
    Pillow.effect_noise((40, 30), 90).convert("RGB").save(path, kind)
    if n_bytes:
        with path.open("ab") as file:
            file.truncate(n_bytes)
    return path


def request_for(*references: Reference) -> Request:
    task = Task(id="5" * 20, index=0, sample=0, prompt="a", model="m", references=references)
    return Chat(is_streamed=False, mask=str).request_for(task)


def seen(library: Library, path: Path | str, folder: Path | str = "/") -> Reference:
    reference = library.look(str(path), str(folder))
    assert isinstance(reference, Reference), reference
    return reference


async def sent(library: Library, *references: Reference) -> list[str]:
    """The URLs of the images in the body that goes out."""
    upload = await library.upload(request_for(*references))
    text = b"".join([bytes(piece) async for piece in upload])
    assert len(text) == upload.n_bytes
    parts = json.loads(text)["messages"][0]["content"]
    assert parts[0] == {"type": "text", "text": "a"}
    return [part["image_url"]["url"] for part in parts[1:]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_bytes", [0, 400_000, 400_001, 400_002, 5_000_000])
async def test_a_file_is_sent_whole_under_its_true_type(
    tmp_path: Path, kind: str, n_bytes: int
) -> None:
    library = Library()
    path = picture(tmp_path / "claims-to-be.png", kind, n_bytes)
    reference = seen(library, path)
    assert reference.sha256 == sha256(path.read_bytes()).hexdigest()
    for _ in range(2):  # the second time it may come from what was kept
        (url,) = await sent(library, reference)
        label, _, content = url.partition(",")
        assert label == f"data:{KINDS[kind]};base64"
        assert b64decode(content, validate=True) == path.read_bytes()


async def test_order_is_kept_and_addresses_go_out_as_they_are(tmp_path: Path) -> None:
    library = Library()
    big, small = picture(tmp_path / "a.png", n_bytes=5_000_000), picture(tmp_path / "b.png")
    link = seen(library, "https://example.com/c.png?x=1")
    urls = await sent(library, seen(library, small), link, seen(library, big), link)
    assert urls[1] == urls[3] == "https://example.com/c.png?x=1"
    assert len(urls[0]) < 10_000 < len(urls[2])


def test_paths_are_found_from_the_folder_and_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    library = Library()
    found = [
        seen(library, "a.png", tmp_path),
        seen(library, "../a.png", tmp_path / "jobs"),
        seen(library, "~/a.png"),
        seen(library, tmp_path / "a.png"),
    ]
    assert {reference.source for reference in found} == {str(tmp_path / "a.png")}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("gone.png", "No such file"),
        ("text.png", "no image"),
        ("empty.png", "no image"),
        ("large.png", "at most 20,971,520"),
        (".", "not a file"),
        ("pipe", "not a file"),
        ("x\0y", "no path"),
        ("http://example.com/a.png", "https://"),
        ("file:///etc/passwd", "https://"),
        ("data:image/png;base64,AAAA", "https://"),
        ("https://", "no address"),
        ("https://a b/c.png", "no address"),
        ('https://a/"c.png', "no address"),
        ("https://user:word@a/c.png", "user or password"),
    ],
)
def test_what_cannot_be_sent_is_said(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "text.png").write_text("not at all an image")
    (tmp_path / "empty.png").touch()
    picture(tmp_path / "large.png", n_bytes=MOST_BYTES + 1)
    os.mkfifo(tmp_path / "pipe")
    told = Library().look(text, str(tmp_path))
    assert isinstance(told, str)
    assert what in told


@pytest.mark.parametrize("change", ["other", "gone", "text"])
async def test_a_file_that_changed_since_the_plan_is_not_sent(tmp_path: Path, change: str) -> None:
    library = Library()
    path = picture(tmp_path / "a.png")
    reference = seen(library, path)
    if change == "other":
        picture(path)
    elif change == "gone":
        path.unlink()
    else:
        path.write_text("words")
    for one in (library, Library()):  # in the run that planned it, and in a later one
        with pytest.raises(Broken, match=r"a\.png") as broken:
            await one.upload(request_for(reference))
        assert broken.value.how is Break.UNSENDABLE


async def test_over_a_socket_it_arrives_byte_by_byte_and_again_after_a_stale_connection(
    tmp_path: Path,
) -> None:
    library = Library()
    path = picture(tmp_path / "a.png", n_bytes=5_000_000)
    request = request_for(seen(library, path))
    ok = Script.whole(b"{}")
    stale = Script(reads_body=False).reset()
    async with (
        scripted(ok, stale, ok) as server,
        Http(Address(base_url=server.base_url), PATIENCE, library=library) as http,
    ):
        for _ in range(2):
            async with http.send(request) as reply:
                assert [chunk async for chunk in reply.body] == [b"{}"]
    whole = [asked for asked in server.requests if asked.body]
    assert len(whole) == 2
    assert {asked.headers["content-length"] for asked in whole} == {str(len(whole[0].body))}
    url = json.loads(whole[1].body)["messages"][0]["content"][1]["image_url"]["url"]
    assert b64decode(url.partition(",")[2]) == path.read_bytes()


async def test_a_reply_that_comes_before_the_picture_is_through_is_read(tmp_path: Path) -> None:
    library = Library()
    request = request_for(seen(library, picture(tmp_path / "a.png", n_bytes=20_000_000)))
    early = Script(reads_body=False).head(413, content_length=2, connection="close").send(b"{}")
    async with (
        scripted(early.half_close()) as server,
        Http(Address(base_url=server.base_url), PATIENCE, library=library) as http,
    ):
        async with http.send(request) as reply:
            assert reply.status == 413
            assert [chunk async for chunk in reply.body] == [b"{}"]
        await server.until_all_closed()


async def test_a_slow_line_is_no_silence(tmp_path: Path) -> None:
    """The picture takes three seconds to go out, where a second of silence ends a request."""
    library = Library()
    request = request_for(seen(library, picture(tmp_path / "a.png", n_bytes=20_000_000)))
    patience = Patience(connect_s=5, idle_s=1, total_s=60, most_body_bytes=1 << 20)

    async def sip(peer: Peer) -> None:
        for _ in range(20):
            await asyncio.sleep(0.15)
            await peer.reader.readexactly(1_300_000)
        await peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

    async with (
        scripted(Script(reads_body=False).do(sip).half_close()) as server,
        Http(Address(base_url=server.base_url), patience, library=library) as http,
        http.send(request) as reply,
    ):
        assert reply.status == 200


@pytest.mark.parametrize("n_bytes", [3_000_000, 10_000_000])
async def test_sixty_four_workers_share_a_reference(tmp_path: Path, n_bytes: int) -> None:
    library = Library()
    reference = seen(library, picture(tmp_path / "a.png", n_bytes=n_bytes))
    n_sent: list[int] = []

    async def work() -> None:
        upload = await library.upload(request_for(reference))
        n_sent.append(0)
        async for piece in upload:
            n_sent[-1] += len(piece)

    tracemalloc.start()
    async with asyncio.TaskGroup() as workers:
        for _ in range(64):
            workers.create_task(work())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(n_sent) == 64
    # Sixty-four copies would be 256 MB, or 853 MB. A slice of each is 64 MB at the very most.
    assert peak < 80_000_000


async def test_what_is_kept_for_the_next_request_has_its_bound(tmp_path: Path) -> None:
    library = Library(most_kept=200_000)
    pictures: list[Any] = [picture(tmp_path / f"{n}.png", n_bytes=60_000 + n) for n in range(9)]
    for _ in range(2):
        for path in pictures:
            (url,) = await sent(library, seen(library, path))
            assert b64decode(url.partition(",")[2]) == path.read_bytes()
            assert sum(map(len, library._kept.values())) <= 200_000
