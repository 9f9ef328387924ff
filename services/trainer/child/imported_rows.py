"""Makes the test rows of an imported version from the columns of their file.

The columns that are no answers are the inputs of the same names. Where none is, they are the columns of the one input,
in their order. A number becomes what the input takes: a fraction the nearest one, a whole number only itself.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.artifacts.datatypes import PROTOCOL_TYPES, STRING
from headgate.artifacts.graphs import Graph, GraphTensor
from headgate.artifacts.held_numbers import CannotHold, meant, nearest
from headgate.artifacts.table_file import ANSWERS, FORMATS, TRUTH, InvalidTable, columns_of_inputs, listed, read_table
from services.trainer.child.failure import TrainingFailure

Column = Sequence[Any] | npt.NDArray[Any]
Table = Mapping[str, Column]
WHERE = "the test rows"


def test_rows(file: Path, answers: str, graph: Graph) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Features by input, and the true answers. Raises TrainingFailure."""
    table = read_rows(file)
    if not table or not len(next(iter(table.values()))):
        raise TrainingFailure(f"{WHERE}: the file has no rows; give some with their true answers")
    name = answers_column(table, answers)
    rest = {column: values for column, values in table.items() if column != name}
    return features(rest, graph), answer_values(name, table[name])


def answers_column(table: Table, wanted: str) -> str:
    if wanted:
        if wanted in table:
            return wanted
        raise TrainingFailure(f"{WHERE}: there is no column {wanted}; the columns are {listed(list(table))}")
    known = [name for name in table if name.lower() in ANSWERS]
    if len(known) == 1:
        return known[0]
    raise TrainingFailure(
        f"{WHERE}: which column has the true answers? Name it with --answers; the columns are {listed(list(table))}"
    )


def features(table: Table, graph: Graph) -> dict[str, Any]:
    """Raises TrainingFailure."""
    try:
        named = columns_of_inputs(list(table), [tensor.name for tensor in graph.inputs])
    except InvalidTable as error:
        raise TrainingFailure(f"{WHERE}: {error}") from error
    if all(columns == [name] for name, columns in named.items()):
        return {tensor.name: converted(tensor.name, table[tensor.name], tensor) for tensor in graph.inputs}
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
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        kind = "text" if datatype == STRING else datatype
        reason = f" ({error})" if isinstance(error, CannotHold) else ""
        found = f"expected {kind}, got {repr(value)[:100]}{reason}"
        raise TrainingFailure(f"{WHERE}: row {row}, column {name}: {found}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any, datatype: str) -> float | int | bool:
    if datatype == "bool":
        return TRUTH[str(value).lower()]
    if not datatype.startswith("float"):
        return _whole(value)
    if value is None or value == "":  # a missing value of a fraction is one that is not a number
        return float("nan")
    number = Decimal(value) if isinstance(value, str) else value
    name = PROTOCOL_TYPES[datatype]
    is_written = isinstance(number, Decimal) and number.is_finite()
    return meant(number, name, nearest) if is_written else nearest(number, name)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if int(value) != value:
        raise ValueError
    return int(value)


def read_rows(file: Path) -> Table:
    """The columns by name. Raises TrainingFailure."""
    try:
        return read_table(file, last="answer").columns
    except (InvalidTable, OSError) as error:
        raise TrainingFailure(f"{WHERE}: the file cannot be read as {FORMATS}: {error}") from error
