"""`headgate predict` sends rows to the gateway and prints the answers."""

import json
import math
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.files import local_path, read_file
from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import session, usage
from headgate.client.datatypes import Number
from headgate.client.predict import MAX_VALUE, ROUTING_KEY, Answer, answer, infer_request
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.inference import grpc_predict_v2_pb2 as inference

MAX_INT_DIGITS = 400
"""Python makes an int of at most 4,300 digits. No float has as many as 400."""
MAX_SHOWN_CHARACTERS = 200


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
            help="A JSON array of rows, null for a missing value; - is stdin.",
        ),
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Routing key: one key always reaches the same version.")] = "",
    version: Annotated[str, typer.Option("--version", help="Ask this version instead of the live one.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Ask the live version for a prediction."""
    rows = [parse_row(text) for text in row or ()] + (_json_rows(json_file) if json_file else [])
    if not rows or len({len(values) for values in rows}) != 1:
        usage("give rows with --row or --json; all rows need the same length")
    stub = session(context).stubs.inference
    metadata = stub.ModelMetadata(inference.ModelMetadataRequest(name=model, version=version), timeout=TIMEOUT_SECONDS)
    if len(metadata.inputs) != 1:
        usage(f"{model} has {len(metadata.inputs)} inputs; this command supports models with one input")
    request = _request(model, rows, metadata.inputs[0].name, version)
    response = stub.ModelInfer(request, metadata=((ROUTING_KEY, key),) if key else (), timeout=TIMEOUT_SECONDS)
    _show(answer(response), output)


def _request(model: str, rows: list[list[Number]], input_name: str, version: str) -> inference.ModelInferRequest:
    try:
        return infer_request(model, rows, input_name, version)
    except ValueError as error:
        usage(str(error))


def parse_row(text: str) -> list[Number]:
    """Comma-separated numbers; an empty one is a missing value. Raises CommandFailed."""
    try:
        return [_number(cell.strip()) if cell.strip() else math.nan for cell in text.split(",")]
    except ValueError as error:
        usage(f"--row {_shown(text)}: {error}")


def _json_rows(file: Path) -> list[list[Number]]:
    text = read_file(file)
    try:
        document = _document(text.decode())
        if not isinstance(document, list):
            raise TypeError(f"got {type(document).__name__}")
        rows = document if document and isinstance(document[0], list) else [document]
        if not document:
            raise ValueError("it has none")
        return [_json_row(number, row) for number, row in enumerate(rows, start=1)]
    except (ValueError, TypeError, RecursionError) as error:
        usage(f"--json {file}: expected an array of rows of numbers: {error}")


def _document(text: str) -> Any:
    """The JSON document. A number that a float may not hold is a Decimal, so that an error can show it as it was."""

    def whole(digits: str) -> int | Decimal:
        return int(digits) if len(digits) <= MAX_INT_DIGITS else Decimal(digits)

    return json.loads(text, parse_int=whole, parse_float=Decimal, parse_constant=Decimal)


def _json_row(number: int, row: object) -> list[Number]:
    if not isinstance(row, list):
        raise TypeError(f"row {number} is {type(row).__name__}, not an array")
    try:
        return [math.nan if value is None else _number(value) for value in row]
    except ValueError as error:
        raise ValueError(f"row {number}: {error}") from error


def _number(value: Any) -> Number:
    """The value with all its digits. Raises ValueError for what is no number, not finite, or beyond FP32."""
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) else None
    except InvalidOperation:
        number = None
    if number is None:
        raise ValueError(f"{_shown(value)} is not a number")
    # The shortest text of a float stands for this float.
    as_float = float(number) if number.is_finite() else math.inf
    if not abs(as_float) <= MAX_VALUE:
        raise ValueError(
            f"{_shown(value)} is not a number from {-MAX_VALUE:.6g} to {MAX_VALUE:.6g};"
            " a missing value is empty in --row and null in --json"
        )
    return as_float if Decimal(repr(as_float)) == number else number


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _show(result: Answer, output: Format) -> None:
    if output is Format.TABLE:
        pairs({"version": f"v{result.version}", **{name: _text(values) for name, values in result.outputs.items()}})
    else:
        # JSON has no NaN, so a value that is not a finite number becomes null.
        values = {name: [v if math.isfinite(v) else None for v in found] for name, found in result.outputs.items()}
        show_data({"version": result.version, "outputs": values}, output)


def _text(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
