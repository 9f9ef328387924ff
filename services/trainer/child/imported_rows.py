"""Reads the test rows of an imported version from a table: CSV, JSON lines, Parquet or an array of numpy.

The columns that are no answers are the inputs of the same names. Where none is, they are the columns of the one input,
in their order. A number becomes what the input takes: a fraction the nearest one, a whole number only itself.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.artifacts.datatypes import STRING
from headgate.artifacts.graphs import Graph, GraphTensor
from services.trainer.child.failure import TrainingFailure

Column = Sequence[Any] | npt.NDArray[Any]
Table = Mapping[str, Column]
ANSWERS = ("answer", "answers", "label", "target", "y")
"""Usual names of the column with the true answers, for a table that is given without one."""
MAX_COLUMNS = 10_000
MAX_REASON_CHARACTERS = 300
WHERE = "the test rows"
NUMPY, PARQUET = b"\x93NUMPY", b"PAR1"
TRUTH = {"true": True, "false": False, "1": True, "0": False}


def test_rows(file: Path, answers: str, graph: Graph) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Features by input, and the true answers. Raises TrainingFailure."""
    table = read_table(file)
    if not table or not len(next(iter(table.values()))):
        raise TrainingFailure(f"{WHERE}: the file has no rows; give some with their true answers")
    name = answers_column(table, answers)
    rest = {column: values for column, values in table.items() if column != name}
    return features(rest, graph), answer_values(name, table[name])


def answers_column(table: Table, wanted: str) -> str:
    if wanted:
        if wanted in table:
            return wanted
        raise TrainingFailure(f"{WHERE}: there is no column {wanted}; the columns are {_listed(table)}")
    known = [name for name in table if name.lower() in ANSWERS]
    if len(known) == 1:
        return known[0]
    raise TrainingFailure(
        f"{WHERE}: which column has the true answers? Name it with --answers; the columns are {_listed(table)}"
    )


def features(table: Table, graph: Graph) -> dict[str, Any]:
    """Raises TrainingFailure."""
    if all(tensor.name in table for tensor in graph.inputs):
        return {tensor.name: converted(tensor.name, table[tensor.name], tensor) for tensor in graph.inputs}
    if len(graph.inputs) > 1:
        missing = next(tensor.name for tensor in graph.inputs if tensor.name not in table)
        raise TrainingFailure(f"{WHERE}: there is no column {missing} for this input; the columns are {_listed(table)}")
    tensor = graph.inputs[0]
    columns = [converted(name, values, tensor) for name, values in table.items()]
    if len(tensor.shape) == 1 and len(columns) == 1:
        return {tensor.name: columns[0]}
    if not columns:
        raise TrainingFailure(f"{WHERE}: there is no column besides the answers")
    return {tensor.name: np.stack(columns, axis=1)}


def converted(name: str, values: Column, tensor: GraphTensor) -> npt.NDArray[Any]:
    """The values as the input takes them. Raises TrainingFailure with the first one that it does not take."""
    found = [_value(name, row, value, tensor.datatype) for row, value in enumerate(values)]
    try:
        return np.array(found, np.object_ if tensor.datatype == STRING else tensor.datatype)
    except (ValueError, OverflowError, TypeError) as error:
        raise TrainingFailure(f"{WHERE}: column {name}: expected {tensor.datatype}: {error}") from error


def answer_values(name: str, values: Column) -> npt.NDArray[Any]:
    """Whole numbers where all are, and fractions otherwise. Raises TrainingFailure."""
    numbers = [_value(name, row, value, "float64") for row, value in enumerate(values)]
    try:
        found = np.array(numbers, np.float64)
    except ValueError as error:
        raise TrainingFailure(f"{WHERE}: column {name}: expected as many answers in each row: {error}") from error
    return found.astype(np.int64) if np.array_equal(found, np.floor(found)) and np.isfinite(found).all() else found


def _value(name: str, row: int, value: Any, datatype: str) -> Any:
    if isinstance(value, list | np.ndarray):
        return [_value(name, row, each, datatype) for each in value]
    try:
        return _text(value) if datatype == STRING else _number(value, datatype)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        kind, shown = "text" if datatype == STRING else datatype, repr(value)[:100]
        raise TrainingFailure(f"{WHERE}: row {row}, column {name}: expected {kind}, got {shown}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any, datatype: str) -> float | int | bool:
    if datatype == "bool":
        return TRUTH[str(value).lower()]
    if not datatype.startswith("float"):
        return _whole(value)
    # A missing value of a fraction is one that is not a number.
    return float("nan") if value is None or value == "" else float(value)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if int(value) != value:
        raise ValueError
    return int(value)


def read_table(file: Path) -> dict[str, Column]:
    """The columns by name. What the file is, its first bytes say. Raises TrainingFailure."""
    with file.open("rb") as content:
        head = content.read(4096)
    try:
        if head.startswith(NUMPY):
            return _from_numpy(file)
        if head.startswith(PARQUET):
            return _from_parquet(file)
        if head.lstrip()[:1] in (b"{", b"["):
            return _from_json_lines(file)
        return _from_csv(file)
    except (ValueError, OSError, csv.Error, RecursionError) as error:
        raise TrainingFailure(
            f"{WHERE}: the file cannot be read as CSV, JSON lines, Parquet or NPY: {error}"
        ) from error


def _from_csv(file: Path) -> dict[str, Column]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        lines = csv.reader(text)
        header = _distinct(next(lines, []))
        columns: list[list[str]] = [[] for _ in header]
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(f"line {lines.line_num} has {len(cells)} cells, and the first line {len(header)}")
            for column, cell in zip(columns, cells, strict=True):
                column.append(cell)
    return dict(zip(header, columns, strict=True))


def _from_json_lines(file: Path) -> dict[str, Column]:
    rows = []
    with file.open(encoding="utf-8-sig") as text:
        for number, line in enumerate(text, 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number}: expected an object with a value for each column")
                rows.append(row)
    header = _distinct(list(rows[0]) if rows else [])
    for number, row in enumerate(rows):
        if list(row) != header and set(row) != set(header):
            raise ValueError(f"row {number} has the columns {', '.join(row)}, and row 0 {', '.join(header)}")
    return {name: [row[name] for row in rows] for name in header}


def _from_numpy(file: Path) -> dict[str, Column]:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.dtype.names:
        return {name: np.asarray(array[name]) for name in array.dtype.names}
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(f"an array of the shape {list(array.shape)}; expected rows and columns, the answers last")
    last = array.shape[1] - 1
    return {("answer" if column == last else str(column)): array[:, column] for column in range(array.shape[1])}


def _from_parquet(file: Path) -> dict[str, Column]:
    from arro3.io import read_parquet

    try:
        table = read_parquet(str(file)).read_all()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # arro3 panics over a damaged file, and a panic is no Exception
        raise ValueError(f"Parquet: {str(error)[:MAX_REASON_CHARACTERS]}") from error
    return {name: table[name].to_pylist() for name in _distinct(table.column_names)}


def _distinct(names: Sequence[str]) -> list[str]:
    if len(set(names)) != len(names) or len(names) > MAX_COLUMNS:
        raise ValueError(f"expected at most {MAX_COLUMNS} columns, each with a name of its own")
    return list(names)


def _listed(table: Table) -> str:
    return ", ".join(table) or "none"
