"""Whether a PNG is whole, by its chunks."""

from __future__ import annotations

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from pipeline.provider.image import Inspector, Look

CONTENTS = st.lists(st.binary(max_size=60), min_size=1, max_size=8)
HEADER = struct.pack(">IIBBBBB", 300, 200, 8, 2, 0, 0, 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)


def png(contents: list[bytes]) -> bytes:
    chunks = [chunk(b"IHDR", HEADER), *(chunk(b"IDAT", one) for one in contents)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def looked_at(data: bytes, cuts: list[int]) -> Look:
    inspector = Inspector()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        inspector.feed(data[start:end])
    return inspector.look()


def cuts_of(data: st.DataObject, n_bytes: int) -> list[int]:
    return sorted(data.draw(st.lists(st.integers(0, n_bytes), max_size=30)))


@given(contents=CONTENTS, data=st.data())
def test_chunks_of_any_length_in_pieces_of_any_length_are_whole(
    contents: list[bytes], data: st.DataObject
) -> None:
    whole = png(contents)
    look = looked_at(whole, cuts_of(data, len(whole)))
    assert (look.problem, look.width, look.height) == (None, 300, 200)


@given(contents=CONTENTS, data=st.data())
def test_cut_anywhere_or_changed_anywhere_it_is_not(
    contents: list[bytes], data: st.DataObject
) -> None:
    whole = png(contents)
    cut = whole[: data.draw(st.integers(8, len(whole) - 1))]
    assert looked_at(cut, cuts_of(data, len(cut))).problem
    at = data.draw(st.integers(8, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    assert looked_at(changed, cuts_of(data, len(whole))).problem


@given(contents=CONTENTS, behind=st.binary(max_size=40))
def test_what_stands_behind_the_end_changes_nothing(contents: list[bytes], behind: bytes) -> None:
    assert looked_at(png(contents) + behind, []).problem is None
