"""Scenes under the sky: mountains, sea, forest, desert, balloons, space."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.provider.simulator.draw.palette import mix

if TYPE_CHECKING:
    from pipeline.provider.simulator.chance import Chance
    from pipeline.provider.simulator.draw.canvas import Canvas, Point
    from pipeline.provider.simulator.draw.palette import Colour, Mood

WHITE = (255, 255, 255)


def mountains(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Ridges behind ridges, and the sun or the moon between them."""
    horizon = chance.between(0.5, 0.62)
    sun = _sun_above(canvas, chance, mood, horizon)
    canvas.disc(sun, chance.between(0.05, 0.1), mood.sun)
    n_ridges = chance.whole(5, 7)
    for n in range(n_ridges):
        depth = n / (n_ridges - 1)
        level = horizon + (1.0 - horizon) * depth**1.3 * 0.85 - 0.04
        height = chance.between(0.1, 0.2) * (1.1 - 0.6 * depth)
        tint = mix(mood.far, mood.near, depth**0.8)
        _ridge(canvas, _crest(chance, roughness=0.5), (level, height), tint)
    if not mood.is_dark:
        birds(canvas, chance, mix(mood.near, mood.sky[1], 0.2))


def sea(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Open water, the sun's path on it, and sails."""
    horizon = chance.between(0.42, 0.55)
    sun = _sun_above(canvas, chance, mood, horizon)
    radius = chance.between(0.06, 0.11)
    canvas.disc(sun, radius, mood.sun)
    deep = mix(mood.near, mood.sky[0], 0.45)
    shallow = mix(mood.sky[1], deep, 0.35)
    canvas.block((0, horizon), (canvas.wide, 1), shallow)
    n_waves = 9
    for n in range(1, n_waves + 1):
        depth = n / n_waves
        level = horizon + (1 - horizon) * depth**1.5 * 0.95
        swell = (0.003 + 0.012 * depth, 3 + 5 / (depth + 0.15), chance.between(0, 6))
        _swell(canvas, level, swell, mix(shallow, deep, depth))
        _glitter(canvas, chance, (sun[0], level), mix(mood.sun, shallow, 0.15 + depth * 0.5))
    for _ in range(chance.whole(1, 3)):
        level = chance.between(horizon + 0.03, horizon + 0.2)
        place = (chance.between(0.12, 0.88) * canvas.wide, level)
        _sail(canvas, place, 0.07 + (level - horizon) * 0.8, (mood.accent, mood.near))


def forest(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Rows of conifers coming out of the mist."""
    canvas.sky(mood.sky)
    sun = (chance.between(0.2, 0.8) * canvas.wide, chance.between(0.2, 0.4))
    canvas.glow(sun, 0.6, mood.sun, 0.8)
    canvas.disc(sun, 0.055, mood.sun)
    haze = mix(mood.sky[2], mood.far, 0.5)
    n_rows = 5
    for n in range(n_rows):
        depth = n / (n_rows - 1)
        tint = mix(haze, mood.near, 0.12 + 0.88 * depth)
        ground = 0.52 + 0.42 * depth
        _ridge(canvas, _crest(chance, roughness=0.35), (ground, 0.03), tint)
        tall = 0.16 + 0.3 * depth
        x = chance.between(-0.05, 0.05)
        while x < canvas.wide + 0.1:
            foot = ground + chance.between(0.0, 0.05)
            _conifer(canvas, (x, foot), tall * chance.between(0.6, 1.15), tint)
            x += tall * chance.between(0.22, 0.55)


def desert(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Dunes with a lit and a shaded side, now and then pyramids."""
    horizon = chance.between(0.5, 0.6)
    sun = _sun_above(canvas, chance, mood, horizon)
    canvas.disc(sun, chance.between(0.08, 0.14), mood.sun)
    light = mix(mood.sky[2], mood.accent, 0.3)
    if chance.share() < 0.5:
        for _ in range(chance.whole(1, 3)):
            foot = (chance.between(0.1, 0.9) * canvas.wide, horizon + 0.04)
            _pyramid(canvas, foot, chance.between(0.12, 0.26), (light, mood.near))
    n_dunes = 5
    for n in range(n_dunes):
        depth = n / (n_dunes - 1)
        level = horizon + 0.03 + 0.38 * depth
        tint = mix(light, mood.near, 0.1 + 0.55 * depth)
        swell = (0.03 + 0.05 * depth, chance.between(2.0, 4.5), chance.between(0, 6))
        _swell(canvas, level, swell, tint)
        shade = (swell[0] * 0.7, swell[1], swell[2] + 0.5)
        _swell(canvas, level + 0.035 + 0.03 * depth, shade, mix(tint, mood.near, 0.22))


def balloons(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Hot-air balloons among clouds."""
    canvas.sky(mood.sky)
    canvas.glow((canvas.wide * chance.between(0.2, 0.8), 0.85), 0.8, mood.sun, 0.7)
    cloud = mix(mood.sky[2], WHITE, 0.45)
    for n in range(5):
        place = (chance.between(0, 1) * canvas.wide, chance.between(0.15, 0.85))
        _cloud(canvas, chance, place, mix(cloud, mood.sky[1], 0.5 - n * 0.1))
    _ridge(canvas, _crest(chance, roughness=0.45), (0.86, 0.07), mix(mood.far, mood.near, 0.35))
    tints = (mood.accent, mood.near, mix(mood.accent, mood.near, 0.5), mood.sky[0])
    n_balloons = chance.whole(3, 6)
    for n in range(n_balloons):
        x = (n + chance.between(0.25, 0.75)) / n_balloons * canvas.wide
        radius = chance.between(0.045, 0.13)
        place = (x, chance.between(0.2, 0.6))
        _balloon(canvas, place, radius, (chance.pick(tints), mix(mood.sun, WHITE, 0.3)))


def space(canvas: Canvas, chance: Chance, mood: Mood) -> None:
    """Planets with rings and moons, in front of stars and a nebula."""
    canvas.sky((mix(mood.sky[0], (0, 0, 0), 0.4), mood.sky[0], mix(mood.sky[1], mood.sky[0], 0.4)))
    for tint in (mood.sky[2], mood.accent, mood.sky[1]):
        place = (chance.between(0, 1) * canvas.wide, chance.between(0, 1))
        canvas.glow(place, chance.between(0.35, 0.7), tint, chance.between(0.3, 0.55))
    stars(canvas, chance, 150, 1.0)
    centre = (chance.between(0.35, 0.65) * canvas.wide, chance.between(0.38, 0.5))
    radius = chance.between(0.14, 0.24)
    lit = chance.pick((mood.accent, mood.sky[2], mix(mood.accent, (230, 90, 70), 0.6)))
    dark = mix(mood.near, lit, 0.15)
    has_ring = chance.share() < 0.6
    if has_ring:
        _ring(canvas, centre, radius, lit, (180, 360))
    canvas.ball(centre, radius, lit, dark)
    if has_ring:
        _ring(canvas, centre, radius, lit, (0, 180))
    for _ in range(chance.whole(1, 3)):
        angle, far = chance.between(0, math.tau), radius * chance.between(1.7, 2.4)
        moon = (centre[0] + far * math.cos(angle), centre[1] + far * 0.7 * math.sin(angle))
        canvas.ball(moon, radius * chance.between(0.1, 0.28), mood.sun, dark)


def stars(canvas: Canvas, chance: Chance, n_stars: int, bottom: float) -> None:
    """Stars of several sizes down to ``bottom``."""
    for _ in range(n_stars):
        place = (chance.share() * canvas.wide, chance.share() * bottom)
        brightness = chance.between(0.35, 1.0)
        tint = mix((40, 50, 90), (255, 250, 235), brightness)
        canvas.disc(place, 0.0008 + 0.0022 * brightness**6, tint)


def birds(canvas: Canvas, chance: Chance, tint: Colour) -> None:
    """A small flock."""
    x, y = chance.between(0.15, 0.7) * canvas.wide, chance.between(0.15, 0.35)
    for _ in range(chance.whole(0, 5)):
        x, y = x + chance.between(0.02, 0.06), y + chance.between(-0.03, 0.03)
        wing = chance.between(0.008, 0.014)
        tips = ((x - wing, y - wing * 0.6), (x, y), (x + wing, y - wing * 0.6))
        canvas.line(tips, tint, 0.003)


def _sun_above(canvas: Canvas, chance: Chance, mood: Mood, horizon: float) -> Point:
    """Lay the sky's light, and stars where it is dark; where the sun is."""
    sun = (chance.between(0.22, 0.78) * canvas.wide, horizon - chance.between(0.06, 0.25))
    canvas.sky(mood.sky, bottom=horizon + 0.08)
    canvas.glow(sun, 0.62, mood.sun, 0.45 if mood.is_dark else 0.75)
    if mood.is_dark:
        stars(canvas, chance, 90, horizon)
    return sun


def _crest(chance: Chance, *, roughness: float) -> list[float]:
    """Heights from -1 to 1 by midpoint displacement, 65 of them."""
    heights = [chance.between(-1, 1), chance.between(-1, 1)]
    swing = 1.0
    while len(heights) < 65:
        between = [
            (left + right) / 2 + chance.between(-swing, swing) for left, right in pairwise(heights)
        ]
        heights = [h for pair in zip(heights, [*between, 0.0], strict=True) for h in pair][:-1]
        swing *= roughness
    top = max(*heights, -min(heights), 0.001)
    return [height / top for height in heights]


def _ridge(canvas: Canvas, crest: list[float], level: tuple[float, float], tint: Colour) -> None:
    """Everything below a crest; ``level``: the middle of it and how far it swings."""
    step = canvas.wide / (len(crest) - 1)
    line = [(n * step, level[0] - level[1] * height) for n, height in enumerate(crest)]
    canvas.polygon([*line, (canvas.wide, 1.01), (0, 1.01)], tint)


def _swell(canvas: Canvas, level: float, wave: tuple[float, float, float], tint: Colour) -> None:
    """Everything below a soft wave of this height, frequency and phase."""
    height, often, phase = wave
    line = []
    for n in range(49):
        x = n / 48 * canvas.wide
        bend = math.sin(often * x + phase) + 0.4 * math.sin(often * 2.3 * x + phase * 2)
        line.append((x, level - height * bend))
    canvas.polygon([*line, (canvas.wide, 1.01), (0, 1.01)], tint)


def _glitter(canvas: Canvas, chance: Chance, place: Point, tint: Colour) -> None:
    for _ in range(4):
        length = chance.between(0.01, 0.06)
        x = place[0] + chance.between(-0.07, 0.07)
        y = place[1] + chance.between(0, 0.03)
        canvas.line(((x - length, y), (x + length, y)), tint, 0.004)


def _sail(canvas: Canvas, foot: Point, tall: float, tints: tuple[Colour, Colour]) -> None:
    (x, y), (accent, dark) = foot, tints
    canvas.polygon(((x, y - tall), (x, y - tall * 0.12), (x + tall * 0.5, y - tall * 0.12)), WHITE)
    lee = ((x - 0.02 * tall, y - tall * 0.85), (x - 0.02 * tall, y - tall * 0.12))
    canvas.polygon((*lee, (x - tall * 0.32, y - tall * 0.12)), accent)
    hull = ((x - tall * 0.36, y - tall * 0.07), (x + tall * 0.5, y - tall * 0.07))
    canvas.polygon(
        (*hull, (x + tall * 0.34, y + tall * 0.06), (x - tall * 0.24, y + tall * 0.06)), dark
    )


def _conifer(canvas: Canvas, foot: Point, tall: float, tint: Colour) -> None:
    x, y = foot
    canvas.block((x - tall * 0.02, y - tall * 0.2), (x + tall * 0.02, y + tall * 0.1), tint)
    for low, half, high in ((0.08, 0.2, 0.5), (0.3, 0.155, 0.75), (0.52, 0.11, 1.0)):
        base = y - tall * low
        canvas.polygon(
            ((x - tall * half, base), (x + tall * half, base), (x, y - tall * high)), tint
        )


def _pyramid(canvas: Canvas, foot: Point, tall: float, tints: tuple[Colour, Colour]) -> None:
    (x, y), (light, dark) = foot, tints
    top, edge = (x, y - tall), (x + tall * 0.3, y)
    canvas.polygon(((x - tall * 0.95, y), top, edge), mix(light, dark, 0.18))
    canvas.polygon((top, edge, (x + tall * 0.95, y)), mix(light, dark, 0.5))


def _cloud(canvas: Canvas, chance: Chance, place: Point, tint: Colour) -> None:
    size = chance.between(0.03, 0.06)
    for n in range(6):
        puff = size * (1 - abs(n - 2.5) / 4)
        canvas.disc((place[0] + (n - 2.5) * size, place[1] - puff * 0.4), puff, tint)
    canvas.oval((place[0], place[1] + size * 0.1), (size * 3.3, size * 0.4), tint)


def _balloon(canvas: Canvas, centre: Point, radius: float, tints: tuple[Colour, Colour]) -> None:
    (x, y), (one, other) = centre, tints
    basket = (x, y + radius * 1.75)
    dark = mix(one, (20, 15, 30), 0.6)
    skirt = ((x - radius * 0.93, y + radius * 0.37), (x + radius * 0.93, y + radius * 0.37))
    canvas.polygon(
        (
            *skirt,
            (x + radius * 0.16, basket[1] - radius * 0.3),
            (x - radius * 0.16, basket[1] - radius * 0.3),
        ),
        one,
    )
    canvas.ball(centre, radius, mix(one, WHITE, 0.25), mix(one, dark, 0.45))
    canvas.oval(centre, (radius * 0.62, radius * 0.99), other)
    canvas.oval(centre, (radius * 0.3, radius * 0.99), one)
    low = basket[1] - radius * 0.3
    canvas.polygon(
        (
            (x - radius * 0.58, y + radius * 0.37),
            (x + radius * 0.58, y + radius * 0.37),
            (x + radius * 0.1, low),
            (x - radius * 0.1, low),
        ),
        other,
    )
    canvas.polygon(
        (
            (x - radius * 0.28, y + radius * 0.37),
            (x + radius * 0.28, y + radius * 0.37),
            (x + radius * 0.05, low),
            (x - radius * 0.05, low),
        ),
        one,
    )
    canvas.block(
        (x - radius * 0.16, basket[1] - radius * 0.1),
        (x + radius * 0.16, basket[1] + radius * 0.14),
        dark,
    )


def _ring(
    canvas: Canvas, centre: Point, radius: float, tint: Colour, degrees: tuple[float, float]
) -> None:
    for n, width in enumerate((0.016, 0.007, 0.022, 0.005)):
        reach = radius * (2.0 - n * 0.17)
        shade = mix(tint, WHITE, 0.15 + 0.15 * (n % 2))
        canvas.arc(centre, (reach, reach * 0.26), shade, width * radius / 0.2, degrees=degrees)
