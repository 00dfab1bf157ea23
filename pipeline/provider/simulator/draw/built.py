"""Scenes that people made: a city by night, a village street, a laid table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.provider.simulator.draw.outdoors import WHITE, stars
from pipeline.provider.simulator.draw.palette import FLAT, mix

if TYPE_CHECKING:
    from pipeline.provider.simulator.chance import Chance
    from pipeline.provider.simulator.draw.canvas import Canvas, Point
    from pipeline.provider.simulator.draw.palette import Colour, Mood


def city(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Towers with lit windows, row before row, and water in front."""
    canvas.sky(mood.sky, bottom=0.8)
    moon = (chance.between(0.2, 0.8) * canvas.wide, chance.between(0.15, 0.32))
    canvas.glow(moon, 0.5, mood.sun, 0.5)
    canvas.glow((canvas.wide / 2, 0.8), 0.75, mood.accent, 0.45)
    if mood.is_dark:
        stars(canvas, chance, 80, 0.55)
    canvas.disc(moon, chance.between(0.04, 0.07), mood.sun)
    shore = 0.8
    for depth in (0.0, 0.5, 1.0):
        tint = mix(mix(mood.far, mood.sky[1], 0.35), mood.near, depth)
        x = -0.02
        while x < canvas.wide:
            width = chance.between(0.05, 0.11)
            tall = chance.between(0.18, 0.55) * (1.12 - 0.45 * depth)
            _tower(canvas, chance, ((x, shore - tall), (x + width, shore)), (tint, mood.accent))
            x += width * chance.between(0.95, 1.25)
    _water(canvas, chance, shore, mood)


def village(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """A row of gabled houses, each in its own colour."""
    canvas.sky((mood.sky[1], mix(mood.sky[1], mood.sky[2], 0.6), mood.sky[2]))
    sun = (chance.between(0.2, 0.8) * canvas.wide, chance.between(0.15, 0.3))
    canvas.glow(sun, 0.5, mood.sun, 0.7)
    canvas.disc(sun, 0.055, mood.sun)
    tints = chance.pick(FLAT)[1:]
    street = 0.8
    for depth in (0.0, 1.0):
        x = -chance.between(0.0, 0.1)
        while x < canvas.wide:
            width = chance.between(0.13, 0.2)
            tall = chance.between(0.2, 0.36) + 0.14 * (1 - depth)
            wall = mix(chance.pick(tints), mood.sky[2], 0.55 * (1 - depth))
            front = ((x, street - tall), (x + width * 0.98, street))
            _house(canvas, chance, front, (wall, mix(mood.near, wall, 0.15), mood.accent))
            x += width
    canvas.block((0, street), (canvas.wide, 1), mix(mood.near, mood.far, 0.3))
    canvas.block((0, street), (canvas.wide, street + 0.02), mix(mood.near, WHITE, 0.45))


def table(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """A still life: a vase, a bowl and fruit."""
    ground, *tints = chance.pick(FLAT)
    wall = mix(ground, mood.sky[1], 0.25)
    canvas.sky((mix(wall, (0, 0, 0), 0.12), wall, mix(wall, WHITE, 0.25)))
    canvas.glow((canvas.wide * 0.25, 0.15), 0.9, mix(mood.sun, WHITE, 0.3), 0.55)
    edge = chance.between(0.58, 0.64)
    cloth = mix(chance.pick(tints), (25, 20, 30), 0.35)
    canvas.block((0, edge), (canvas.wide, 1), cloth)
    canvas.block((0, edge), (canvas.wide, edge + 0.012), mix(cloth, WHITE, 0.25))
    vase_x = canvas.wide * chance.between(0.2, 0.4)
    _vase(canvas, chance, (vase_x, edge + 0.12), (chance.pick(tints), chance.pick(tints)))
    for n in range(chance.whole(4, 7)):
        radius = chance.between(0.045, 0.085)
        x = canvas.wide * (0.42 + 0.085 * n) + chance.between(-0.02, 0.02)
        _fruit(canvas, (x, edge + chance.between(0.03, 0.14)), radius, chance.pick(tints))


def _tower(
    canvas: Canvas, chance: Chance, box: tuple[Point, Point], tints: tuple[Colour, Colour]
) -> None:
    ((left, top), (right, low)), (wall, lamp) = box, tints
    canvas.block((left, top), (right, low), wall)
    if chance.share() < 0.25:
        middle = (left + right) / 2
        canvas.line(((middle, top), (middle, top - 0.06)), wall, 0.004)
    n_columns = chance.whole(3, 5)
    lit_share = chance.between(0.2, 0.6)
    pitch = (right - left) / (n_columns + 0.4)
    for row in range(int((low - top - 0.03) / 0.028)):
        for column in range(n_columns):
            if chance.share() < lit_share:
                x, y = left + pitch * (column + 0.4), top + 0.018 + row * 0.028
                glass = mix(lamp, wall, chance.between(0.0, 0.6))
                canvas.block((x, y), (x + pitch * 0.55, y + 0.013), glass)


def _water(canvas: Canvas, chance: Chance, shore: float, mood: Mood) -> None:
    deep = mix(mood.near, mood.sky[1], 0.25)
    canvas.block((0, shore), (canvas.wide, 1), deep)
    for _ in range(70):
        x, y = chance.share() * canvas.wide, chance.between(shore + 0.01, 1)
        length = chance.between(0.01, 0.05)
        tint = mix(chance.pick((mood.accent, mood.sun, mood.far)), deep, chance.between(0.4, 0.8))
        canvas.line(((x, y), (x + length, y)), tint, 0.003)


def _house(
    canvas: Canvas,
    chance: Chance,
    front: tuple[Point, Point],
    tints: tuple[Colour, Colour, Colour],
) -> None:
    ((left, top), (right, low)), (wall, roof, lamp) = front, tints
    width = right - left
    canvas.block((left, top), (right, low), wall)
    if chance.share() < 0.6:
        chimney = left + width * chance.between(0.6, 0.8)
        canvas.block((chimney, top - width * 0.5), (chimney + width * 0.1, top), roof)
    peak = (left + width / 2, top - width * chance.between(0.4, 0.7))
    canvas.polygon(((left - 0.008, top + 0.004), peak, (right + 0.008, top + 0.004)), roof)
    glass = (lamp, mix(roof, WHITE, 0.75))
    pane = width * 0.2
    for row in range(int((low - top) / (pane * 1.8))):
        for column in range(2):
            corner = (left + width * (0.2 + 0.4 * column), top + pane * (0.6 + 1.7 * row))
            opposite = (corner[0] + pane, corner[1] + pane * 1.1)
            if opposite[1] < low - pane:
                canvas.block(corner, opposite, chance.pick(glass))
    door = left + width * chance.between(0.2, 0.55)
    canvas.block((door, low - pane * 1.5), (door + pane * 1.1, low), roof)


def _vase(canvas: Canvas, chance: Chance, foot: Point, tints: tuple[Colour, Colour]) -> None:
    (x, y), (glaze, petal) = foot, tints
    stalk = mix((60, 110, 70), glaze, 0.2)
    for n in range(chance.whole(3, 6)):
        lean = (n - 2) * 0.07 + chance.between(-0.02, 0.02)
        head = (x + lean, y - chance.between(0.42, 0.58))
        canvas.line(((x + lean * 0.15, y - 0.25), head), stalk, 0.007)
        for k in range(6):
            turn = k * math.tau / 6
            leaf = (head[0] + 0.028 * math.cos(turn), head[1] + 0.028 * math.sin(turn))
            canvas.disc(leaf, 0.022, petal)
        canvas.disc(head, 0.018, mix(petal, (255, 230, 120), 0.8))
    canvas.oval((x, y + 0.01), (0.14, 0.022), mix(glaze, (10, 10, 20), 0.8))
    canvas.block((x - 0.035, y - 0.27), (x + 0.035, y - 0.12), mix(glaze, (0, 0, 0), 0.25))
    canvas.ball((x, y - 0.1), 0.11, mix(glaze, WHITE, 0.35), mix(glaze, (0, 0, 0), 0.5))
    canvas.oval((x, y - 0.27), (0.045, 0.012), mix(glaze, WHITE, 0.3))


def _fruit(canvas: Canvas, centre: Point, radius: float, tint: Colour) -> None:
    x, y = centre
    canvas.oval((x + radius * 0.25, y + radius * 0.95), (radius * 1.1, radius * 0.22), (30, 24, 32))
    canvas.ball(centre, radius, mix(tint, WHITE, 0.4), mix(tint, (0, 0, 0), 0.55))
    canvas.line(((x, y - radius * 0.9), (x + radius * 0.15, y - radius * 1.3)), (70, 50, 35), 0.006)
