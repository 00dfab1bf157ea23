"""Prompt files as streams: .txt, .csv, .tsv, .jsonl and standard input, a row at a time."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from pipeline.errors import Fault
from pipeline.job.cells import BadCells, records_of_csv, records_of_tsv
from pipeline.job.job import Filed, Listed
from pipeline.job.notation import is_utf16
from pipeline.job.objects import BadLine, not_utf8, object_in, value_in
from pipeline.job.rows import SETTINGS, Row, checked
from pipeline.job.template import hint, known_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedReader

_T = TypeVar("_T")

_LONGEST_LINE = 4 * 1024**2
_MOST_UNREADABLE = 100_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EMPTY_IS_NOTHING = frozenset({*SETTINGS, "id"})


def rows(
    source: Listed | Filed, *, file: Path | None = None, n_passed: int = 0
) -> Iterator[Row | Fault]:
    """Every row of ``source``, or what is wrong with it, in order and one at a time.

    ``file``: what to read in the source's place, which faults still name: where standard input was
    spooled to, or a copy. The first ``n_passed`` rows were found to be sound and are left out.
    """
    if isinstance(source, Listed):
        return itertools.islice(source.rows, n_passed, None)
    return _Reading(source, file, n_passed).rows()


def spool(stdin: BinaryIO, to: Path) -> None:
    """Copy standard input to a file, so that it can be read more than once."""
    with to.open("wb") as file:
        shutil.copyfileobj(stdin, file)


class _Reading:
    """One way through a prompt file."""

    def __init__(self, source: Filed, file: Path | None, n_passed: int) -> None:
        self._source = source
        self._n_passed = n_passed
        self._label = source.label
        self._faults: list[Fault] = []
        if file is None and source.path == "-":
            raise ValueError("standard input has to be spooled first")
        self._path = file or Path(source.path)
        suffix = Path(source.path).suffix.lower().removeprefix(".")
        self._kind = "jsonl" if source.path == "-" else suffix

    def rows(self) -> Iterator[Row | Fault]:
        """The rows and faults, the faults of a line where the line stands."""
        n_rows = self._n_passed
        try:
            with self._path.open("rb") as file:
                for row in self._numbered(file):
                    n_rows += 1
                    if self._faults:
                        yield from self._passed_over()
                    if isinstance(row, Row):
                        yield row
                    else:
                        yield from row
        except OSError as error:
            yield Fault(self._label, 0, 0, "", f"cannot read the prompts: {error.strerror}")
            return
        yield from (faults := list(self._passed_over()))
        if not n_rows and not faults:
            yield Fault(self._label, 0, 0, "", "holds no prompt")

    def _numbered(self, file: BufferedReader) -> Iterator[Row | list[Fault]]:
        readers = {"txt": self._of_txt, "jsonl": self._of_jsonl}
        reader = readers.get(self._kind, self._of_table)
        limit = self._source.limit
        return itertools.islice(reader(file), limit and max(0, limit - self._n_passed))

    def _passed_over(self) -> Iterator[Fault]:
        faults, self._faults = self._faults, []
        return iter(faults)

    def _note(self, line: int, key: str, what: str, col: int = 0) -> None:
        self._faults.append(Fault(self._label, line, col, key, what))

    def _lines(self, file: BufferedReader) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers, split at line feeds alone, without a byte order mark."""
        if is_utf16(file.peek(2)):
            self._note(1, "", "is UTF-16: save the file as UTF-8")
            return
        for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), 1):
            if len(line) == _LONGEST_LINE:
                self._note(number, "", f"the line is longer than {_LONGEST_LINE:,} bytes")
                return
            yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line

    def _texts(self, file: BufferedReader) -> Iterator[tuple[int, str]]:
        for number, line in self._lines(file):
            try:
                yield number, line.decode()
            except UnicodeDecodeError as bad:
                self._note(number, "", not_utf8(bad))
                if len(self._faults) >= _MOST_UNREADABLE:
                    self._note(number, "", "this is no text: the rest was not looked at")
                    return

    def _of_txt(self, file: BufferedReader) -> Iterator[Row]:
        texts = self._texts(file)
        filled = ((number, text) for number, text in texts if text and not text.isspace())
        for number, text in self._left(filled):
            yield Row(line=number, prompt=text.rstrip("\n").rstrip("\r"))

    def _of_jsonl(self, file: BufferedReader) -> Iterator[Row | list[Fault]]:
        lines = ((number, line) for number, line in self._lines(file) if line.strip())
        for number, line in self._left(lines):
            yield self._of_json(number, line)

    def _left(self, records: Iterator[_T]) -> Iterator[_T]:
        """Without those of the rows that are left out."""
        return itertools.islice(records, self._n_passed, None)

    def _of_json(self, number: int, line: bytes) -> Row | list[Fault]:
        try:
            keys = object_in(line)
        except BadLine as bad:
            return [Fault(self._label, number, bad.col, bad.key, str(bad))]
        return self._row(number, keys)

    def _of_table(self, file: BufferedReader) -> Iterator[Row | list[Fault]]:
        texts = self._texts(file)
        records = records_of_csv(texts) if self._kind == "csv" else records_of_tsv(texts)
        header = next(records, None)
        columns = self._columns(header) if header else []
        if not columns:
            return
        blank_at: list[range] = []  # blank lines count only where something follows
        for number, cells in self._left(records):
            if cells == []:
                first = blank_at.pop().start if blank_at and blank_at[-1].stop == number else number
                blank_at.append(range(first, number + 1))
                continue
            for lines in blank_at:
                yield from (self._of_cells(line, columns, [""]) for line in lines)
            blank_at.clear()
            yield self._of_cells(number, columns, cells)

    def _columns(self, header: tuple[int, list[str] | BadCells]) -> list[str]:
        """The names of the columns; none, and faults noted, where the header cannot be used."""
        number, cells = header
        if isinstance(cells, BadCells):
            self._note(number, "", str(cells))
            return []
        if not cells:
            self._note(number, "", "is blank, and the first line names the columns")
            return []
        columns = [cell.strip() or f"column {n}" for n, cell in enumerate(cells, 1)]
        repeated = sorted(name for name, n in Counter(columns).items() if n > 1)
        for name in repeated:
            self._note(number, name, "two columns have this name: rename one")
        missing = [
            (key, name)
            for key, name in (("column", self._source.column), ("id", self._source.id))
            if name is not None and name not in columns
        ]
        for key, name in missing:
            known = hint(name, columns) or f": there are {known_names(dict.fromkeys(columns))}"
            near = _other_separator(columns, self._kind) or known
            self._note(number, f"prompts.{key}", f"there is no column `{name}`{near}")
        return [] if repeated or missing else columns

    def _of_cells(
        self, number: int, columns: list[str], cells: list[str] | BadCells
    ) -> Row | list[Fault]:
        if isinstance(cells, BadCells):
            return [Fault(self._label, number, 0, "", str(cells))]
        if len(cells) != len(columns):
            what = f"{_n_cells(len(cells))}, but the header has {len(columns)}"
            return [Fault(self._label, number, 0, "", what)]
        named = dict(zip(columns, cells, strict=True))
        try:
            return self._row(number, _typed(named, keep=self._source.column))
        except BadLine as bad:
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


def _n_cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number:,} cells"


def _other_separator(columns: list[str], kind: str) -> str:
    """What to say where the header is one column that holds what separates others elsewhere."""
    for name, mark, file in (("tabs", "\t", ".tsv"), ("commas", ",", ".csv")):
        if len(columns) == 1 and mark in columns[0] and f".{kind}" != file:
            return f": its cells have {name} between them, so name the file {file}"
    if len(columns) == 1 and ";" in columns[0]:
        return ": its cells have semicolons between them, where a .csv file has commas"
    return ""


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
            value = _json_in(cells[name])
            if type(value) is not kind:
                wanted = "a whole number" if kind is int else 'JSON such as {"temperature": 1}'
                raise BadLine(f"must be {wanted}, not `{cells[name][:40]}`", key=name)
            keys[name] = value
    if str(keys.get("references")).startswith("[") and keep != "references":
        keys["references"] = _json_in(cells["references"])
        if keys["references"] is None:
            what = 'must be a path, an address, or a JSON list such as ["a.png", "b.png"]'
            raise BadLine(what, key="references")
    return keys


def _json_in(cell: str) -> Any:
    """The JSON in a cell, as strictly read as a line of .jsonl; None where it is none."""
    try:
        return value_in(cell.encode())
    except BadLine:
        return None
