"""A canvas in units of its height, with soft light below and smooth edges above.

``y`` runs from 0 (top) to 1, ``x`` from 0 to ``wide``. The light (``sky``, ``glow``) is laid at
half the final size: it has no edges. The first shape enlarges the canvas to twice the final size,
and ``finish`` halves it again, which smooths the edges of shapes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.provider.simulator.draw.palette import Colour

Point = tuple[float, float]

_LARGEST_DOUBLED = 1_200_000  # pixels; above, edges are fine enough as they are
_LEAST_HALVED = 200  # pixels of the shorter edge; below, halved light would show its steps


class Canvas:
    """What scenes draw on."""

    def __init__(self, size: tuple[int, int]) -> None:
        """``size``: width and height of the picture in pixels."""
        coarse = 2 if min(size) >= _LEAST_HALVED else 1
        self._size = size
        self._factor = 2 if size[0] * size[1] <= _LARGEST_DOUBLED else 1
        self._layer = Image.new("RGB", (-(-size[0] // coarse), -(-size[1] // coarse)))
        self._light_unit = size[1] / coarse
        self._unit = float(size[1] * self._factor)
        self._pen: ImageDraw.ImageDraw | None = None
        self.wide = size[0] / size[1]

    def sky(self, colours: Sequence[Colour], *, bottom: float = 1.0) -> None:
        """A gradient through ``colours`` from the top to ``bottom``, its last colour below."""
        width, height = self._layer.size
        stops = Image.new("RGB", (1, len(colours)))
        stops.putdata(list(colours))
        part = max(1, round(bottom * height))
        inside = (0, 0.5, 1, len(colours) - 0.5)  # from the first colour's middle to the last's
        column = stops.resize((1, part), Image.Resampling.BILINEAR, box=inside)
        self._layer.paste(colours[-1], (0, 0, width, height))
        self._layer.paste(column.resize((width, part), Image.Resampling.NEAREST), (0, 0))

    def glow(self, centre: Point, radius: float, tint: Colour, strength: float = 0.8) -> None:
        """Light that fades out over ``radius``; before the first shape."""
        unit = self._light_unit
        reach = max(1, round(radius * unit))
        halo = _halo(round(strength * 20)).resize((2 * reach, 2 * reach), Image.Resampling.NEAREST)
        corner = (round(centre[0] * unit) - reach, round(centre[1] * unit) - reach)
        self._layer.paste(tint, corner, halo)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled area."""
        unit = self._unit
        self.pen.polygon([(x * unit, y * unit) for x, y in points], fill=fill)

    def disc(self, centre: Point, radius: float, fill: Colour) -> None:
        """A filled circle."""
        self.oval(centre, (radius, radius), fill)

    def oval(self, centre: Point, radii: Point, fill: Colour) -> None:
        """A filled ellipse, its axes along the edges of the picture."""
        self.pen.ellipse(self._box(centre, radii), fill=fill)

    def wedge(
        self, centre: Point, radius: float, fill: Colour, degrees: tuple[float, float]
    ) -> None:
        """A slice of a circle, clockwise between two angles from three o'clock."""
        self.pen.pieslice(self._box(centre, (radius, radius)), *degrees, fill=fill)

    def arc(
        self,
        centre: Point,
        radii: Point,
        tint: Colour,
        width: float,
        *,
        degrees: tuple[float, float] = (0, 360),
    ) -> None:
        """A part of an ellipse's outline, ``width`` thick inwards."""
        thick = max(1, round(width * self._unit))
        self.pen.arc(self._box(centre, radii), *degrees, fill=tint, width=thick)

    def block(self, corner: Point, opposite: Point, fill: Colour) -> None:
        """A filled rectangle between two corners, the upper left one first."""
        unit = self._unit
        low_x, low_y = corner[0] * unit, corner[1] * unit
        box = (low_x, low_y, max(low_x, opposite[0] * unit), max(low_y, opposite[1] * unit))
        self.pen.rectangle(box, fill=fill)

    def line(self, points: Sequence[Point], tint: Colour, width: float) -> None:
        """A line through ``points``."""
        unit = self._unit
        thick = max(1, round(width * unit))
        self.pen.line([(x * unit, y * unit) for x, y in points], fill=tint, width=thick)

    def ball(self, centre: Point, radius: float, lit: Colour, dark: Colour) -> None:
        """A circle with the light on its upper left."""
        self.disc(centre, radius, dark)
        left, top, right, _ = self._box(centre, (radius, radius))
        side = max(2, round(right - left))
        self._layer.paste(lit, (round(left), round(top)), _shine().resize((side, side)))

    def finish(self) -> Image.Image:
        """The picture at its size."""
        _ = self.pen  # a picture of light alone must grow as well
        return self._layer if self._factor == 1 else self._layer.reduce(self._factor)

    @property
    def pen(self) -> ImageDraw.ImageDraw:
        """Pillow's own pen, in pixels of the enlarged canvas."""
        if self._pen is None:
            enlarged = (self._size[0] * self._factor, self._size[1] * self._factor)
            self._layer = self._layer.resize(enlarged, Image.Resampling.NEAREST)
            self._pen = ImageDraw.Draw(self._layer)
        return self._pen

    def _box(self, centre: Point, radii: Point) -> tuple[float, float, float, float]:
        (x, y), (across, down), unit = centre, radii, self._unit
        return ((x - across) * unit, (y - down) * unit, (x + across) * unit, (y + down) * unit)


@lru_cache(maxsize=32)
def _halo(strength: int) -> Image.Image:
    """A fading disc of light; ``strength``: in twentieths."""
    fade = [strength / 20 * 255 * max(0.0, 1 - value / 181) ** 2 for value in range(256)]
    return Image.radial_gradient("L").point([round(value) for value in fade])


@lru_cache(maxsize=1)
def _shine() -> Image.Image:
    """Where the light falls on a ball that is lit from its upper left."""
    fall = [round(255 * math.cos(math.pi / 2 * min(1.0, value / 200)) ** 2) for value in range(256)]
    light = Image.radial_gradient("L").point(fall).crop((70, 70, 256, 256))
    ball = Image.new("L", light.size)
    ImageDraw.Draw(ball).ellipse((2, 2, light.width - 3, light.height - 3), fill=255)
    return ImageChops.multiply(light, ball)
