"""Requests asked for twice, found among packed ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.job.repeats import ID_BYTES, first_of, mixed, number_of, repeats_in, texts_of

if TYPE_CHECKING:
    import random

_IDS = st.lists(st.integers(0, 40).map(lambda n: n.to_bytes(ID_BYTES, "big")), max_size=80)


@settings(deadline=None)
@given(_IDS)
def test_every_id_that_was_there_before_is_a_repeat(ids: list[bytes]) -> None:
    repeats = repeats_in(b"".join(ids))
    assert list(repeats) == [n for n, one in enumerate(ids) if one in ids[:n]]
    for number in repeats:
        assert first_of(b"".join(ids), number) == ids.index(ids[number])


def test_chance_makes_no_repeat_among_many() -> None:
    ids = b"".join((n * 0x9E3779B97F4A7C15 % 2**80).to_bytes(10, "big") for n in range(20_000))
    assert len(repeats_in(ids)) == 0
    assert list(repeats_in(ids + ids[50:70])) == [20_000, 20_001]


@settings(deadline=None)
@given(_IDS)
def test_texts_are_the_ids_without_repeats_and_numbers_lead_back(ids: list[bytes]) -> None:
    blob = b"".join(ids)
    repeats = repeats_in(blob)
    texts = [text for some in texts_of(blob, repeats) for text in some]
    assert texts == [one.hex() for one in dict.fromkeys(ids)]
    for place, text in enumerate(texts):
        assert ids[number_of(place, repeats)].hex() == text


def test_texts_come_some_thousands_at_a_time() -> None:
    ids = b"".join(n.to_bytes(10, "big") for n in range(10_000))
    assert [len(some) for some in texts_of(ids, [3, 5000])] == [4095, 4095, 1808]


@settings(deadline=None)
@given(st.sets(st.binary(min_size=10, max_size=10), max_size=40), st.randoms(), st.integers(1, 9))
def test_a_set_of_ids_has_one_number_in_whatever_order(
    ids: set[bytes], rng: random.Random, n_each: int
) -> None:
    there, number = list(ids), mixed([b"".join(ids)])
    rng.shuffle(there)
    pieces = [b"".join(there[at : at + n_each]) for at in range(0, len(there), n_each)]
    assert mixed(pieces) == number
    for one in there:
        other = bytes([one[0] ^ 1]) + one[1:]
        assert mixed([*pieces, one, other]) != number
