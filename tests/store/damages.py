"""What can happen to an output folder, and what ``verify`` has to call it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_TASKS = 8
"""Of the healthy folder: four prompts, two samples, a folder for each sample."""


class Hurt:
    """A folder that is being damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / "manifest.jsonl"
        self.state = root / ".state"

    @property
    def lines(self) -> list[bytes]:
        return self.manifest.read_bytes().splitlines(keepends=True)

    @lines.setter
    def lines(self, lines: list[bytes]) -> None:
        self.manifest.write_bytes(b"".join(lines))

    def insert(self, line: bytes, at: int = 3) -> None:
        lines = self.lines
        self.lines = [*lines[:at], line, *lines[at:]]

    def replace(self, old: bytes, new: bytes, at: int = 3) -> None:
        lines = self.lines
        assert old in lines[at]
        lines[at] = lines[at].replace(old, new, 1)
        self.lines = lines

    def record(self, at: int = 3) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.lines[at])
        return record

    def rewrite(self, at: int = 3, **said: Any) -> None:
        """Let the line say something else of its image."""
        record = self.record(at)
        record["images"][0] |= said
        lines = self.lines
        lines[at] = json.dumps(record).encode() + b"\n"
        self.lines = lines

    def image(self, at: int = 3) -> Path:
        name: str = self.record(at)["images"][0]["file"]
        return self.root / name

    def take_line(self, at: int = 3) -> dict[str, Any]:
        lines = self.lines
        taken: dict[str, Any] = json.loads(lines.pop(at))
        self.lines = lines
        return taken

    def journal(self, text: bytes) -> None:
        with (self.state / "journal.jsonl").open("ab") as journal:
            journal.write(text)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """``kind``: what ``verify`` calls it; ``n_owed``: how many images have to be bought again."""

    name: str
    do: Callable[[Hurt], object]
    kind: str
    n_owed: int = 0
    is_mended_by_the_run: bool = False


def _cut(path: Path, n_bytes: int) -> None:
    os.truncate(path, path.stat().st_size - n_bytes)


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _glue(hurt: Hurt) -> None:
    lines = hurt.lines
    lines[3] = lines[3].rstrip(b"\n")
    hurt.lines = lines


def _nuls_for_a_newline(hurt: Hurt) -> None:
    _cut(hurt.manifest, 1)
    _append(hurt.manifest, bytes(512))


def _overwrite(hurt: Hurt) -> None:
    lines = hurt.lines
    lines[3] = bytes(200) + lines[3][200:]
    hurt.lines = lines


def _without_field(hurt: Hurt) -> None:
    record = hurt.record()
    del record["prompt"]
    lines = hurt.lines
    lines[3] = json.dumps(record).encode() + b"\n"
    hurt.lines = lines


def _share(hurt: Hurt) -> None:
    hurt.rewrite(3, **hurt.record(5)["images"][0])


def _swap(hurt: Hurt) -> None:
    one, other = hurt.image(3), hurt.image(5)
    one.rename(hurt.root / "swap")
    other.rename(one)
    (hurt.root / "swap").rename(other)


def _as_directory(hurt: Hurt) -> None:
    image = hurt.image()
    image.unlink()
    image.mkdir()
    (image / "within.png").write_bytes(b"something")


def _as_link(hurt: Hurt) -> None:
    image = hurt.image()
    image.rename(hurt.root.parent / "elsewhere.png")
    image.symlink_to(hurt.root.parent / "elsewhere.png")


def _as_pipe(hurt: Hurt) -> None:
    hurt.image().unlink()
    os.mkfifo(hurt.image())


def _rename(hurt: Hurt) -> None:
    hurt.image().rename(hurt.image().with_name("my favourite.png"))


def _move(hurt: Hurt) -> None:
    (hurt.root / "images/best").mkdir()
    hurt.image().rename(hurt.root / "images/best/one.png")


def _undecodable(hurt: Hurt) -> None:
    content = hurt.image().read_bytes()[:60] + bytes(400)
    hurt.image().write_bytes(content)
    hurt.rewrite(sha256=sha256(content).hexdigest(), bytes=len(content))


def _unfinished(hurt: Hurt, *, is_named: bool) -> None:
    record = hurt.take_line()
    if not is_named:
        (hurt.state / "parts").mkdir(exist_ok=True)
        (hurt.root / record["images"][0]["file"]).rename(hurt.state / "parts/it.1.0")
    said = {"result": record, "parts": [".state/parts/it.1.0"]}
    hurt.journal(json.dumps(said).encode() + b"\n")


def _unfinished_and_lost(hurt: Hurt) -> None:
    _unfinished(hurt, is_named=False)
    _flip(hurt.state / "parts/it.1.0")


def _stale(hurt: Hurt) -> None:
    metadata = hurt.root / "metadata.jsonl"
    metadata.write_bytes(b"".join(metadata.read_bytes().splitlines(keepends=True)[1:]))


_LEFT = b'{"send":"00ff","attempt":1,"run":"r0","at":"2026-11-22T14:00:00.000Z"}\n'

DAMAGES = [
    Damage(name="a torn tail", do=lambda f: _cut(f.manifest, 30), kind="torn", n_owed=1),
    Damage(name="the last newline missing", do=lambda f: _cut(f.manifest, 1), kind="torn"),
    Damage(name="garbage at the end", do=lambda f: _append(f.manifest, b"\x9f{]"), kind="torn"),
    Damage(name="NULs at the end", do=lambda f: _append(f.manifest, bytes(4096)), kind="torn"),
    Damage(
        name="NULs after a lost newline",
        do=_nuls_for_a_newline,
        kind="torn",
    ),
    Damage(
        name="two lines of garbage at the end",
        do=lambda f: _append(f.manifest, b"one\ntwo\n"),
        kind="damaged_line",
    ),
    Damage(name="garbage in the middle", do=lambda f: f.insert(b"\xff\n"), kind="damaged_line"),
    Damage(name="a blank line", do=lambda f: f.insert(b"\n"), kind="damaged_line"),
    Damage(name="a line overwritten by NULs", do=_overwrite, kind="damaged_line", n_owed=1),
    Damage(
        name="NULs before a line",
        do=lambda f: f.replace(b"{", bytes(9) + b"{"),
        kind="damaged_line",
    ),
    Damage(name="a newline lost between two lines", do=_glue, kind="damaged_line"),
    Damage(
        name="invalid UTF-8 in what was asked",
        do=lambda f: f.replace(b'"prompt":"', b'"prompt":"\xe2'),
        kind="damaged_line",
    ),
    Damage(
        name="invalid UTF-8 in the SHA-256",
        do=lambda f: f.replace(b'"sha256":"', b'"sha256":"\xe2'),
        kind="damaged_line",
        n_owed=1,
    ),
    Damage(name="JSON that is no record", do=lambda f: f.insert(b"[1]\n"), kind="damaged_line"),
    Damage(name="a field missing", do=_without_field, kind="damaged_line", n_owed=1),
    Damage(
        name="no manifest", do=lambda f: f.manifest.unlink(), kind="no_manifest", n_owed=N_TASKS
    ),
    Damage(
        name="an empty manifest",
        do=lambda f: f.manifest.write_bytes(b""),
        kind="unnamed",
        n_owed=N_TASKS,
    ),
    Damage(name="a line repeated", do=lambda f: f.insert(f.lines[1]), kind="repeated_line"),
    Damage(
        name="a line repeated at the end",
        do=lambda f: f.insert(f.lines[1], at=99),
        kind="repeated_line",
    ),
    Damage(name="two tasks name one file", do=_share, kind="shared", n_owed=1),
    Damage(name="a line removed", do=lambda f: f.take_line(), kind="unnamed", n_owed=1),
    Damage(name="an image missing", do=lambda f: f.image().unlink(), kind="missing", n_owed=1),
    Damage(name="an image cut", do=lambda f: _cut(f.image(), 9), kind="wrong_size", n_owed=1),
    Damage(
        name="an image emptied",
        do=lambda f: f.image().write_bytes(b""),
        kind="wrong_size",
        n_owed=1,
    ),
    Damage(name="a bit flipped", do=lambda f: _flip(f.image()), kind="wrong_content", n_owed=1),
    Damage(
        name="bytes appended",
        do=lambda f: _append(f.image(), b"\n"),
        kind="wrong_size",
        n_owed=1,
    ),
    Damage(
        name="an image replaced by another",
        do=lambda f: shutil.copy(f.image(5), f.image(3)),
        kind="wrong_size",
        n_owed=1,
    ),
    Damage(name="two images swapped", do=_swap, kind="wrong_size"),
    Damage(name="a directory for an image", do=_as_directory, kind="not_a_file", n_owed=1),
    Damage(name="a link for an image", do=_as_link, kind="not_a_file", n_owed=1),
    Damage(name="a pipe for an image", do=_as_pipe, kind="not_a_file", n_owed=1),
    Damage(name="an image renamed", do=_rename, kind="missing"),
    Damage(name="an image moved", do=_move, kind="missing"),
    Damage(
        name="a file nobody names",
        do=lambda f: (f.root / "images/0/extra.png").write_bytes(b"extra"),
        kind="unnamed",
    ),
    Damage(
        name="a folder of images gone",
        do=lambda f: shutil.rmtree(f.root / "images/1"),
        kind="missing",
        n_owed=N_TASKS // 2,
    ),
    Damage(
        name="a line that names a file outside",
        do=lambda f: f.rewrite(file="../outside.png"),
        kind="outside",
        n_owed=1,
    ),
    Damage(
        name="a line that names a file by its whole path",
        do=lambda f: f.rewrite(file="/etc/hostname"),
        kind="outside",
        n_owed=1,
    ),
    Damage(
        name="a line that names a file of ours",
        do=lambda f: f.rewrite(file=".state/lock"),
        kind="outside",
        n_owed=1,
    ),
    Damage(
        name="another SHA-256 in the line",
        do=lambda f: f.rewrite(sha256="0" * 64),
        kind="wrong_content",
        n_owed=1,
    ),
    Damage(
        name="another size in the line",
        do=lambda f: f.rewrite(bytes=7),
        kind="wrong_size",
        n_owed=1,
    ),
    Damage(name="an image that does not decode", do=_undecodable, kind="undecodable", n_owed=1),
    Damage(
        name="a part left over",
        do=lambda f: (f.state / "parts/r0-1").write_bytes(b"half an image"),
        kind="leftover",
    ),
    Damage(
        name="a half-written file left over",
        do=lambda f: (f.state / "metadata.jsonl.00ff.tmp").write_bytes(b"{"),
        kind="leftover",
    ),
    Damage(name="a torn journal", do=lambda f: f.journal(_LEFT[:30]), kind="damaged_journal"),
    Damage(
        name="garbage in the journal",
        do=lambda f: f.journal(b"\0\0\0\n" + _LEFT),
        kind="damaged_journal",
    ),
    Damage(
        name="a result in the journal that is none",
        do=lambda f: f.journal(b'{"result":{"id":"1","run":"r0"},"parts":[]}\n'),
        kind="damaged_journal",
    ),
    Damage(
        name="an image complete in its part",
        do=lambda f: _unfinished(f, is_named=False),
        kind="unfinished",
    ),
    Damage(
        name="an image that has its name but no line",
        do=lambda f: _unfinished(f, is_named=True),
        kind="unfinished",
    ),
    Damage(
        name="an image damaged in its part", do=_unfinished_and_lost, kind="unfinished", n_owed=1
    ),
    Damage(name="stale metadata", do=_stale, kind="metadata"),
    Damage(
        name="no job",
        do=lambda f: (f.root / "job.yaml").unlink(),
        kind="job",
        is_mended_by_the_run=True,
    ),
    Damage(
        name="a job that is no YAML",
        do=lambda f: (f.root / "job.yaml").write_bytes(b"\0{"),
        kind="job",
        is_mended_by_the_run=True,
    ),
    Damage(
        name="notes on the plan damaged",
        do=lambda f: (f.state / "plan.json").write_bytes(b"{"),
        kind="damaged_state",
    ),
    Damage(
        name="notes on the owner damaged",
        do=lambda f: (f.state / "folder.json").write_bytes(b"\0\0"),
        kind="damaged_state",
    ),
]
