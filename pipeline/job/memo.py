"""A survey as bytes, so that a long job whose rows have not changed is not looked through again."""

from __future__ import annotations

from array import array
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from pipeline.job.repeats import ID_BYTES, Buffer
from pipeline.job.tasks import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.job.job import Job

_SUM_BYTES = 16
_PIECE_BYTES = 1 << 20
_ASKS_WORTH_IT = range(20_000, 20_000_000)
"""Fewer are looked through in some 0.1 s, more would take too large a file."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The line that the bytes begin with; ``key`` and ``sum`` are hexadecimal."""

    key: str
    sum: str
    n_rows: int
    n_combinations: int
    n_tasks: int
    n_repeated: int
    repeated: str | None
    models: tuple[str, ...]
    n_repeats: int


def is_worth_it(survey: Survey) -> bool:
    """Whether to keep it: a long one, of a job without input images, which may change unseen."""
    return len(survey.ids) // ID_BYTES in _ASKS_WORTH_IT and not survey.has_references


def key_of(job: Job, content: bytes, version: str) -> str:
    """What a survey follows from: the job but its limit, its prompts' hash, and who looked."""
    return blake2b(
        repr((version, replace(job, limit=None), content)).encode(errors="replace")
    ).hexdigest()


def pieces_of(survey: Survey, key: str) -> Iterator[bytes]:
    """The survey as bytes in pieces, without what is only there to be shown."""
    repeats = survey.repeats.tobytes()
    head = _Head(
        key=key,
        sum=_sum_of(repeats, survey.ids),
        n_rows=survey.n_rows,
        n_combinations=survey.n_combinations,
        n_tasks=survey.n_tasks,
        n_repeated=survey.n_repeated,
        repeated=survey.repeated,
        models=survey.models,
        n_repeats=len(survey.repeats),
    )
    yield msgspec.json.encode(head) + b"\n"
    yield repeats
    for start in range(0, len(survey.ids), _PIECE_BYTES):
        yield bytes(survey.ids[start : start + _PIECE_BYTES])


def survey_in(content: bytes, job: Job, key: str) -> Survey | None:
    """The survey of ``job``; None where it is another's, or not whole."""
    end = content.find(b"\n") + 1
    whole = memoryview(content)  # there may be many megabytes
    try:
        head = _decode(whole[:end])
    except msgspec.MsgspecError:
        return None
    rest = whole[end:]
    repeats = array("Q")
    n_bytes = repeats.itemsize * head.n_repeats
    if head.key != key or head.sum != _sum_of(rest[:n_bytes], rest[n_bytes:]):
        return None
    repeats.frombytes(rest[:n_bytes])
    return Survey(
        n_rows=head.n_rows,
        n_combinations=head.n_combinations,
        n_tasks=head.n_tasks,
        n_wanted=head.n_tasks if job.limit is None else min(head.n_tasks, job.limit),
        n_repeated=head.n_repeated,
        repeated=head.repeated,
        axes={name: len(axis) for name, axis in job.matrix.axes.items()},
        models=head.models,
        first=(),
        has_references=False,
        repeats=repeats,
        ids=rest[n_bytes:],
        kinds=None,
    )


def _sum_of(repeats: Buffer, ids: Buffer) -> str:
    total = blake2b(repeats, digest_size=_SUM_BYTES)
    total.update(ids)
    return total.hexdigest()


_decode = msgspec.json.Decoder(_Head).decode
