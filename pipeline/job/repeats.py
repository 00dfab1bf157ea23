"""Requests that are asked for twice: found among the ids of a plan, without a set of them all."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Buffer = bytes | bytearray | memoryview

ID_BYTES = 10
"""How long an id is in binary; its text is twice as long."""

_AT_ONCE = 4096
_each = struct.Struct(f"{ID_BYTES}s").iter_unpack


def repeats_in(ids: Buffer) -> array[int]:
    """The numbers, from 0, of those ids that stand further in front already; in order.

    Memory is some seven bytes an id: each sets a bit, and the few whose bit was set before, nearly
    all of them by chance, are looked at once more.
    """
    doubtful = _met_before(ids)
    met: set[bytes] = set()
    found = array("Q")
    for number, (one,) in enumerate(_each(ids)) if doubtful else ():
        if one in met:
            found.append(number)
        elif one in doubtful:
            met.add(one)
    return found


def first_of(ids: Buffer, number: int) -> int:
    """The number of the first id that is the same as the one with this number."""
    this = ids[number * ID_BYTES :][:ID_BYTES]
    return next(n for n, (one,) in enumerate(_each(ids)) if one == this)


def texts_of(ids: Buffer, repeats: Sequence[int]) -> Iterator[list[str]]:
    """The ids as texts, some thousands at a time, without those that ``repeats`` numbers."""
    for start in range(0, len(ids) // ID_BYTES, _AT_ONCE):
        stop = start + _AT_ONCE
        text = ids[start * ID_BYTES : stop * ID_BYTES].hex()
        texts = [text[at : at + 2 * ID_BYTES] for at in range(0, len(text), 2 * ID_BYTES)]
        for number in reversed(repeats[bisect_left(repeats, start) : bisect_left(repeats, stop)]):
            del texts[number - start]
        yield texts


def number_of(place: int, repeats: Sequence[int]) -> int:
    """The number of the id that has ``place`` among those that are no repeats."""
    for number in repeats:
        if number > place:
            break
        place += 1
    return place


def mixed(pieces: Iterable[Buffer]) -> int:
    """One number for a set of ids, in whatever order they stand in ``pieces``.

    Two sets of equal size that have it in common are the same set, as sure as two requests with
    one id are the same request.
    """
    total, n_bytes = 0, 0
    for piece in pieces:
        total ^= int.from_bytes(piece)
        n_bytes = max(n_bytes, len(piece))
    return reduce(xor, (int.from_bytes(one) for (one,) in _each(total.to_bytes(n_bytes))), 0)


def _met_before(ids: Buffer) -> set[bytes]:
    mask = (1 << (len(ids) // ID_BYTES).bit_length() + 1) - 1  # at least 16 bits for each id
    bits = bytearray(mask + 1)
    met: set[bytes] = set()
    for (one,) in _each(ids):
        number = hash(one)
        place, bit = number >> 3 & mask, 1 << (number & 7)
        if bits[place] & bit:
            met.add(one)
        else:
            bits[place] |= bit
    return met
