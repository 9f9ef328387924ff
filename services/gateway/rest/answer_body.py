"""Writes the body of an inference answer: JSON alone, or JSON and then the binary data of its tensors."""

from typing import Any, NamedTuple

import orjson

from headgate.inference_parameters import BAD
from services.gateway.answered_by import answered_by_in_words
from services.gateway.forward import Answer
from services.gateway.rest.json_tensors import json_elements
from services.gateway.rest.request_body import BINARY_DATA_SIZE, OutputForms
from services.gateway.tensors import Array, TensorSpec, raw_values

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class Body(NamedTuple):
    """The bytes of an answer. `json_length` of them are JSON, and binary data follows; None when all are JSON."""

    content: bytes
    json_length: int | None


def write_answer(answer: Answer, forms: OutputForms) -> Body:
    """The body."""
    request, routing, _ = answer.forward
    fields = dict(answered_by_in_words(routing))
    if request.id:
        fields["id"] = request.id
    if not answer.finite:
        fields["parameters"] = {**fields["parameters"], BAD: True}
    binary: list[bytes] = []
    specs, arrays = answer.outputs()
    fields["outputs"] = [
        _output(spec, array, forms.is_binary(spec.name), binary) for spec, array in zip(specs, arrays, strict=True)
    ]
    text = orjson.dumps(fields, option=_OPTIONS)
    return Body(b"".join((text, *binary)), len(text)) if binary else Body(text, None)


def _output(spec: TensorSpec, array: Array, is_binary: bool, binary: list[bytes]) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": array.shape}
    if is_binary:
        raw = raw_values(array, spec.datatype)
        binary.append(raw)
        tensor["parameters"] = {BINARY_DATA_SIZE: len(raw)}
    else:
        tensor["data"] = json_elements(spec.datatype, array)
    return tensor
