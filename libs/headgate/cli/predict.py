"""`headgate predict` sends rows to the gateway and prints the answers."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import session, usage
from headgate.client.predict import ROUTING_KEY, Answer, answer, infer_request
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.inference import grpc_predict_v2_pb2 as inference


def predict(
    context: typer.Context,
    model: str,
    row: Annotated[
        list[str] | None, typer.Option("--row", help='Values such as "1.5,2,,4"; an empty one is missing. Repeatable.')
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="A JSON array of rows, null for a missing value; - is stdin.")
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
    response = stub.ModelInfer(
        infer_request(model, rows, metadata.inputs[0].name, version),
        metadata=((ROUTING_KEY, key),) if key else (),
        timeout=TIMEOUT_SECONDS,
    )
    _show(answer(response), output)


def parse_row(text: str) -> list[float]:
    """Comma-separated numbers; an empty one or `nan` is a missing value. Raises CommandFailed."""
    try:
        return [float(cell) if cell.strip() else math.nan for cell in text.split(",")]
    except ValueError as error:
        usage(f"--row {text!r}: {error}")


def _json_rows(file: Path) -> list[list[float]]:
    try:
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
        if not isinstance(document, list):
            raise TypeError(f"got {type(document).__name__}")
        rows = document if document and isinstance(document[0], list) else [document]
        return [[math.nan if value is None else float(value) for value in row] for row in rows]
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        usage(f"--json {file}: expected an array of rows of numbers: {error}")


def _show(result: Answer, output: Format) -> None:
    if output is Format.TABLE:
        pairs({"version": f"v{result.version}", **{name: _text(values) for name, values in result.outputs.items()}})
    else:
        # JSON has no NaN, so a value that is not a finite number becomes null.
        values = {name: [v if math.isfinite(v) else None for v in found] for name, found in result.outputs.items()}
        show_data({"version": result.version, "outputs": values}, output)


def _text(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
