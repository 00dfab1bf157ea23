"""What an image's file is called: every name made safe, every path kept inside the folder."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pipeline.job.template import BadTemplate, Slot, Template, parse, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.model import Task

MOST_BYTES = 255
"""What a file system allows one part of a path."""
MOST_BYTES_IN_ALL = 1000
"""As much of a path as leaves room for the output folder in front of it."""

_MOST_OF_A_VALUE = 100
_MOST_OF_A_SLUG = 80
_ROOM_FOR_THE_END = 16  # "-12345.jpeg": the number of a further image, and the extension
_SHARD = 1000
_OWN_FILES = frozenset({"manifest.jsonl", "metadata.jsonl", "job.yaml"})
_NEVER_NUMBERS = frozenset({"id", "slug", "model", "ext", "prompt"})
# The longest end a plan leaves room for: the hundredth image of a reply.
_LATE_IMAGE, _LONG_EXTENSION = 99, "webp"
_EXTENSION = re.compile(r"\.(?:png|jpe?g|webp|gif|avif)$", re.IGNORECASE)
_END = ".{{ext}}"
_UNSAFE = re.compile(r'[/\\:*?"<>|]')
_SEPARATORS = re.compile(r"[^a-z0-9]+")
# What a part may not hold: controls, formats (bidirectional ones too), surrogates, line and
# paragraph separators. https://www.unicode.org/reports/tr44/#General_Category_Values
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Names that open a device, not a file, on Windows, whatever their extension.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)

NAMES = ("index", "sample", "image", "id", "row", "slug", "shard", "model", "ext", "prompt")
"""What a path may name beside columns and axes."""

SETTINGS = ("aspect_ratio", "image_size", "seed", "keep")
"""Settings of a task that a path or template may name as well."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The rule that names files: ``output.path`` taken apart, without its extension."""

    stem: Template

    @classmethod
    def of(cls, path: str) -> Self:
        """Read ``output.path``; raises :class:`BadTemplate` where it can name no file.

        A path that does not end in ``.{{ext}}`` gets it (a literal ``.png`` is replaced): the
        extension follows the bytes that came.
        """
        if _is_ours(first := path.split("/", maxsplit=1)[0]):
            raise BadTemplate(f"`{first}` is a file of the output folder itself: choose another")
        bare = path.removesuffix(_END)
        stem = parse(bare if bare != path else _EXTENSION.sub("", path))
        for number, part in enumerate(_literal_of(stem).split("/")):
            _check_part(part, is_first=number == 0)
        for piece in stem.pieces:
            _check_width(piece)
        return cls(stem)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the path asks for."""
        return self.stem.names

    @property
    def tells_apart(self) -> bool:
        """Whether no two tasks can get the same path, whatever their values."""
        if "id" in self.names:
            return True
        # Two numbers side by side could be read apart in two ways: 1, 11 and 11, 1.
        is_apart = not any(isinstance(a, Slot) and isinstance(b, Slot) for a, b in self._pairs())
        return is_apart and {"index", "sample"} <= set(self.names)

    @property
    def is_certain(self) -> bool:
        """Whether every task gets a path of its own, so that none has to be looked at."""
        given = frozenset(NAMES) - {"row"}
        return self.tells_apart and not self.may_be_too_long and given.issuperset(self.names)

    @property
    def may_be_too_long(self) -> bool:
        """Whether a part can pass 255 bytes, so that every path has to be looked at."""
        longest = "".join(_worst_of(piece) for piece in self.stem.pieces)
        if len(longest.encode()) + _ROOM_FOR_THE_END > MOST_BYTES_IN_ALL:
            return True
        sizes = longest.split("/")
        return any(len(part.encode()) + _ROOM_FOR_THE_END > MOST_BYTES for part in sizes)

    def _pairs(self) -> Iterator[tuple[str | Slot, str | Slot]]:
        return itertools.pairwise(self.stem.pieces)

    def path_for(self, task: Task, image: int, ext: str) -> str:
        """The path of image number ``image`` (from 0) of a reply, below the output folder.

        A first part that a value makes one of the folder's own files gets `_` in front. Raises
        :class:`BadTemplate` where the task lacks a name, or a part passes 255 bytes.
        """
        values = _Values(task, image, ext)
        again = f"-{image}" if image and "image" not in self.names else ""
        path = f"{self.stem.render(values)}{again}.{ext}"
        first, *others = path.split("/")
        parts = [f"_{first}" if _is_ours(first) else first, *others]
        for part in parts:
            if len(part.encode()) > MOST_BYTES:
                raise BadTemplate(
                    f"`{part[:40]}…` is longer than {MOST_BYTES} bytes, its end included: up to "
                    f"`-{_LATE_IMAGE}.{_LONG_EXTENSION}` where a reply has several images"
                )
        if len(path.encode()) > MOST_BYTES_IN_ALL:
            raise BadTemplate(f"`{path[:40]}…` is longer than {MOST_BYTES_IN_ALL:,} bytes in all")
        return "/".join(parts)

    def check(self, task: Task) -> None:
        """Raise :class:`BadTemplate` where an image of the task, a late one too, gets no path."""
        self.path_for(task, _LATE_IMAGE, _LONG_EXTENSION)


class _Values(dict[str, Any]):
    """A task's values by name, each made safe only when it is asked for."""

    def __init__(self, task: Task, image: int, ext: str) -> None:
        super().__init__(index=task.index, sample=task.sample, image=image, id=task.id, ext=ext)
        self._task = task

    def __missing__(self, name: str) -> Any:
        value = _value_of(self._task, name)
        return value if isinstance(value, int | float) else safe_part(plain(value))

    def __iter__(self) -> Iterator[str]:
        yield from (*NAMES, *SETTINGS, *self._task.vars, *self._task.meta)


def _value_of(task: Task, name: str) -> Any:
    if name == "slug":
        return slug(task.prompt)
    if name == "shard":
        return f"{task.index // _SHARD:03}"
    if name == "row":
        return task.meta["id"]
    if name in {"model", "prompt", "seed", "aspect_ratio", "image_size"}:  # as they are sent
        return getattr(task, name)
    if name in task.vars:
        return task.vars[name]
    return getattr(task, name) if name in SETTINGS else task.meta[name]


def slug(text: str) -> str:
    """``text`` as lower-case letters, digits and hyphens of ASCII, at most 80 characters.

    Accents are dropped; a text without any such letter becomes ``image``.
    """
    ascii_only = unicodedata.normalize("NFKD", text[:400]).encode("ascii", "ignore").decode()
    words = _SEPARATORS.sub("-", ascii_only.lower()).strip("-")
    return words[:_MOST_OF_A_SLUG].rstrip("-") or "image"


def safe_part(text: str, most: int = _MOST_OF_A_VALUE) -> str:
    """``text`` as one harmless part of a path, at most ``most`` bytes long, never empty."""
    if not text.isascii() or not text.isprintable():
        text = unicodedata.normalize("NFC", text)
        text = "".join(c for c in text if unicodedata.category(c) not in _HIDDEN)
    text = _UNSAFE.sub("-", text).strip().lstrip(".").rstrip(". ")
    if _DEVICES.match(text):
        text = f"_{text}"
    return text.encode()[: most or 1].decode(errors="ignore").rstrip(". ") or "_"


def is_safe_part(text: str) -> bool:
    """Whether ``text`` can be one part of a path as it stands."""
    return bool(text) and safe_part(text, most=200) == unicodedata.normalize("NFC", text)


def _literal_of(stem: Template) -> str:
    return "".join("{}" if isinstance(piece, Slot) else piece for piece in stem.pieces)


def _worst_of(piece: str | Slot) -> str:
    if isinstance(piece, str):
        return piece
    short = {"index", "sample", "image", "id", "shard", "ext"}
    return "x" * max(20 if piece.name in short else _MOST_OF_A_VALUE, piece.width)


def _is_ours(first: str) -> bool:
    """Whether a path's first part is a file of the output folder itself, in any letter case."""
    return first.casefold() in _OWN_FILES


def _check_width(piece: str | Slot) -> None:
    if isinstance(piece, Slot) and piece.width and piece.name in _NEVER_NUMBERS:
        raise BadTemplate(
            f"`{{{{{piece.name}:0{piece.width}}}}}` pads a number, and `{piece.name}` is text: "
            f"write `{{{{{piece.name}}}}}`"
        )


def _check_part(part: str, *, is_first: bool) -> None:
    if is_first and part.casefold() == ".state":
        raise BadTemplate("nothing is kept below `.state/`: choose another folder")
    if not part or part.startswith(".") or (is_first and part == "~"):
        odd = f"`{part}` has no place in it" if part else "a name is missing beside a `/`"
        raise BadTemplate(
            f"a path is relative, stays inside the output folder and ends in a file name: {odd}"
        )
    if "\\" in part:
        raise BadTemplate("a path holds no backslash: write `/` between folders")
    if hidden := [c for c in part if unicodedata.category(c) in _HIDDEN]:
        raise BadTemplate(f"a path cannot hold {hidden[0]!r}, which nobody sees: remove it")
