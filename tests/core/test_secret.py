"""A key cannot be shown, stored or passed on by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import orjson
import pytest

from pipeline.core.model import Secret
from pipeline.provider.http import Address
from pipeline.provider.outgoing import ask_of

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-made-up-0c2b9a8e77654f1d"
SECRET = Secret(KEY)
ADDRESS = Address(base_url="https://x.test", key=SECRET, headers={"X-Title": "t"})


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        "{}".format,
        "{0!r}".format,
        "{0:>40}".format,
        lambda it: f"{it}",
        lambda it: f"{it!s:.400}",
        lambda it: "%s %r" % (it, it),  # noqa: UP031 - the old way has to be masked too
        lambda it: str([it, {it: it}]),
        lambda it: str(Exception(it)),
        lambda it: "".join(traceback.format_exception(RuntimeError(it))),
        lambda it: logging.LogRecord("n", 1, "p", 1, "%s", (it,), None).getMessage(),
        lambda it: str(dir(it)),
    ],
)
@pytest.mark.parametrize("holder", [SECRET, ADDRESS, ask_of(ADDRESS, "/", b"{}")])
def test_no_way_to_show_it_shows_it(show: Callable[[object], str], holder: object) -> None:
    try:
        shown = show(holder)
    except TypeError as refusal:  # a width for what knows none, or a dict for a key
        shown = str(refusal)
    assert KEY not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("holder", [SECRET, ADDRESS, [SECRET]])
def test_it_is_never_pickled(holder: object, protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(holder, protocol)
    with pytest.raises(TypeError, match="never pickled"):
        object.__getattribute__(SECRET, "__getstate__")()


def test_it_is_never_json() -> None:
    for dumps in (json.dumps, orjson.dumps):
        with pytest.raises(TypeError) as refused:
            dumps({"key": SECRET})
        assert KEY not in str(refused.value)


def test_a_copy_is_the_same_secret() -> None:
    for copied in (
        copy.copy(SECRET),
        copy.deepcopy(SECRET),
        copy.deepcopy([SECRET])[0],
        replace(ADDRESS).key,
        asdict(ADDRESS)["key"],
    ):
        assert copied is SECRET
    assert SECRET.reveal() == KEY


def test_it_is_taken_out_of_texts() -> None:
    assert SECRET.masked_in(f"Incorrect API key {KEY}, {KEY}") == "Incorrect API key ***, ***"
    assert Secret("").masked_in("abc") == "abc"
