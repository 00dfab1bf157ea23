"""One picture for one prompt: the words choose the scene, the seed everything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.provider.simulator.chance import Chance
from pipeline.provider.simulator.draw import built, outdoors, palette, patterns
from pipeline.provider.simulator.draw.canvas import Canvas
from pipeline.provider.simulator.draw.caption import caption
from pipeline.provider.simulator.png import png_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.provider.simulator.draw.palette import Mood

    Scene = Callable[[Canvas, Chance, Mood], None]

_SCENES: tuple[tuple[Scene, tuple[Mood, ...], str], ...] = (
    (
        outdoors.space,
        palette.DARK,
        (
            "space planet star stars galaxy moon astronaut rocket hole "
            "holes gravity orbit alien saturn mars robot ufo cosmic universe"
        ),
    ),
    (
        built.city,
        palette.DARK,
        (
            "city skyline street tokyo york skyscraper downtown cyberpunk "
            "futuristic tower neon shibuya bridge car cars taxi bus train"
        ),
    ),
    (
        outdoors.sea,
        palette.ANY_LIGHT,
        (
            "sea ocean boat boats ship sail sailboat beach wave waves "
            "lake harbor water island fish whale dolphin river coast lighthouse surf"
        ),
    ),
    (
        patterns.flowers,
        palette.DAY,
        (
            "flower flowers garden rose roses tulip tulips daisy meadow "
            "sunflower sunflowers bouquet spring butterfly bee plant plants leaf"
        ),
    ),
    (
        outdoors.forest,
        (palette.MOSS, palette.TEAL, palette.DAWN, palette.INDIGO, palette.FROST),
        "forest tree trees wood woods pine jungle owl fox deer bear wolf squirrel mushroom fairy",
    ),
    (
        outdoors.desert,
        (*palette.WARM, palette.NIGHT),
        "desert dune dunes sand camel pyramid pyramids egypt cactus sahara canyon lizard snake",
    ),
    (
        outdoors.balloons,
        palette.DAY,
        (
            "sky balloon balloons air cloud clouds bird birds fly flying "
            "plane airplane eagle wind kite dragon"
        ),
    ),
    (
        built.village,
        (*palette.DAY, palette.DUSK),
        (
            "house houses home village building barn church "
            "castle shop school door window farm cottage room kitchen"
        ),
    ),
    (
        built.table,
        palette.DAY,
        (
            "food apple apples bowl cup coffee tea wine fruit plate table cake "
            "pizza bread orange oranges vase bottle glass cheese breakfast banana pie"
        ),
    ),
    (
        outdoors.mountains,
        palette.ANY_LIGHT,
        (
            "mountain mountains sunset sunrise hill hills valley "
            "landscape snow peak horse volcano winter horizon nature"
        ),
    ),
    (
        patterns.tiles,
        palette.DAY,
        (
            "bauhaus geometric square squares cube cubes triangle poster "
            "logo grid letters sign word words text"
        ),
    ),
    (patterns.rings, palette.DAY, "circle circles sphere round kandinsky colorful colors"),
    (
        patterns.ribbons,
        palette.DAY,
        "abstract flow motion energy music dream emotion feeling painting art",
    ),
    (patterns.mandala, palette.DAY, "mandala pattern peace kaleidoscope ornament love heart"),
)
"""Scenes with the light they take and the words that call them, the most telling first."""

_LIGHTS: tuple[tuple[str, tuple[Mood, ...]], ...] = (
    ("sunset dusk evening autumn", (palette.DUSK, palette.ROSE, palette.EMBER)),
    ("sunrise dawn morning spring", (palette.DAWN, palette.ROSE)),
    ("night moon midnight dark stars", palette.DARK),
    ("snow winter ice snowy cold arctic", (palette.FROST,)),
    ("fire volcano lava hot red", (palette.EMBER,)),
    ("green summer jungle", (palette.MOSS, palette.NOON)),
)

_WORD = re.compile(r"[a-z]+")


def picture(seed: int, prompt: str, size: tuple[int, int]) -> bytes:
    """A PNG of ``size`` pixels: the same for the same arguments."""
    chance = Chance(seed)
    words = frozenset(_WORD.findall(prompt.lower()))
    scene, moods = _scene_for(words, chance)
    canvas = Canvas(size)
    scene(canvas, chance, chance.pick(_light_for(words) or moods))
    image = canvas.finish()
    caption(image, prompt)
    return png_of(image.tobytes(), size[0])


def _scene_for(words: frozenset[str], chance: Chance) -> tuple[Scene, tuple[Mood, ...]]:
    """The scene most of the words call; one by chance where none is called."""
    calls = [len(words & _called(calling)) for _, _, calling in _SCENES]
    most = max(calls)
    scene, moods, _ = _SCENES[calls.index(most)] if most else chance.pick(_SCENES)
    return scene, moods


def _light_for(words: frozenset[str]) -> tuple[Mood, ...]:
    return next((moods for names, moods in _LIGHTS if words & _called(names)), ())


def _called(names: str) -> frozenset[str]:
    return frozenset(names.split())
