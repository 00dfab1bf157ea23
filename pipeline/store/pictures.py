"""The images of a folder against the lines that name them, and the files that no line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pipeline.store.examine import flaw_of, in_threads, is_inside
from pipeline.store.findings import Finding, Flaw, Kind
from pipeline.store.opening import IMAGES, NOT_COUNTED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pipeline.store.durable import Disk
    from pipeline.store.ledger import Ledger
    from pipeline.store.lines import Opened


class Pictures:
    """One look at all images. Memory grows by a name's number for each, and by what is wrong.

    ``wrong`` tells, by the offset of a made task's newest line, which of its files have which flaw;
    ``n_checked`` images were looked at, ``n_sound`` are without a flaw, ``n_bytes`` is their size.
    """

    def __init__(self, disk: Disk, manifest: Opened, ledger: Ledger) -> None:
        """``ledger`` is what ``manifest`` says."""
        self.wrong: dict[int, dict[str, Flaw]] = {}
        self.n_checked = 0
        self.n_sound = 0
        self.n_bytes = 0
        self._disk = disk
        self._manifest = manifest
        self._ledger = ledger
        self._owners: dict[int, int] = {}  # hash of a name -> offset of the line that names it
        self._shared: dict[str, set[int]] = {}
        self._tops = {IMAGES}

    def look(self, *, is_deep: bool = True) -> None:
        """Look at each; ``is_deep`` False leaves their bytes alone. Raises OSError."""

        def flaw_in(one: tuple[int, dict[str, Any]]) -> Flaw | None:
            return flaw_of(self._disk, one[1], is_deep=is_deep)

        for (offset, image), flaw in in_threads(flaw_in, self._images()):
            self.n_checked += 1
            if flaw:
                self.wrong.setdefault(offset, {})[image["file"]] = flaw
            else:
                self.n_sound += 1
                self.n_bytes += image["bytes"]
        self._settle_shared()

    def record_at(self, offset: int) -> dict[str, Any]:
        """The record whose line starts there."""
        (line,) = self._manifest.lines([offset])
        record: dict[str, Any] = orjson.loads(line)
        return record

    def findings(self) -> Iterator[Finding]:
        """What is wrong with them."""
        for offset, flaws in self.wrong.items():
            task_id = self.record_at(offset)["id"]
            for file, flaw in flaws.items():
                yield Finding(kind=flaw.kind, file=file, id=task_id, detail=flaw.detail)

    def unnamed(self) -> Iterator[str]:
        """Files where images lie that no made task names."""
        for top in sorted(self._tops):
            try:
                for name in self._disk.files(top):
                    if not self.is_named(name) and name.rpartition("/")[2] not in NOT_COUNTED:
                        yield name
            except NotADirectoryError:  # a link or a file: the images that should be there tell
                continue

    def is_named(self, name: str) -> bool:
        """Whether a made task names this file."""
        return hash(name) in self._owners

    def forget(self, offsets: Iterable[int]) -> None:
        """These lines hold no more: what seemed wrong with them is not."""
        for offset in offsets:
            self.wrong.pop(offset, None)

    def excuse(self, files: Collection[str]) -> None:
        """These files are about to be another task's: what seemed wrong with them is not."""
        for offset, flaws in tuple(self.wrong.items()) if files else ():
            left = {file: flaw for file, flaw in flaws.items() if file not in files}
            if left:
                self.wrong[offset] = left
            else:
                del self.wrong[offset]

    def _images(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each image with the offset of its line; notes whose its name is."""
        for offset in self._ledger.offsets_of_made():
            for image in self.record_at(offset)["images"]:
                self._note(image["file"], offset)
                yield offset, image

    def _note(self, name: str, offset: int) -> None:
        if not is_inside(name):
            return
        other = self._owners.setdefault(hash(name), offset)
        if other != offset:
            self._shared.setdefault(name, {other}).add(offset)
        top, slash, _ = name.partition("/")
        if slash:
            self._tops.add(top)

    def _settle_shared(self) -> None:
        """A file is one task's: of those whose line agrees with it, the newest."""
        for name, offsets in self._shared.items():
            fitting = [at for at in offsets if name not in self.wrong.get(at, {})]
            if not fitting:
                continue
            owner = max(fitting)
            detail = f"it is the image of task {self.record_at(owner)['id']}"
            for offset in offsets - {owner}:
                self.wrong.setdefault(offset, {})[name] = Flaw(kind=Kind.SHARED, detail=detail)
