"""What one manifest line says: an outcome as a record, a record as the task it came from."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.core.model import Keep, Made, Reference, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.model import Image, Outcome

_PAYLOAD = re.compile(r"[A-Za-z0-9+/_-]{1024,}={0,2}")


def record_of(outcome: Outcome, *, files: Sequence[str], run: str) -> dict[str, Any]:
    """The record of an outcome, every field in its place.

    ``files``: where each of its images lies, relative to the output folder, in their order.
    ``orphaned`` is for the store to fill: ``{"file", "moved_to", "id"}`` of files found in the
    way, and the task they belonged to until now, null where no line names them. So is ``answers``
    where the task was answered before.
    """
    task, answer, course = outcome.task, outcome.answer, outcome.course
    is_made = isinstance(outcome, Made)
    images = outcome.images if isinstance(outcome, Made) else ()
    return {
        "id": task.id,
        "status": "made" if is_made else "failed",
        "why": None if isinstance(outcome, Made) else str(outcome.why),
        "index": task.index,
        "sample": task.sample,
        "prompt": task.prompt,
        "model": task.model,
        "served_model": answer.served_model,
        "params": dict(task.params),
        "vars": dict(task.vars),
        "meta": dict(task.meta),
        "images": [_image(image, file) for image, file in zip(images, files, strict=True)],
        "text": _without_payload(answer.text),
        "detail": _without_payload(answer.detail),
        "attempts": course.attempts,
        "request_id": answer.request_id,
        "usage": dict(answer.usage),
        "cost_usd": course.cost_usd,
        "provider": course.provider,
        "started_at": course.started_at,
        "finished_at": course.finished_at,
        "latency_s": round(course.latency_s, 3),
        "run": run,
        "aspect_ratio": task.aspect_ratio,
        "image_size": task.image_size,
        "seed": task.seed,
        "keep": str(task.keep),
        "maybe_billed": course.n_maybe_billed,
        "orphaned": [],
        "warnings": [_without_payload(warning) for warning in answer.warnings],
        "references": [_reference(reference) for reference in task.references],
        "unpriced": course.n_unpriced,
        "answers": int(is_made),
    }


def task_of(record: Mapping[str, Any]) -> Task:
    """The task a record came from, as it was; raises KeyError or ValueError if it is no record."""
    return Task(
        id=record["id"],
        index=record["index"],
        sample=record["sample"],
        prompt=record["prompt"],
        model=record["model"],
        aspect_ratio=record.get("aspect_ratio"),
        image_size=record.get("image_size"),
        seed=record.get("seed"),
        params=record["params"],
        keep=Keep(record.get("keep", Keep.ALL)),
        vars=record["vars"],
        meta=record["meta"],
        references=tuple(map(_reference_of, record.get("references", ()))),
    )


def run_of(line: bytes) -> str:
    """The run that wrote a line."""
    return str(orjson.loads(line).get("run"))


def line_of(record: Mapping[str, Any]) -> bytes:
    r"""A record as its line, ``\n`` included: UTF-8, one line, no NaN, no lone surrogate.

    What strict JSON cannot say is replaced, never an error: the money is spent by now. NaN and the
    infinities become null, a lone surrogate U+FFFD.
    """
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        said = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False)
        return said.encode() + b"\n"


def _reference(reference: Reference) -> dict[str, Any]:
    where = "path" if reference.sha256 else "url"
    return {where: reference.source, "sha256": reference.sha256}


def _reference_of(said: Mapping[str, Any]) -> Reference:
    if "url" in said:
        return Reference(source=said["url"])
    return Reference(source=said["path"], sha256=str(said["sha256"]))


def _image(image: Image, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "sha256": image.sha256,
        "bytes": image.n_bytes,
        "media_type": image.media_type,
        "width": image.width,
        "height": image.height,
    }


def _without_payload(text: str | None) -> str | None:
    return text and _PAYLOAD.sub("…", text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
