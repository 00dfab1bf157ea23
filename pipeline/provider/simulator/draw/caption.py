"""The prompt on a dark band at the foot of a picture, and SIMULATED in its corner."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MOST_LINES = 3
_MOST_CHARACTERS = 600
_LINE_HEIGHT = 1.28
_DARKEST = 175


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Lines as they fit, and the size of their letters in pixels."""

    lines: tuple[str, ...]
    letter: int


def caption(image: Image.Image, prompt: str) -> None:
    """Write ``prompt`` on ``image``, wrapped and shrunk to fit, cut with an ellipsis if it must."""
    width, height = image.size
    edge = min(width, height)
    margin = max(3, edge // 28)
    setting = set_in(shown(prompt), room=width - 2 * margin, edge=edge)
    line_height = round(setting.letter * _LINE_HEIGHT)
    block = line_height * len(setting.lines)
    _darken(image, block + 2 * margin + edge // 12)
    pen = ImageDraw.Draw(image)
    top = height - margin - block
    for number, line in enumerate(setting.lines):
        pen.text(
            (margin, top + number * line_height), line, font=_font(setting.letter), fill="white"
        )
    _stamp(pen, width - margin // 2, margin // 2, max(7, edge // 46))


def shown(prompt: str) -> str:
    """``prompt`` on one line, without what cannot be printed, at most 600 characters."""
    printable = (
        " " if unicodedata.category(c)[0] in "CZ" else c for c in prompt[:_MOST_CHARACTERS]
    )
    return " ".join("".join(printable).split())


def set_in(text: str, *, room: int, edge: int) -> Setting:
    """The largest that fits ``room`` pixels across; ``edge``: the picture's shorter one."""
    smallest = max(7, round(edge * 0.032))
    for letter in range(max(smallest, round(edge * 0.052)), smallest - 1, -2):
        lines = _wrapped(text, letter, room)
        if len(lines) <= _MOST_LINES:
            return Setting(lines=lines, letter=letter)
    lines = _wrapped(text, smallest, room)
    if len(lines) > _MOST_LINES:
        lines = (*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][:-1].rstrip() + "…")
    return Setting(lines=lines, letter=smallest)


def _wrapped(text: str, letter: int, room: int) -> tuple[str, ...]:
    """Lines no wider than ``room``, found from the text's mean width of a character."""
    width = _font(letter).getlength(text)
    if width <= room:
        return (text,)
    n_fitting = max(1, int(room / width * len(text)))
    lines = textwrap.wrap(text, n_fitting)
    if max(map(_font(letter).getlength, lines)) > room:
        lines = textwrap.wrap(text, max(1, int(n_fitting * 0.88)))
    return tuple(lines)


def _darken(image: Image.Image, band: int) -> None:
    width, height = image.size
    band = min(band, height)
    image.paste((8, 8, 16), (0, height - band), _shadow().resize((width, band)))


def _stamp(pen: ImageDraw.ImageDraw, right: int, top: int, letter: int) -> None:
    font = _font(letter)
    for shift, fill in ((1, (0, 0, 0)), (0, (255, 255, 255))):
        pen.text((right + shift, top + shift), "SIMULATED", font=font, fill=fill, anchor="rt")


@lru_cache(maxsize=1)
def _shadow() -> Image.Image:
    """From clear to dark, steeply at first."""
    deepen = [round(_DARKEST * (1 - (1 - value / 255) ** 2.2)) for value in range(256)]
    return Image.linear_gradient("L").point(deepen)


@lru_cache(maxsize=64)
def _font(letter: int) -> Font:
    return ImageFont.load_default(letter)
