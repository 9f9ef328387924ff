"""Predictions over the Open Inference Protocol, for a model with one input: rows of numbers in, values out."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.client.datatypes import Number, held
from headgate.inference import grpc_predict_v2_pb2 as inference

ROUTING_KEY = "x-routing-key"
DATATYPE = "FP32"
MAX_VALUE = (2 - 2**-23) * 2.0**127
"""The largest finite value of DATATYPE, in which rows are sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The version that answered, and for each output its values as one flat list."""

    version: int
    outputs: dict[str, list[float]]


def infer_request(
    model: str, rows: Sequence[Sequence[Number]], input_name: str, version: str = ""
) -> inference.ModelInferRequest:
    """A request with one FP32 tensor of the shape [rows, columns], little-endian as the protocol demands.

    Raises ValueError for rows of different lengths, and for a value that FP32 cannot hold.
    """
    columns = len(rows[0])
    if any(len(row) != columns for row in rows):
        raise ValueError("every row needs the same number of values")
    tensor = inference.ModelInferRequest.InferInputTensor(
        name=input_name, datatype=DATATYPE, shape=[len(rows), columns]
    )
    values = [_held(row, f"input {input_name!r}, row {number}") for number, row in enumerate(rows, start=1)]
    raw = b"".join(struct.pack(f"<{columns}f", *row) for row in values)
    return inference.ModelInferRequest(
        model_name=model, model_version=version, inputs=[tensor], raw_input_contents=[raw]
    )


def _held(row: Sequence[Number], where: str) -> list[float]:
    """The row as FP32 holds it."""
    values = []
    for column, value in enumerate(row, start=1):
        try:
            values.append(held(value, DATATYPE))
        except ValueError as error:
            raise ValueError(f"{where}, column {column}: {error}. Send that one if it means the same") from error
    return values


def answer(response: inference.ModelInferResponse) -> Answer:
    """Reads the outputs, whether they are sent as raw bytes or as typed values. Raises ValueError for other types."""
    outputs: dict[str, list[float]] = {}
    for index, output in enumerate(response.outputs):
        if index < len(response.raw_output_contents):
            outputs[output.name] = _numbers(output.datatype, response.raw_output_contents[index])
        else:
            contents = output.contents
            outputs[output.name] = [*contents.fp32_contents, *contents.fp64_contents, *contents.int64_contents]
    return Answer(int(response.model_version), outputs)


_CODES = {"FP32": "f", "FP64": "d", "INT32": "i", "INT64": "q"}


def _numbers(datatype: str, raw: bytes) -> list[float]:
    code = _CODES.get(datatype)
    if code is None:
        raise ValueError(f"cannot read outputs of type {datatype}")
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))
