"""What a folder holds that its job asks for no more, said in the shorter way."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from pipeline.app.wanted import _unwanted
from pipeline.store.ledger import AllBut

_IDS = st.sets(st.sampled_from("abcdefghijkl"))


@given(_IDS, _IDS)
def test_all_that_is_held_and_not_asked_for_is_unwanted(asked: set[str], held: set[str]) -> None:
    unwanted = _unwanted(iter(asked), len(asked), held)
    assert {one for one in held if one in unwanted} == held - asked
    assert len(unwanted) == len(held - asked)


def test_of_a_long_folder_and_a_short_job_the_short_one_is_said() -> None:
    held = {str(number) for number in range(1000)}
    assert _unwanted(iter("xyz"), 3, held) == AllBut(ids=set("xyz"), n_others=1000)
    assert _unwanted(iter(held), 1000, {*held, "x"}) == {"x"}


def test_what_is_left_of_a_long_list_takes_no_more_room_than_it_needs() -> None:
    held = {str(number) for number in range(10_000)}
    unwanted = _unwanted(iter([*held, "new"]), 10_001, {*held, "x"})
    assert unwanted == {"x"}
    assert sys.getsizeof(unwanted) < 1000
