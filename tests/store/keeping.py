"""Outcomes to keep, and a folder to keep them in."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.core.model import Answer, Course, Failed, Image, Made, Task, Why
from pipeline.store.folder import Folder, Terms
from pipeline.store.part import FilePart
from pipeline.store.record import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.model import Outcome, Part


_numbers = itertools.count()


def task(number: int = 0, **changes: Any) -> Task:
    said: dict[str, Any] = {
        "id": f"{number:020x}",
        "index": number,
        "sample": 0,
        "prompt": f"prompt {number}",
        "model": "m",
    }
    return Task(**(said | changes))


def course(**changes: Any) -> Course:
    said: dict[str, Any] = {
        "attempts": 1,
        "started_at": "2026-11-22T14:00:00.123Z",
        "finished_at": "2026-11-22T14:00:08.333Z",
        "latency_s": 8.21,
        "cost_usd": 0.039,
        "provider": "simulator",
    }
    return Course(**(said | changes))


def image(part: Part, content: bytes = b"bytes", media_type: str = "image/png") -> Image:
    part.write(content)
    return Image(
        part=part,
        media_type=media_type,
        width=1024,
        height=768,
        n_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def made(of: Task, *images: Image, **changes: Any) -> Made:
    return Made(task=of, images=images, answer=Answer(), course=course(**changes))


def failed(of: Task, why: Why = Why.REFUSED, **changes: Any) -> Failed:
    return Failed(task=of, why=why, answer=Answer(detail="no"), course=course(**changes))


def record(
    outcome: Outcome, *, n_images: int = 1, run: str = "r", **changes: Any
) -> dict[str, Any]:
    """What the line of an outcome says; of one that is made with images nobody has."""
    said = record_of(outcome, files=[], run=run)
    if isinstance(outcome, Made):
        names = (f"images/{outcome.task.index}-{number}.png" for number in range(n_images))
        said["images"] = [pictured(name) for name in names]
    return said | changes


def pictured(file: str) -> dict[str, Any]:
    """What a line says of an image."""
    size = {"bytes": 5, "media_type": "image/png", "width": 1024, "height": 768}
    return {"file": file, "sha256": "0" * 64, **size}


def path_for(of: Task, number: int, extension: str) -> str:
    return f"images/{of.index // 1000:03}/{of.index:06}{f'-{number}' if number else ''}.{extension}"


def terms(**changes: Any) -> Terms:
    said: dict[str, Any] = {"job": "sunsets", "run": "r1", "path_for": path_for}
    return Terms(**(said | changes))


def part(folder: Folder) -> FilePart:
    """A part that belongs to no attempt."""
    return FilePart(folder._disk, f"part-{next(_numbers)}")


async def keep_made(folder: Folder, number: int, content: bytes = b"bytes", **changes: Any) -> None:
    of = task(number, **changes)
    trail = folder.begin(of, 1, at="2026-11-22T14:00:00.123Z")
    trail.heard(f"gen-{number}")
    await folder.keep(made(of, image(trail.part(), content)))


def files_in(root: Path) -> set[str]:
    return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
