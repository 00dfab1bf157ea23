"""metadata.jsonl: what a plain reading of the lines would put there, in plan order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from keeping import made, task

from pipeline.store import metadata
from pipeline.store.metadata import metadata_of
from pipeline.store.record import line_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIXED = ["file_name", "prompt", "id", "index", "sample", "model", "seed", "aspect_ratio"]
_FIXED += ["image_size", "width", "height"]
_COLUMNS = ["a", "b", "prompt", "meta_prompt", "ü"]


class Shelf:
    """Lines by where they start."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        self.by_offset: dict[int, bytes] = {}
        for record in records:
            self.by_offset[sum(map(len, self.by_offset.values()))] = line_of(record)

    def lines(self, offsets: Iterable[int]) -> Iterator[bytes]:
        return (self.by_offset[offset] for offset in offsets)


def _record(place: tuple[int, int], files: list[int], meta: dict[str, Any]) -> dict[str, Any]:
    index, sample = place
    said = {"meta": meta, "vars": {"seed": 1, "style": "x"}}
    of = task(index, sample=sample, id=f"{index}-{sample}", **said)
    record = record_of(made(of), files=[], run="r")
    size = {"width": 3, "height": 4}
    record["images"] = [{"file": f"images/{n}.png", **size} for n in dict.fromkeys(files)]
    return record


_RECORDS = st.lists(
    st.builds(
        _record,
        st.tuples(st.integers(0, 10**8), st.integers(0, 9_999)),
        st.lists(st.integers(0, 30), max_size=3),
        st.dictionaries(st.sampled_from(_COLUMNS), st.none() | st.text(), max_size=3),
    ),
    max_size=12,
    unique_by=lambda one: one["id"],
)


def _plainly(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    newest = {image["file"]: one["id"] for one in records for image in one["images"]}
    rows = []
    for one in sorted(records, key=lambda one: (one["index"], one["sample"])):
        for image in one["images"]:
            if newest[image["file"]] == one["id"]:
                own = {"file_name": image["file"], "width": 3, "height": 4}
                rows.append({name: own.get(name, one.get(name)) for name in _FIXED})
                rows[-1] |= {"meta": one["meta"], "vars": one["vars"]}
    return rows


@given(_RECORDS)
def test_rows_stand_in_plan_order_and_a_file_belongs_to_the_newest_line(
    records: list[dict[str, Any]],
) -> None:
    shelf = Shelf(records)
    lines = b"".join(metadata_of(shelf, reversed(shelf.by_offset))).split(b"\n")
    rows = [orjson.loads(line) for line in lines[:-1]]
    plain = _plainly(records)
    columns = list(dict.fromkeys(name for one in records for name in one["meta"]))
    assert [{name: row[name] for name in _FIXED} for row in rows] == [
        {name: row[name] for name in _FIXED} for row in plain
    ]
    for row, one in zip(rows, plain, strict=True):
        assert list(row)[: len(_FIXED)] == _FIXED
        assert len(row) == len(_FIXED) + len(columns) + 2
        assert (row["vars_seed"], row["style"]) == (1, "x")
        for name in {"a", "b", "ü"} & set(columns):
            assert row[name] == one["meta"].get(name)


def test_pieces_hold_whole_rows() -> None:
    n_rows = 2 * metadata._AT_ONCE + 1
    shelf = Shelf(_record((n, 0), [n], {}) for n in range(n_rows))
    pieces = list(metadata_of(shelf, shelf.by_offset))
    assert [piece.count(b"\n") for piece in pieces] == [metadata._AT_ONCE] * 2 + [1]
    assert all(piece.endswith(b"}\n") for piece in pieces)
