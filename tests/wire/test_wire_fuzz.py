"""Every reply of the table, cut anywhere, broken off anywhere, with any bit flipped."""

from __future__ import annotations

import io
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from replies import AVIF, CAT, CAT_SIGNED, DOG, GIF, JPEG, ODD, SVG, WEBP, Said

from pipeline.core.model import Failure, Reply, Task
from pipeline.core.ports import Break, Broken, Found
from pipeline.provider.chat import Chat
from pipeline.provider.image import Inspector
from pipeline.provider.images import Images
from pipeline.provider.reader import Allowed
from pipeline.store.decoding import problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from pipeline.core.ports import Provider

TASK = Task(id="0" * 20, index=0, sample=0, prompt="a cat", model="some/model")
WHOLE = {CAT, CAT_SIGNED, DOG, ODD, JPEG, WEBP, GIF, AVIF, SVG}
N_BROKEN = 1_000


def provider(dialect: str) -> Provider:
    allowed = Allowed(svg=True, links=True)
    if dialect == "chat":
        return Chat(is_streamed=False, mask=str, allowed=allowed)
    return Images(is_streamed=False, mask=str, allowed=allowed, dialect=dialect)


REPLIES = {
    f"{case.id} {number}": (provider(case.profile.get("dialect", "chat")), script.body)
    for case in CASES
    for number, script in enumerate(case.scripts)
    if isinstance(script, Said) and len(script.body) < 30_000
}


async def nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes, ...]():
        yield piece


def read(
    asked: Provider, pieces: Iterable[bytes], broken: Broken | None = None
) -> tuple[Any, list[tuple[str, bytes]]]:
    """The verdict, comparable, and the type and bytes of each image found."""
    head = Reply(status=200, headers={}, arrived_at=0, body=nothing())
    reader = asked.reader_of(head, TASK)
    bytes_of: dict[int, bytes] = {}
    for chunk in pieces:
        for number, piece in reader.feed(chunk):
            bytes_of[number] = bytes_of.get(number, b"") + piece
    verdict = reader.close(broken)
    if isinstance(verdict, Failure):
        return (verdict.why, verdict.answer, str(verdict.stop), verdict.retry_after_s), []
    assert isinstance(verdict, Found)
    found = [(image.media_type, bytes_of[image.number]) for image in verdict.images]
    return verdict, found


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


@given(name=st.sampled_from(sorted(REPLIES)), places=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(name: str, places: list[int]) -> None:
    asked, body = REPLIES[name]
    assert read(asked, cut(body, places)) == read(asked, [body])


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_the_smallest_pieces_make_no_difference(step: int) -> None:
    for asked, body in REPLIES.values():
        assert read(asked, cut(body, range(0, len(body), step))) == read(asked, [body])


def test_a_thousand_replies_that_broke_off_bring_whole_images_or_none() -> None:
    chance = random.Random(1)
    n_found = 0
    for _ in range(N_BROKEN):
        asked, body = chance.choice(list(REPLIES.values()))
        end = chance.randrange(len(body) + 1)
        broken = chance.choice([None, Broken(Break.CUT), Broken(Break.IDLE)])
        _, found = read(asked, cut(body[:end], [chance.randrange(end + 1)]), broken)
        assert {image for _, image in found} <= WHOLE
        n_found += bool(found)
    assert n_found


def test_a_thousand_replies_with_flipped_bits_bring_nothing_that_does_not_decode() -> None:
    chance = random.Random(2)
    n_found = 0
    for _ in range(N_BROKEN):
        asked, body = chance.choice(list(REPLIES.values()))
        damaged = bytearray(body)
        for _ in range(chance.choice([1, 1, 2, 8])):
            damaged[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        _, found = read(asked, [bytes(damaged)])
        # What flips inside a scan of the other types, no structure shows: `verify: decode` does.
        for kind, image in found:
            assert kind != "image/png" or problem_of(io.BytesIO(image), kind) is None
        n_found += bool(found)
    assert n_found


@pytest.mark.parametrize(
    "image", [CAT, JPEG, WEBP, GIF, AVIF, SVG], ids=["png", "jpeg", "webp", "gif", "avif", "svg"]
)
def test_no_part_of_an_image_is_a_whole_one(image: bytes) -> None:
    for end in range(len(image)):
        inspector = Inspector(allows_svg=True)
        inspector.feed(image[:end])
        assert inspector.look().problem, end
    inspector.feed(image[end:])
    assert inspector.look().problem is None
