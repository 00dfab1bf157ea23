"""Prompt files as streams: .txt, .csv, .tsv, .jsonl and standard input, a row at a time."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from pipeline.errors import Fault
from pipeline.job.cells import BadCells, records_of_csv, records_of_tsv
from pipeline.job.job import Filed, Listed
from pipeline.job.rows import SETTINGS, Row, checked
from pipeline.job.template import hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_LINE = 16 * 1024**2
_EMPTY_IS_NOTHING = frozenset({*SETTINGS, "id"})


def rows(source: Listed | Filed, *, file: Path | None = None) -> Iterator[Row | Fault]:
    """Every row of ``source``, or what is wrong with it, in order and one at a time.

    ``file``: what to read in the source's place, which faults still name: where standard input was
    spooled to, or a copy.
    """
    if isinstance(source, Listed):
        return iter(source.rows)
    return _Reading(source, file).rows()


def spool(stdin: BinaryIO, to: Path) -> None:
    """Copy standard input to a file, so that it can be read more than once."""
    with to.open("wb") as file:
        shutil.copyfileobj(stdin, file)


class _Reading:
    """One way through a prompt file."""

    def __init__(self, source: Filed, file: Path | None) -> None:
        self._source = source
        self._label = source.label
        self._faults: list[Fault] = []
        if file is None and source.path == "-":
            raise ValueError("standard input has to be spooled first")
        self._path = file or Path(source.path)
        suffix = Path(source.path).suffix.lower().removeprefix(".")
        self._kind = "jsonl" if source.path == "-" else suffix

    def rows(self) -> Iterator[Row | Fault]:
        """The rows and faults, the faults of a line where the line stands."""
        n_rows = 0
        try:
            with self._path.open("rb") as file:
                for row in self._numbered(file):
                    n_rows += 1
                    yield from self._passed_over()
                    yield from row if isinstance(row, list) else (row,)
        except OSError as error:
            yield Fault(self._label, 0, 0, "", f"cannot read the prompts: {error.strerror}")
            return
        yield from (faults := list(self._passed_over()))
        if not n_rows and not faults:
            yield Fault(self._label, 0, 0, "", "holds no prompt")

    def _numbered(self, file: BinaryIO) -> Iterator[Row | list[Fault]]:
        readers = {"txt": self._of_txt, "jsonl": self._of_jsonl}
        reader = readers.get(self._kind, self._of_table)
        return itertools.islice(reader(file), self._source.limit)

    def _passed_over(self) -> Iterator[Fault]:
        faults, self._faults = self._faults, []
        return iter(faults)

    def _note(self, line: int, key: str, what: str, col: int = 0) -> None:
        self._faults.append(Fault(self._label, line, col, key, what))

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers, split at line feeds alone, without a byte order mark."""
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if len(line) == _LONGEST_LINE:
                self._note(number, "", f"the line is longer than {_LONGEST_LINE:,} bytes")
                return
            yield number, line

    def _texts(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        for number, line in self._lines(file):
            try:
                yield number, line.decode()
            except UnicodeDecodeError as bad:
                self._note(number, "", _not_utf8(bad))

    def _of_txt(self, file: BinaryIO) -> Iterator[Row]:
        for number, text in self._texts(file):
            if text.strip():
                yield Row(line=number, prompt=text.rstrip("\n").rstrip("\r"))

    def _of_jsonl(self, file: BinaryIO) -> Iterator[Row | list[Fault]]:
        for number, line in self._lines(file):
            if line.strip():
                yield self._of_json(number, line)

    def _of_json(self, number: int, line: bytes) -> Row | list[Fault]:
        try:
            keys = _object(line)
        except _BadLine as bad:
            return [Fault(self._label, number, bad.col, bad.key, str(bad))]
        return self._row(number, keys)

    def _of_table(self, file: BinaryIO) -> Iterator[Row | list[Fault]]:
        texts = self._texts(file)
        records = records_of_csv(texts) if self._kind == "csv" else records_of_tsv(texts)
        header = next(records, None)
        columns = self._columns(header) if header else []
        if not columns:
            return
        blank_at: list[int] = []  # blank lines count only where something follows
        for number, cells in records:
            if cells == []:
                blank_at.append(number)
                continue
            yield from (self._of_cells(line, columns, [""]) for line in blank_at)
            blank_at.clear()
            yield self._of_cells(number, columns, cells)

    def _columns(self, header: tuple[int, list[str] | BadCells]) -> list[str]:
        """The names of the columns; none, and faults noted, where the header cannot be used."""
        number, cells = header
        if isinstance(cells, BadCells):
            self._note(number, "", str(cells))
            return []
        columns = [cell.strip() or f"column {n}" for n, cell in enumerate(cells, 1)]
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        for name in repeated:
            self._note(number, name, "two columns have this name: rename one")
        missing = [
            (key, name)
            for key, name in (("column", self._source.column), ("id", self._source.id))
            if name is not None and name not in columns
        ]
        for key, name in missing:
            near = hint(name, columns) or f": there are {', '.join(columns)}"
            self._note(number, f"prompts.{key}", f"there is no column `{name}`{near}")
        return [] if repeated or missing else columns

    def _of_cells(
        self, number: int, columns: list[str], cells: list[str] | BadCells
    ) -> Row | list[Fault]:
        if isinstance(cells, BadCells):
            return [Fault(self._label, number, 0, "", str(cells))]
        if len(cells) != len(columns):
            what = f"{len(cells)} cells, but the header has {len(columns)}"
            return [Fault(self._label, number, 0, "", what)]
        named = dict(zip(columns, cells, strict=True))
        try:
            return self._row(number, _typed(named, keep=self._source.column))
        except _BadLine as bad:
            return [Fault(self._label, number, 0, bad.key, str(bad))]

    def _row(self, number: int, keys: dict[str, Any]) -> Row | list[Fault]:
        """The row these keys are, its prompt and id taken from the columns that hold them."""
        column, own_id = self._source.column, self._source.id
        hidden: dict[str, Any] = {}
        if column != "prompt":
            hidden = {"prompt": keys.pop("prompt")} if "prompt" in keys else {}
            if column in keys:
                keys = {"prompt": keys.pop(column), **keys}
        if own_id not in {None, "id"} and own_id in keys:
            if "id" in keys:
                what = f"`prompts.id: {own_id}` would hide this column: rename it"
                return [Fault(self._label, number, 0, "id", what)]
            keys["id"] = keys.pop(own_id)
        row = checked(keys, file=self._label, line=number)
        if isinstance(row, list):
            return [_as_written(fault, column, own_id) for fault in row]
        return row.with_meta(hidden) if hidden else row


class _BadLine(Exception):
    """A line whose values cannot be read."""

    def __init__(self, what: str, *, key: str = "", col: int = 0) -> None:
        super().__init__(what)
        self.key, self.col = key, col


def _as_written(fault: Fault, column: str, own_id: str | None) -> Fault:
    """The fault with the column's name as it stands in the file."""
    names = {"prompt": column, "id": own_id or "id"}
    return Fault(fault.file, fault.line, fault.col, names.get(fault.key, fault.key), fault.what)


def _typed(cells: Mapping[str, str], *, keep: str) -> dict[str, Any]:
    """Cells as values: an empty setting is none, a seed is a number, params are JSON."""
    keys: dict[str, Any] = {
        name: cell
        for name, cell in cells.items()
        if cell or name == keep or name not in _EMPTY_IS_NOTHING
    }
    for name, kind in (("seed", int), ("params", dict)):
        if name in keys and name != keep:
            try:
                keys[name] = orjson.loads(keys[name])
            except orjson.JSONDecodeError:
                keys[name] = None
            if type(keys[name]) is not kind:
                wanted = "a whole number" if kind is int else 'JSON such as {"temperature": 1}'
                raise _BadLine(f"must be {wanted}, not `{cells[name][:40]}`", key=name)
    if str(keys.get("references")).startswith("[") and keep != "references":
        try:
            keys["references"] = orjson.loads(keys["references"])
        except orjson.JSONDecodeError:
            what = 'must be a path, an address, or a JSON list such as ["a.png", "b.png"]'
            raise _BadLine(what, key="references") from None
    return keys


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object in ``line``, strictly: no repeated key, no NaN, all of it can be kept."""
    try:
        value = _JSON.decode(line.decode())
        orjson.dumps(value)  # refuses lone surrogates, more than 64 bits, and great depth
    except UnicodeDecodeError as bad:
        raise _BadLine(_not_utf8(bad)) from None
    except json.JSONDecodeError as bad:
        what = f'not JSON: {bad.msg}; every line is an object, such as {{"prompt": "a red fox"}}'
        raise _BadLine(what, col=bad.colno) from None
    except ValueError:
        raise _BadLine("not JSON: a number has too many digits") from None
    except orjson.JSONEncodeError as bad:
        raise _BadLine(f"cannot be kept: {bad}") from None
    except RecursionError:
        raise _BadLine("cannot be kept: nested too deeply") from None
    if not isinstance(value, dict):
        raise _BadLine('must be an object, such as {"prompt": "a red fox"}')
    return value


def _not_utf8(bad: UnicodeDecodeError) -> str:
    return f"byte {bad.start + 1} is not UTF-8: save the file as UTF-8"


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _BadLine("is given twice: keep one", key=repeated)
    return keys


def _finite(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise _BadLine(f"{text} is no number that JSON can hold")


_JSON = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_finite, parse_float=_finite)
