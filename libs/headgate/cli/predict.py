"""`headgate predict` sends rows to the gateway and prints every output of the answer."""

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.artifacts.table_file import FORMATS, InvalidTable, Table, read_table
from headgate.cli.files import STDIN, local_path, read_file
from headgate.cli.render import Format, Output, pairs, show_data, show_rows
from headgate.cli.rows_input import joined, parts, tensors_of
from headgate.cli.session import served_version, session, usage
from headgate.cli.tensor_input import NotARequest, Request, Spec, from_json, from_rows, parse, specs_of
from headgate.client.predict import Answer, answer, infer_request
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.client.tensors import InvalidTensor, Tensor, Value
from headgate.inference import grpc_predict_v2_pb2 as inference

NOT_FINITE = "some values are not finite numbers; this answer counts as bad"
MAX_SHOWN_ROWS = 20
MAX_SHOWN_VALUES = 20
"""How much of an output a table shows. JSON and YAML have all of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: a model, one of its versions or the live one, and for which routing key."""

    model: str
    version: str
    key: str


def predict(
    context: typer.Context,
    model: str,
    row: Annotated[
        list[str] | None, typer.Option("--row", help='Values such as "1.5,2,,4"; an empty one is missing. Repeatable.')
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            parser=local_path,
            metavar="FILE",
            help="A JSON array of rows, or an object with one for each input; null for a missing value; - is stdin.",
        ),
    ] = None,
    rows_file: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            parser=local_path,
            metavar="FILE",
            help=f"Rows in a file: {FORMATS}. Columns have the names of the inputs, or are those of the one input.",
        ),
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Routing key: one key always reaches the same version.")] = "",
    version: Annotated[str, typer.Option("--version", help="Ask this version instead of the live one.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Ask the live version for a prediction."""
    name, version = served_version(model, version)
    if sum(map(bool, (row, json_file, rows_file))) != 1:
        usage("give the rows with one of --row, --json and --rows")
    document = _document(json_file) if json_file else None
    table = _table(rows_file) if rows_file else None
    stub = session(context).stubs.inference
    metadata = stub.ModelMetadata(inference.ModelMetadataRequest(name=name, version=version), timeout=TIMEOUT_SECONDS)
    specs = specs_of(metadata)
    if rows_file and table:
        _predict_rows(stub, rows_file, table, specs, Target(name, version, key), output)
        return
    request = _from_file(json_file, document, specs) if json_file else _from_rows(row or [], specs)
    _show(_asked(stub, request, Target(name, version, key)), output)


def _predict_rows(stub: Any, file: Path, table: Table, specs: dict[str, Spec], target: Target, output: Format) -> None:
    """Asks for all rows of the file, in several requests where they are too many for one."""
    try:
        requests = list(parts(tensors_of(table, specs)))
        # One key for all, so that a release cannot send the rows to two versions.
        target = replace(target, key=target.key or (uuid.uuid4().hex if len(requests) > 1 else ""))
        answers = [_asked(stub, Request(tensors), target) for tensors in requests]
        result = joined(answers, [tensors[0].shape[0] for tensors in requests])
    except NotARequest as error:
        usage(f"--rows {file}: {error}")
    _show(result, output, table.rows)


def _asked(stub: Any, request: Request, target: Target) -> Answer:
    call = infer_request(target.model, request.tensors, target.version, request.outputs, request.id, target.key)
    try:
        return answer(stub.ModelInfer(call, timeout=TIMEOUT_SECONDS))
    except InvalidTensor as error:
        usage(f"{error}: ask with a client of the protocol")


def _table(file: Path) -> Table:
    if str(file) == STDIN:
        usage("--rows reads no standard input: give the name of a file")
    read_file(file)  # refuses one that is not there or too large
    try:
        return read_table(file)
    except (InvalidTable, OSError) as error:
        usage(f"--rows {file} cannot be read as {FORMATS}: {error}")


def _from_rows(rows: Sequence[str], specs: dict[str, Spec]) -> Request:
    try:
        return from_rows(rows, specs)
    except NotARequest as error:
        usage(f"--row: {error}")


def _document(file: Path) -> Any:
    text = read_file(file)
    try:
        return parse(text)
    except NotARequest as error:
        usage(f"--json {file}: {error}")


def _from_file(file: Path, document: Any, specs: dict[str, Spec]) -> Request:
    try:
        return from_json(document, specs)
    except NotARequest as error:
        usage(f"--json {file}: {error}")


def _show(result: Answer, output: Format, rows: int = 0) -> None:
    """`rows` is the number of rows of a file, whose answers stand on a line for each row."""
    if output is not Format.TABLE:
        show_data(_data(result), output)
        return
    shown = {"version": f"v{result.version}", "arm": result.arm, "warning": NOT_FINITE if result.is_bad else ""}
    if rows and all(tensor.shape[:1] == (rows,) for tensor in result.tensors):
        pairs(shown)
        show_rows(_lines(result, rows), output, wide=True)
        return
    pairs({**shown, **{tensor.name: table_text(tensor) for tensor in result.tensors}})


def _lines(result: Answer, rows: int) -> list[dict[str, object]]:
    columns = {tensor.name: tensor.nested() for tensor in result.tensors}
    return [{"row": row + 1, **{name: _row(values[row]) for name, values in columns.items()}} for row in range(rows)]


def _data(result: Answer) -> dict[str, Any]:
    """The answer for programs: each output as one flat list, with its shape and its datatype."""
    return {
        "version": result.version,
        "arm": result.arm,
        # JSON has no NaN, so a value that is not a finite number becomes null.
        "outputs": {each.name: [_json_value(value) for value in each.values] for each in result.tensors},
        "shapes": {each.name: list(each.shape) for each in result.tensors},
        "datatypes": {each.name: each.datatype for each in result.tensors},
        **({"warning": NOT_FINITE} if result.is_bad else {}),
    }


def _json_value(value: Value) -> Value | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table_text(tensor: Tensor) -> str:
    """The values on one line when each row has one of them; otherwise one line for each row."""
    rows = tensor.nested()
    if math.prod(tensor.shape[1:]) == 1:
        return _cut([_text(value) for value in tensor.values], MAX_SHOWN_VALUES, ", ")
    return _cut([_row(row) for row in rows], MAX_SHOWN_ROWS, "\n")


def _row(row: Any) -> str:
    if not isinstance(row, list):
        return _text(row)
    nested = any(isinstance(each, list) for each in row)
    return _cut([f"[{_row(each)}]" if nested else _text(each) for each in row], MAX_SHOWN_VALUES, ", ")


def _cut(texts: Sequence[str], most: int, separator: str) -> str:
    more = [f"... and {len(texts) - most} more; -o json has all"] if len(texts) > most else []
    return separator.join([*texts[:most], *more])


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)
