"""`headgate prediction list` and `watch` read the prediction log: what gateways were asked, and what they answered."""

import base64
import math
from contextlib import closing
from typing import Annotated, Any

import typer

from headgate.cli.logs import polled
from headgate.cli.printing import show_json
from headgate.cli.render import Format, Output, Row, Wide, as_dict, show_data, show_line, show_rows
from headgate.cli.session import model_name, session
from headgate.client.tensors import InvalidTensor, read_output
from headgate.domain.words import counted, time_text
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.log import topics
from headgate.telemetry.counters import ARM_NAMES
from headgate.telemetry.predictions import newest, of_model, partition_of_model
from headgate.v1 import predictions_pb2 as predictions

MAX_LINES = 10_000
MAX_SHOWN_VALUES = 6
"""How many values of a tensor a table shows. JSON and YAML have all that were recorded."""
RANKS = {"request": 2, "ms": 3, "inputs": 1}
EMPTY = "No predictions are recorded: a gateway records them when HEADGATE_PREDICTION_RATE is above 0."

prediction = typer.Typer(help="Sampled predictions. No service needs to run.", no_args_is_help=True)


@prediction.command("list")
def list_predictions(
    context: typer.Context,
    model: str,
    lines: Annotated[int, typer.Option("-n", "--last", min=1, max=MAX_LINES, help="List the newest N.")] = 20,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List the newest sampled predictions of a model, the newest last."""
    name = model_name(model)
    with closing(session(context).open_log()) as log:
        found = newest(log, name, lines, log.end(topics.PREDICTIONS))
    if output is Format.TABLE:
        show_rows([_row(each) for each in found], output, wide, EMPTY, RANKS)
    else:
        show_data([as_data(each) for each in found], output)


@prediction.command("watch")
def watch_predictions(context: typer.Context, model: str, output: Output = Format.TABLE) -> None:
    """Print each sampled prediction of a model as it is recorded, until Ctrl-C; JSON is one object per line."""
    name, current = model_name(model), session(context)
    partition = partition_of_model(name)
    with closing(current.open_log()) as log:
        start = {partition: log.end(topics.PREDICTIONS)[partition]}
        with log.tail(topics.PREDICTIONS, start) as tail:
            while True:  # until Ctrl-C
                for each in of_model(iter(polled(tail, current.log_wait_seconds)), name):
                    _show_next(each, output)


def _show_next(found: predictions.Prediction, output: Format) -> None:
    """Prints one prediction of a watch."""
    if output is Format.JSON:
        show_json(as_data(found))
    elif output is Format.YAML:
        show_data([as_data(found)], output)
    else:
        row = _row(found)
        show_line(str(row["time"]), "  ".join(f"{name} {row[name]}" for name in row if name != "time" and row[name]))


def as_data(found: predictions.Prediction) -> dict[str, Any]:
    """The prediction with the values of its tensors, as the protocol's JSON has them."""
    data = as_dict(found)
    data["inputs"] = [_tensor_data(tensor) for tensor in found.inputs]
    data["outputs"] = [_tensor_data(tensor) for tensor in found.outputs]
    return data


def _row(found: predictions.Prediction) -> Row:
    return {
        "time": time_text(found.at_ms),
        "version": f"v{found.version}",
        "arm": ARM_NAMES.get(found.arm, "pinned"),
        "bad": "bad" if found.bad else "",
        "request": found.request_id,
        "ms": f"{found.duration_us / 1000:.3g}",
        "inputs": "left out" if found.inputs_left_out else _short(found.inputs),
        "outputs": _short(found.outputs),
    }


def _short(tensors: Any) -> str:
    return "; ".join(f"{tensor.name} {_shown(tensor)}" for tensor in tensors)


def _shown(tensor: predictions.PredictionTensor) -> str:
    shape = "x".join(map(str, tensor.shape))
    values = _values(tensor)
    if values is None:
        return f"{shape} of {tensor.datatype}, {counted(tensor.size_bytes, 'byte')}"
    some = ", ".join(str(value) for value in values[:MAX_SHOWN_VALUES])
    return f"[{some}{', ...' if len(values) > MAX_SHOWN_VALUES else ''}]"


def _tensor_data(tensor: predictions.PredictionTensor) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "size_bytes": tensor.size_bytes,
    }
    if tensor.WhichOneof("content") == "sha256":
        data["sha256"] = tensor.sha256.hex()
    elif tensor.WhichOneof("content") == "raw":
        values = _values(tensor)
        data |= (
            {"raw": base64.b64encode(tensor.raw).decode()}
            if values is None
            else {"data": [_json_value(value) for value in values]}
        )
    return data


def _json_value(value: Any) -> Any:
    """The value; one that JSON has no number for as a text, as in the JSON of protobuf."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _values(tensor: predictions.PredictionTensor) -> tuple[Any, ...] | None:
    """The values of a tensor; None when they are not recorded, or of a datatype that Python has not."""
    if tensor.WhichOneof("content") != "raw":
        return None
    output = inference.ModelInferResponse.InferOutputTensor(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )
    try:
        return read_output(output, tensor.raw).values
    except (InvalidTensor, ValueError):
        return None
