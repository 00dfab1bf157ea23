"""Pictures of nothing but form: tiles, rings, ribbons, a mandala, a bed of flowers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.provider.simulator.draw.palette import FLAT, blend, mix

if TYPE_CHECKING:
    from pipeline.provider.simulator.chance import Chance
    from pipeline.provider.simulator.draw.canvas import Canvas, Point
    from pipeline.provider.simulator.draw.palette import Colour, Mood


_TURNS = tuple(n / 18 * math.tau for n in range(18))
_LEAF = tuple(((1 - math.cos(turn)) / 2, math.sin(turn)) for turn in _TURNS)


def tiles(canvas: Canvas, chance: Chance, _: Mood) -> None:
    """A grid of plain shapes, as the Bauhaus liked it."""
    ground, *tints = chance.pick(FLAT)
    canvas.sky((ground, ground))
    side = 1 / chance.whole(4, 6)
    for row in range(math.ceil(1 / side)):
        for column in range(math.ceil(canvas.wide / side)):
            corner = (column * side, row * side)
            back, front, third = (
                chance.pick((*tints, ground)),
                chance.pick(tints),
                chance.pick(tints),
            )
            canvas.block(corner, (corner[0] + side, corner[1] + side), back)
            _tile(canvas, chance, (corner, side), (front, third))


def rings(canvas: Canvas, chance: Chance, _: Mood) -> None:
    """Squares with concentric circles, after Kandinsky's colour study."""
    ground, *tints = chance.pick(FLAT)
    canvas.sky((ground, ground))
    side = 1 / chance.whole(3, 4)
    for row in range(math.ceil(1 / side)):
        for column in range(math.ceil(canvas.wide / side)):
            corner = (column * side, row * side)
            back = mix(chance.pick(tints), ground, chance.between(0.0, 0.5))
            canvas.block(corner, (corner[0] + side, corner[1] + side), back)
            centre = (corner[0] + side / 2, corner[1] + side / 2)
            radius = side * chance.between(0.44, 0.5)
            while radius > side * 0.04:
                canvas.disc(centre, radius, mix(chance.pick(tints), ground, chance.between(0, 0.3)))
                radius -= side * chance.between(0.06, 0.12)
                centre = (centre[0] + chance.between(-0.01, 0.01) * side, centre[1])


def ribbons(canvas: Canvas, chance: Chance, _: Mood) -> None:
    """Bands that flow across the picture and change their colour on the way."""
    colours = chance.pick(FLAT)
    canvas.sky((colours[0], colours[0]))
    n_bands = chance.whole(11, 17)
    slope = chance.between(-0.25, 0.25)
    waves = [
        (chance.between(1.5, 5), chance.between(0, 6), chance.between(0.03, 0.08)) for _ in range(3)
    ]
    for n in range(n_bands):
        share = n / n_bands
        line = []
        for k in range(41):
            x = k / 40 * canvas.wide
            bend = sum(
                high * math.sin(often * x + phase + share * 2.6) for often, phase, high in waves
            )
            line.append((x, share * 1.25 - 0.1 + bend + slope * (x - canvas.wide / 2)))
        canvas.polygon([*line, (canvas.wide, 1.5), (0, 1.5)], blend(colours, (share * 1.7) % 1))


def mandala(canvas: Canvas, chance: Chance, _: Mood) -> None:
    """Wreaths of petals and beads around one centre."""
    ground, *tints = chance.pick(FLAT)
    canvas.sky((ground, ground))
    centre = (canvas.wide / 2, 0.46)
    canvas.glow(centre, 0.8, mix(ground, tints[0], 0.6), 0.7)
    n_fold = chance.pick((8, 10, 12, 16))
    reach = 0.47 * min(1.0, canvas.wide)
    while reach > 0.06:
        n_petals = n_fold * (2 if reach > 0.3 else 1)
        petal, bead = chance.pick(tints), chance.pick(tints)
        turn = chance.pick((0.0, math.pi / n_petals))
        width = math.pi * reach / n_petals * chance.between(0.55, 0.95)
        for n in range(n_petals):
            angle = turn + n * math.tau / n_petals
            _petal(canvas, (centre, angle), (reach * 0.55, reach, width), petal)
            tip = (
                centre[0] + reach * 0.9 * math.cos(angle),
                centre[1] + reach * 0.9 * math.sin(angle),
            )
            canvas.disc(tip, width * 0.28, bead)
        reach *= chance.between(0.66, 0.8)
        canvas.disc(centre, reach * 0.8, mix(ground, chance.pick(tints), 0.35))
    canvas.disc(centre, 0.035, chance.pick(tints))


def flowers(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Flowers on stems, the farther the paler."""
    ground, *tints = chance.pick(FLAT)
    low = mix(mood.sky[2], ground, 0.4)
    canvas.sky((mix(mood.sky[1], low, 0.3), low, mix(low, (70, 120, 80), 0.4)))
    canvas.glow((canvas.wide * chance.share(), 0.2), 0.7, mood.sun, 0.7)
    n_flowers = 15
    for n in range(n_flowers):
        depth = n / (n_flowers - 1)
        pale = 0.55 * (1 - depth)
        size = 0.05 + 0.075 * depth
        x = chance.between(0.03, 0.97) * canvas.wide
        head = (x, chance.between(0.15, 0.4) + 0.28 * depth)
        green = mix(mix((50, 105, 70), (25, 60, 50), depth), low, pale)
        _stem(canvas, chance, head, (size, green))
        tint = mix(chance.pick(tints), low, pale)
        _blossom(canvas, chance, head, (size, tint, mix((250, 205, 90), low, pale)))


def _tile(
    canvas: Canvas,
    chance: Chance,
    place: tuple[Point, float],
    tints: tuple[Colour, Colour],
) -> None:
    (x, y), side = place
    front, third = tints
    middle = (x + side / 2, y + side / 2)
    corner, start = chance.pick(
        (((x, y), 0), ((x + side, y), 90), ((x + side, y + side), 180), ((x, y + side), 270))
    )
    shape = chance.whole(0, 6)
    if shape == 0:
        canvas.wedge(corner, side, front, (start, start + 90))
        canvas.wedge(corner, side * 0.5, third, (start, start + 90))
    elif shape == 1:
        canvas.disc(middle, side * 0.5, front)
        canvas.disc(middle, side * 0.22, third)
    elif shape == 2:
        canvas.polygon(((x, y), (x + side, y), corner, (x, y + side)), front)
    elif shape == 3:
        canvas.wedge(middle, side * 0.5, front, (start, start + 180))
        canvas.wedge(middle, side * 0.5, third, (start + 180, start + 360))
    elif shape == 4:
        for n in range(0, 6, 2):
            canvas.block((x, y + side * n / 6), (x + side, y + side * (n + 1) / 6), front)
    elif shape == 5:
        canvas.polygon(((x, y + side), middle, (x + side, y + side)), front)
        canvas.polygon(((x, y), middle, (x + side, y)), third)


def _petal(
    canvas: Canvas, place: tuple[Point, float], shape: tuple[float, float, float], tint: Colour
) -> None:
    """A leaf pointing away from a centre at an angle; ``shape``: its start, end and half width."""
    ((x, y), angle), (start, end, half) = place, shape
    cos, sin = math.cos(angle), math.sin(angle)
    outline = []
    for share, swell in _LEAF:
        along, across = start + (end - start) * share, half * swell
        outline.append((x + cos * along - sin * across, y + sin * along + cos * across))
    canvas.polygon(outline, tint)


def _stem(canvas: Canvas, chance: Chance, head: Point, look: tuple[float, Colour]) -> None:
    (x, y), (size, green) = head, look
    lean = chance.between(-0.08, 0.08)
    line = [(x + lean * (n / 8) ** 2, y + (1.02 - y) * n / 8) for n in range(9)]
    canvas.line(line, green, size * 0.12)
    side = chance.pick((0.6, 2.5))
    _petal(canvas, (line[4], side), (0.0, size * 1.7, size * 0.28), green)


def _blossom(
    canvas: Canvas, chance: Chance, head: Point, look: tuple[float, Colour, Colour]
) -> None:
    size, tint, heart = look
    n_petals = chance.whole(5, 12)
    half = size * 2.0 / n_petals
    for ring, share in ((1.0, 0.0), (0.68, 0.18)):
        for n in range(n_petals):
            angle = (n + ring) * math.tau / n_petals
            shade = mix(tint, (255, 255, 255), share)
            _petal(canvas, (head, angle), (0.0, size * ring, half * ring), shade)
    canvas.disc(head, size * 0.24, heart)
