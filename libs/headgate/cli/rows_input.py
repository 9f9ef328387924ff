"""The rows of a file as requests of `headgate predict`: which columns go to which inputs, and how many rows at once."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from headgate.artifacts.datatypes import BOOL, BYTES
from headgate.artifacts.table_file import ANSWERS, TRUTH, InvalidTable, Table, columns_of_inputs
from headgate.cli.tensor_input import NotARequest, Spec, tensor_of_rows, value_of
from headgate.client.predict import Answer
from headgate.client.tensors import InvalidTensor, Tensor, shape_of, tensor_of
from headgate.domain.words import counted

MAX_ROWS = 100_000
"""Of a file."""
MAX_ROWS_AT_ONCE = 1_000
"""In one request."""
MAX_BYTES_AT_ONCE = 4 * 1024 * 1024
"""Of the values in one request, unless one row alone has more. A gateway takes four times as much."""


def tensors_of(table: Table, specs: Mapping[str, Spec]) -> list[Tensor]:
    """The inputs with all rows of the table. Raises NotARequest with the line or the row, and the column."""
    if not 0 < table.rows <= MAX_ROWS:
        raise NotARequest(f"expected 1 to {MAX_ROWS} rows, got {table.rows}")
    try:
        named = columns_of_inputs(list(table.columns), list(specs))
    except InvalidTable as error:
        raise NotARequest(str(error)) from error
    return [_tensor(table, _features(names, specs[name]), specs[name]) for name, names in named.items()]


def parts(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The rows of the tensors in their order, in requests that keep the limits."""
    rows = tensors[0].shape[0]
    if rows == 1 or (rows <= MAX_ROWS_AT_ONCE and sum(len(each.raw()) for each in tensors) <= MAX_BYTES_AT_ONCE):
        yield list(tensors)
        return
    yield from parts([_cut(each, 0, rows // 2) for each in tensors])
    yield from parts([_cut(each, rows // 2, rows) for each in tensors])


def joined(answers: Sequence[Answer], rows: Sequence[int]) -> Answer:
    """One answer in place of those to several requests with so many rows. Raises NotARequest."""
    first = answers[0]
    if len(answers) == 1:
        return first
    if any((each.version, each.arm) != (first.version, first.arm) for each in answers):
        versions = sorted({f"v{each.version}" for each in answers})
        raise NotARequest(f"the rows were answered by {' and '.join(versions)}: choose one with --version")
    tensors = [_joined(list(each), rows) for each in zip(*(answer.tensors for answer in answers), strict=True)]
    return Answer(first.version, tuple(tensors), first.arm, any(each.is_bad for each in answers))


def _features(names: Sequence[str], spec: Spec) -> list[str]:
    """The columns of an input. The answers are left out of a file that has them beside as many columns as it takes."""
    answers = [name for name in names if name.lower() in ANSWERS]
    has_one_more = len(spec.shape) == 2 and len(names) == spec.shape[1] + 1
    return [name for name in names if name not in answers] if has_one_more and len(answers) == 1 else list(names)


def _tensor(table: Table, names: Sequence[str], spec: Spec) -> Tensor:
    columns = {name: [_value(each, spec.datatype) for each in _listed(table.columns[name])] for name in names}
    values = list(columns.values())
    alone = len(values) == 1 and (len(spec.shape) != 2 or isinstance(values[0][0], list))
    rows = values[0] if alone else [list(row) for row in zip(*values, strict=True)]
    try:
        return tensor_of_rows(spec, rows)
    except NotARequest as error:
        _refuse_value(table, columns, spec, error)


def _refuse_value(table: Table, columns: Mapping[str, list[Any]], spec: Spec, fault: NotARequest) -> NoReturn:
    """Raises NotARequest with the place of the first value that is at fault, or the fault itself."""
    for row in range(table.rows):
        for name, values in columns.items():
            place = f"{table.place(row)}, column {name}"
            if (expected := shape_of(values[0])) != (found := shape_of(values[row])):
                raise NotARequest(
                    f"{place}: expected the shape {list(expected)} as in the first row, got {list(found)}"
                )
            try:
                tensor_of("value", spec.datatype, [values[row]])
            except InvalidTensor as error:
                raise NotARequest(f"{place}: {str(error).partition(': ')[2]}") from error
    raise NotARequest(f"{fault}; the columns are {', '.join(columns)}") from fault


def _listed(column: Any) -> list[Any]:
    """The values of a column; those of an array of numpy as Python's own."""
    found: list[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    return found


def _value(value: Any, datatype: str) -> Any:
    if isinstance(value, list):
        return [_value(each, datatype) for each in value]
    if datatype == BYTES:
        return value
    if datatype == BOOL:
        return TRUTH.get(str(value).strip().lower(), value)
    found = value_of(value, datatype) if isinstance(value, str) else value
    return None if _is_nan(found) else found


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and value != value


def _cut(tensor: Tensor, begin: int, end: int) -> Tensor:
    size = len(tensor.values) // tensor.shape[0]
    shape = (end - begin, *tensor.shape[1:])
    return Tensor(tensor.name, tensor.datatype, shape, tensor.values[begin * size : end * size])


def _joined(tensors: Sequence[Tensor], rows: Sequence[int]) -> Tensor:
    first = tensors[0]
    for each, count in zip(tensors, rows, strict=True):
        if (each.name, each.datatype, each.shape) != (first.name, first.datatype, (count, *first.shape[1:])):
            at_once = counted(MAX_ROWS_AT_ONCE, "row")
            raise NotARequest(f"output {each.name!r} has no value for each row: give at most {at_once} at once")
    shape = (sum(rows), *first.shape[1:])
    return Tensor(first.name, first.datatype, shape, tuple(value for each in tensors for value in each.values))
