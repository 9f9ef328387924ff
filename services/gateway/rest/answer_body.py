"""Writes the body of an inference answer: JSON alone, or JSON and then the binary data of its tensors."""

from typing import Any, NamedTuple

import orjson

from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.rest.json_tensors import json_elements
from services.gateway.rest.request_body import BINARY_DATA_SIZE, OutputForms

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class Body(NamedTuple):
    """The bytes of an answer. `json_length` of them are JSON, and binary data follows; None when all are JSON."""

    content: bytes
    json_length: int | None


def write_answer(response: inference.ModelInferResponse, forms: OutputForms) -> Body:
    """The body. Its outputs must have raw contents."""
    binary: list[bytes] = []
    answer: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        answer["id"] = response.id
    if response.parameters:
        answer["parameters"] = plain_parameters(response.parameters)
    answer["outputs"] = [
        _output(output, raw, forms.is_binary(output.name), binary)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    ]
    text = orjson.dumps(answer, option=_OPTIONS)
    return Body(b"".join((text, *binary)), len(text)) if binary else Body(text, None)


def plain_parameters(parameters: Any) -> dict[str, Any]:
    """The parameters of a message as JSON values."""
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in parameters.items()}


def _output(output: Any, raw: bytes, is_binary: bool, binary: list[bytes]) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
    parameters = plain_parameters(output.parameters) if output.parameters else {}
    if is_binary:
        binary.append(raw)
        parameters[BINARY_DATA_SIZE] = len(raw)
    if parameters:
        tensor["parameters"] = parameters
    if not is_binary:
        tensor["data"] = json_elements(output.datatype, raw)
    return tensor
