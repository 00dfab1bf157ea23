"""Colours that go together: moods of light for scenes, flat sets for patterns."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """The light of a scene: the sky from top to horizon, and what stands in it."""

    sky: tuple[Colour, Colour, Colour]
    sun: Colour
    far: Colour
    near: Colour
    accent: Colour
    is_dark: bool = False


def colour(text: str) -> Colour:
    """``"2a9d8f"`` as red, green and blue, 0 to 255."""
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with ``share`` (0 to 1) of ``other`` in it."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def blend(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at ``share`` (0 to 1) of the way along ``colours``."""
    place = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    step = min(int(place), len(colours) - 2)
    return mix(colours[step], colours[step + 1], place - step)


def _mood(words: str, *, is_dark: bool = False) -> Mood:
    top, middle, low, sun, far, near, accent = map(colour, words.split())
    return Mood(sky=(top, middle, low), sun=sun, far=far, near=near, accent=accent, is_dark=is_dark)


DUSK = _mood("2b1b4d b8456b ffb26b ffe3a3 b3587a 1d1030 ffd27d")
ROSE = _mood("5b3a8c e07a9b ffd9c7 fff1e0 c48fb4 3a1d4f ffcb77")
EMBER = _mood("3d0c11 c8452d ffb347 fff0c2 c05a3a 22070a ffd166")
DAWN = _mood("7fb7d8 f6c9b8 fff0d9 fffaf0 b4bfcd 2f4858 f28f6b")
NOON = _mood("2f80c8 86c5ee e6f4f9 fffbe6 a5cbd4 1a5346 ffb703")
TEAL = _mood("0b3a4a 2b8a8e c9e8cd fff4cf 74b5aa 06262e f4a259")
FROST = _mood("7da5c8 c8dcea f5f8fa ffffff bfd1df 33506d d1495b")
MOSS = _mood("8fae9b cfdcc0 f7f2dc fffdf0 b3c6a6 1f3b2d e9b44c")
SAND = _mood("e08e79 f1c08a fbe7c0 fffaf0 e3b98a 7a3e2b f25f5c")
NIGHT = _mood("050a1c 15234a 3d5590 f4f0dc 3a4d7a 050914 ffe08a", is_dark=True)
INDIGO = _mood("0d0630 384e77 8b9fc4 fdf4dc 5a6d96 0a0524 ffd97d", is_dark=True)
AURORA = _mood("03121f 0d4a4f 3fa78a e8fff3 1f6b68 020b12 b8f2a0", is_dark=True)
PLUM = _mood("12002b 4a1560 b04a8f ffe9f4 6b2f7a 0e001f ffb3c7", is_dark=True)

WARM = (DUSK, ROSE, EMBER, SAND)
DAY = (DAWN, NOON, TEAL, MOSS, ROSE, SAND)
DARK = (NIGHT, INDIGO, AURORA, PLUM)
ANY_LIGHT = (DUSK, ROSE, EMBER, DAWN, NOON, TEAL, FROST, MOSS, SAND, NIGHT, INDIGO, AURORA)

FLAT = tuple(
    tuple(map(colour, words.split()))
    for words in (
        "f4ead5 d1495b edae49 00798c 30638e 003d5b",
        "1b1b2f e43f5a f9a826 1f9e9a f5f0e1 3f72af",
        "fdf6e3 264653 2a9d8f e9c46a f4a261 e76f51",
        "0d1b2a 415a77 778da9 e0e1dd ee6c4d f2cc8f",
        "f7ede2 f6bd60 f28482 84a59d 3d405b 81b29a",
        "fff7f0 3a0ca3 7209b7 f72585 4cc9f0 4361ee",
        "22223b c9ada7 f2e9e4 9a8c98 e07a5f 4a4e69",
        "e8f1f2 13293d 006494 247ba0 1b98e0 f26419",
        "faf3dd 5e6472 aed9e0 ffa69e 88d4c3 861657",
        "10002b 5a189a 9d4edd ff9e00 ff6d00 e0aaff",
        "f1faee e63946 a8dadc 457b9d 1d3557 ffb4a2",
        "132a13 31572c 4f772d 90a955 ecf39e f3722c",
    )
)
"""Sets of six: the ground first, then five that stand on it."""
