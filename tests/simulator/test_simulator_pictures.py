"""Pictures: valid, repeatable, different, readable, whatever the prompt and the size."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.provider.simulator.draw.caption import set_in, shown
from pipeline.provider.simulator.draw.picture import picture
from pipeline.provider.simulator.prebuilt import prebuilt_png

ROOT = Path(__file__).parents[2]
CALLS = (
    *("space", "city", "sea", "flowers", "forest", "desert", "balloon"),
    *("house", "table", "mountain", "bauhaus", "circles", "abstract", "mandala"),
)


def opened(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.convert("RGB")


@pytest.mark.parametrize("word", CALLS)
@pytest.mark.parametrize("size", [(128, 128), (8, 300), (400, 40), (1, 1), (1400, 900)])
def test_every_scene_can_be_drawn_in_every_shape(word: str, size: tuple[int, int]) -> None:
    assert opened(picture(7, f"a {word}", size)).size == size


def test_different_prompts_look_different() -> None:
    thumbnails = [
        opened(picture(n, f"a {word}", (128, 128))).resize((4, 4)).tobytes()
        for n, word in enumerate(CALLS)
    ]
    for n, one in enumerate(thumbnails):
        for other in thumbnails[:n]:
            distance = sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)
            assert distance > 5


def test_two_seeds_of_one_prompt_look_different() -> None:
    assert picture(1, "a castle", (96, 96)) != picture(2, "a castle", (96, 96))


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(max_size=400), seed=st.integers(0, 2**64 - 1))
def test_any_text_can_be_written_and_drawn_again_the_same(prompt: str, seed: int) -> None:
    png = picture(seed, prompt, (96, 64))
    assert opened(png).size == (96, 64)
    assert picture(seed, prompt, (96, 64)) == png


@settings(deadline=None)
@given(text=st.text(), edge=st.integers(16, 900))
def test_a_caption_takes_at_most_three_lines(text: str, edge: int) -> None:
    setting = set_in(shown(text), room=edge, edge=edge)
    assert len(setting.lines) <= 3


def test_a_prompt_that_fits_is_written_in_full() -> None:
    prompt = "A portrait of a statue of the Egyptian god Anubis wearing aviator goggles"
    assert " ".join(set_in(prompt, room=480, edge=512).lines) == prompt


def test_what_cannot_be_printed_is_left_out_of_a_caption() -> None:
    assert shown("a\x00b\u202ec\n\n d\t") == "a b c d"


@given(n_bytes=st.integers(256, 200_000))
@settings(max_examples=40, deadline=None)
def test_a_prebuilt_image_is_valid_and_as_long_as_asked(n_bytes: int) -> None:
    png = prebuilt_png(3, n_bytes)
    assert len(png) == n_bytes
    opened(png)


def test_starting_a_child_loads_neither_pillow_nor_a_server() -> None:
    check = (
        "import sys, pipeline.provider.simulator.child\n"
        "sys.exit(bool({'PIL', 'aiohttp', 'pipeline.provider.simulator.draw'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0
