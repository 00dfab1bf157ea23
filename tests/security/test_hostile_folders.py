"""What another user of the machine can plant in an output folder, and what he can read of us."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import stat
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from PIL import Image as Pillow
from scripted import Script, scripted

from pipeline.core.simulation import Simulation
from pipeline.job.naming import safe_part
from pipeline.provider.simulator.child import _of_python, running

if TYPE_CHECKING:
    from commands import Desk, Serving

INSTANT = Simulation(latency_s=0, image_size="64x64")


def png() -> bytes:
    target = io.BytesIO()
    Pillow.new("RGB", (16, 16)).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize(
    "inside",
    ["images", "images/000", ".state", ".state/parts", ".state/orphans"],
)
def test_a_directory_that_is_a_link_is_never_entered(desk: Desk, inside: str) -> None:
    desk.job(["a", "b"])
    assert desk.run("run", "job.yaml", "--limit", "1").code == 0
    outside = desk.folder / "outside"
    outside.mkdir()
    way = desk.out / inside
    shutil.rmtree(way)
    way.symlink_to(outside)
    ended = desk.run("run", "job.yaml")
    assert ended.code in {0, 73, 74}
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    "inside",
    ["manifest.jsonl", "job.yaml", "metadata.jsonl", ".state/journal.jsonl", ".state/lock"],
)
def test_a_file_that_is_a_link_is_never_written_through(desk: Desk, inside: str) -> None:
    desk.job(["a", "b"])
    assert desk.run("run", "job.yaml", "--limit", "1").code == 0
    victim = desk.write("victim", "precious")
    way = desk.out / inside
    way.unlink()
    way.symlink_to(victim)
    assert desk.run("run", "job.yaml").code in {0, 73, 74}
    assert victim.read_text() == "precious"


def test_a_link_where_a_directory_is_yet_to_be_made_gets_nothing(
    desk: Desk, provider: Serving
) -> None:
    """A directory that the run has yet to make is there before it, as a link to elsewhere."""
    outside = desk.folder / "outside"
    outside.mkdir()
    with provider(INSTANT) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        text = (desk.folder / "job.yaml").read_text()
        path = "images/{{prompt}}/{{index}}-{{id}}.{{ext}}"
        desk.write("job.yaml", text.replace("{dir: out}", f'{{dir: out, path: "{path}"}}'))
        assert desk.run("run", "job.yaml", "--limit", "1").code == 0
        (desk.out / "images/b").symlink_to(outside)
        ended = desk.run("run", "job.yaml")
    assert ended.code == 0
    assert not list(outside.iterdir())
    (line,) = (one for one in desk.lines if one["prompt"] == "b")
    assert line["warnings"]


@pytest.mark.parametrize("inside", ["images", "images/000", ".state/parts", ".state/orphans"])
def test_a_directory_that_turns_into_a_link_during_the_run_gets_nothing(
    desk: Desk, inside: str
) -> None:
    """It is exchanged while the second request is out."""
    outside = desk.folder / "outside"
    outside.mkdir()

    async def exchange(_: object) -> None:
        way = desk.out / inside
        if not way.is_symlink():
            way.rename(desk.folder / "aside")
            way.symlink_to(outside)

    said = {"choices": [{"message": {"images": [{"b64_json": b64encode(png()).decode()}]}}]}
    no_list, whole = Script.whole(b"{}"), Script.whole(json.dumps(said).encode())
    late = Script().do(exchange)
    late.do(whole.play)
    with in_a_thread(lambda: scripted(no_list, no_list, whole, late)) as there:
        desk.job(["a", "b"], base_url=there.base_url, more="limits: {concurrency: 1}\n")
        ended = desk.run("run", "job.yaml")
    assert ended.code in {0, 74}
    assert "Traceback" not in ended.err
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    "value",
    [
        *("../../up", "/etc/passwd", "..", ".", "a/../b", "..\\up", " . ", "~root", "-rf"),
        *("nul", "CON.png", "manifest.jsonl", "\x00", "a\nb", "\u202egnp.exe", "\ud800"),
        *("x" * 4_000, "\U0001f408" * 400),
    ],
)
def test_no_value_of_a_row_is_a_way_or_a_device(value: str) -> None:
    part = safe_part(value)
    assert part not in {"", ".", ".."}
    assert "/" not in part
    assert "\\" not in part
    assert len(part.encode()) <= 255
    assert part.isprintable()


def test_what_a_reply_calls_itself_is_in_no_name(desk: Desk) -> None:
    """The model of a path is the one asked for, and the extension follows the bytes."""
    picture = "data:text/x-sh;base64," + b64encode(png()).decode()
    said = {"model": "../../up", "id": "../id", "choices": [{"message": {"content": picture}}]}
    reply = Script.whole(json.dumps(said).encode(), content_type="application/x-sh")
    with in_a_thread(lambda: scripted(reply)) as there:
        desk.job(["a"], base_url=there.base_url)
        text = (desk.folder / "job.yaml").read_text()
        path = "images/{{model}}/{{id}}.{{ext}}"
        desk.write("job.yaml", text.replace("{dir: out}", f'{{dir: out, path: "{path}"}}'))
        assert desk.run("run", "job.yaml").code == 0
    (line,) = desk.lines
    assert line["images"][0]["file"] == f"images/simulator-painter/{line['id']}.png"
    assert line["served_model"] == "../../up"


def test_what_we_write_follows_the_umask_and_the_cache_is_ours_alone(
    desk: Desk, provider: Serving
) -> None:
    before = os.umask(0o077)
    try:
        with provider(INSTANT) as there:
            desk.job(["a"], base_url=there.base_url)
            assert desk.run("run", "job.yaml").code == 0
    finally:
        os.umask(before)
    for root in (desk.out, desk.folder / ".cache"):
        for path in (root, *root.rglob("*")):
            assert not _mode(path) & 0o077, path


def test_the_list_of_models_is_kept_from_others_whatever_the_umask(
    desk: Desk, provider: Serving
) -> None:
    before = os.umask(0)
    try:
        with provider(INSTANT) as there:
            desk.provider(there.base_url)
            assert desk.run("models", "--provider", "there.yaml").code == 0
    finally:
        os.umask(before)
    kept = desk.folder / ".cache/imagebatch"
    assert not _mode(kept) & 0o077
    (file,) = kept.iterdir()
    assert not _mode(file) & 0o077


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_simulator_is_started_without_anybodys_keys() -> None:
    environ = {
        "PATH": "/bin",
        "LANG": "C",
        "KNOXCHAT_API_KEY": "sk-child-1",
        "AWS_SECRET": "x",
        "LC_ALL": "C",
    }
    assert set(_of_python(environ)) == {"PATH", "LANG", "LC_ALL"}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_its_process_has_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOXCHAT_API_KEY", "sk-child-0123456789")

    async def environments() -> list[bytes]:
        async with running(INSTANT, os.environ):
            return [_environ_of(pid) for pid in _children()]

    seen = asyncio.run(environments())
    assert any(seen)
    assert not [one for one in seen if b"sk-child-0123456789" in one]


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _environ_of(pid: str) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
