"""Reads rows from a file: CSV, JSON lines, Parquet or an array of numpy. The first bytes say which one it is.

Parquet needs arro3, and arrays need numpy. Both are imported only for such a file: a command line may lack them.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from headgate.domain.words import counted

FORMATS = "CSV, JSON lines, Parquet or NPY"
MAX_COLUMNS = 10_000
MAX_REASON_CHARACTERS = 300
NUMPY, PARQUET = b"\x93NUMPY", b"PAR1"
TRUTH = {"true": True, "false": False, "1": True, "0": False}
"""The texts and the numbers that stand for true and false in a column."""
ANSWERS = ("answer", "answers", "label", "target", "y")
"""Usual names of the column with the true answers."""


class InvalidTable(ValueError):
    """The file has no table. The text says what was wrong, and at which line or row."""


@dataclass(frozen=True, slots=True)
class Table:
    """The columns by name, and for a file of text the line on which each row ends.

    CSV has texts. A fraction in JSON lines is a Decimal, as it was written.
    """

    columns: Mapping[str, Any]
    lines: Sequence[int] = ()

    @property
    def rows(self) -> int:
        found: int = len(next(iter(self.columns.values()), ()))
        return found

    def place(self, row: int) -> str:
        """Where the row, counted from 0, stands in the file: its line, or its number from 1 in a file without lines."""
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"


def read_table(file: Path, last: str = "") -> Table:
    """The table of the file. `last` is the name of the last column of rows without names, such as "answer".

    Raises InvalidTable, and OSError when the file cannot be read.
    """
    with file.open("rb") as content:
        head = content.read(4096)
    if head.startswith(NUMPY):
        return _from_numpy(file, last)
    if head.startswith(PARQUET):
        return _from_parquet(file)
    try:
        return _from_json_lines(file, last) if head.lstrip()[:1] in (b"{", b"[") else _from_csv(file)
    except UnicodeDecodeError as error:
        found = f"the byte {error.object[error.start]:#04x} is no UTF-8"
        raise InvalidTable(f"{_begin(file)}{found}: save the file as UTF-8") from error


def columns_of_inputs(columns: Sequence[str], inputs: Sequence[str]) -> dict[str, list[str]]:
    """Which columns have the values of each input: the one of its name.

    Where a model has one input, and no column has its name, they are all columns in their order. Raises InvalidTable.
    """
    missing = [name for name in inputs if name not in columns]
    if not missing:
        return {name: [name] for name in inputs}
    if len(inputs) > 1 and list(columns) == numbered(len(columns)):
        wanted = ", ".join(f'"{name}": ...' for name in inputs)
        raise InvalidTable(
            f"its columns have no names, which only a model with one input takes; this one has the inputs"
            f" {listed(inputs)}: give each row as {{{wanted}}}, or a file with these columns"
        )
    if len(inputs) > 1:
        raise InvalidTable(f"there is no column {missing[0]} for this input; the columns are {listed(columns)}")
    return {missing[0]: list(columns)}


def numbered(count: int) -> list[str]:
    """The names of columns that have none."""
    return [str(column) for column in range(count)]


def listed(columns: Sequence[str]) -> str:
    """The names of the columns for an error."""
    return ", ".join(columns) or "none"


def _begin(file: Path) -> str:
    """The line of the first bytes that are no UTF-8, as the begin of an error."""
    with file.open("rb") as content:
        for number, line in enumerate(content, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"line {number}: "
    return ""


def _from_csv(file: Path) -> Table:
    with file.open(newline="", encoding="utf-8-sig") as text:
        lines = csv.reader(text)
        try:
            return _csv_table(lines)
        except csv.Error as error:
            raise InvalidTable(f"line {lines.line_num}: {error}") from error


def _csv_table(lines: Any) -> Table:
    header = _header(next(lines, []))
    columns: list[list[str]] = [[] for _ in header]
    ends = []
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(header):
            raise InvalidTable(
                f"line {lines.line_num} has {counted(len(cells), 'cell')}, and the first line {len(header)}"
            )
        ends.append(lines.line_num)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    return Table(dict(zip(header, columns, strict=True)), ends)


def _header(cells: Sequence[str]) -> list[str]:
    """The names of the columns. A first line of numbers is a row, unless it counts the columns as pandas does."""
    if cells and all(map(_is_number, cells)) and list(cells) != numbered(len(cells)):
        raise InvalidTable("line 1 has only numbers: put the names of the columns there, such as a,b,c, above the rows")
    return _distinct(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_json_lines(file: Path, last: str) -> Table:
    rows: list[dict[str, Any] | list[Any]] = []
    ends = []
    with file.open(encoding="utf-8-sig") as text:
        for number, line in enumerate(text, 1):
            if line.strip():
                rows.append(_json_row(number, line))
                ends.append(number)
    is_named = bool(rows) and isinstance(rows[0], dict)
    named = [_named(number, row, is_named, last) for number, row in zip(ends, rows, strict=True)]
    header = _distinct(list(named[0]) if named else [])
    for number, row in zip(ends, named, strict=True):
        if row.keys() != set(header):
            found, first = (listed(list(each)) if is_named else len(each) for each in (row, header))
            what = "the columns " if is_named else "the number of values "
            raise InvalidTable(f"line {number} has {what}{found}, and line {ends[0]} {first}")
    return Table({name: [row[name] for row in named] for name in header}, ends)


def _named(number: int, row: dict[str, Any] | list[Any], is_named: bool, last: str) -> dict[str, Any]:
    """The values of a row by the names of their columns, which are numbers where the rows are arrays.

    An array of arrays is one value. With `last` it stands before the answer.
    """
    if isinstance(row, dict) != is_named:
        kinds = ("an array", "an object") if is_named else ("an object", "an array")
        raise InvalidTable(f"line {number} is {kinds[0]}, and the first row {kinds[1]}")
    if isinstance(row, dict):
        return row
    if last and len(row) < 2:
        raise InvalidTable(f"line {number}: expected an array with the values of the row, the answer last")
    if not last and any(isinstance(each, list) for each in row):
        return {"0": row}
    names = numbered(len(row))
    return dict(zip([*names[:-1], last] if last else names, row, strict=True))


def _json_row(number: int, line: str) -> dict[str, Any] | list[Any]:
    try:
        row = json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise InvalidTable(f"line {number}, character {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise InvalidTable(f"line {number}: expected JSON with less nesting") from error
    except ValueError as error:  # a number of thousands of digits
        raise InvalidTable(f"line {number}: {error}") from error
    if not isinstance(row, dict | list):
        raise InvalidTable(f"line {number}: expected an object with a value for each column, or an array of values")
    return row


def _from_numpy(file: Path, last: str) -> Table:
    with _library("an array of numpy", "numpy"):
        import numpy as np
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise InvalidTable(f"NPY: {error}; save an array of numbers with numpy.save") from error
    if array.dtype.names:
        return Table({name: np.asarray(array[name]) for name in _distinct(array.dtype.names)})
    if array.ndim < 1 or (last and (array.ndim != 2 or array.shape[1] < 2)):
        columns = "rows and columns, the answers last" if last else "rows"
        raise InvalidTable(f"an array of the shape {list(array.shape)}; expected {columns}")
    if array.ndim != 2:
        return Table({"0": array})
    names = _distinct(numbered(array.shape[1]))
    names = [*names[:-1], last] if last else names
    return Table({name: array[:, column] for column, name in enumerate(names)})


def _from_parquet(file: Path) -> Table:
    with _library("Parquet", "arro3-core arro3-io"):
        from arro3.io import read_parquet
    try:
        table = read_parquet(str(file)).read_all()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # arro3 panics over a damaged file, and a panic is no Exception
        raise InvalidTable(f"Parquet: {str(error)[:MAX_REASON_CHARACTERS]}") from error
    return Table({name: table[name].to_pylist() for name in _distinct(table.column_names)})


@contextmanager
def _library(what: str, packages: str) -> Iterator[None]:
    """Raises InvalidTable with what to install where the import in the block finds no package."""
    try:
        yield
    except ImportError as error:
        raise InvalidTable(f"{what} needs packages that are not installed here: pip install {packages}") from error


def _distinct(names: Sequence[str]) -> list[str]:
    if len(set(names)) != len(names) or len(names) > MAX_COLUMNS:
        raise InvalidTable(f"expected at most {MAX_COLUMNS} columns, each with a name of its own")
    return list(names)
