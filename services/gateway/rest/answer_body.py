"""Writes the body of an inference answer: JSON alone, or JSON and then the binary data of its tensors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from headgate.inference_parameters import BAD
from services.gateway.answered_by import answered_by_in_words
from services.gateway.forward import Answer
from services.gateway.rest.json_tensors import json_elements
from services.gateway.rest.request_body import BINARY_DATA_SIZE, OutputForms
from services.gateway.tensors import Array, TensorSpec, raw_values

FORM = "JSON"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class Body(NamedTuple):
    """The bytes of an answer. `json_length` of them are JSON, and binary data follows; None when all are JSON."""

    content: bytes
    json_length: int | None


class _Output(NamedTuple):
    """An output, and its values as the body has them."""

    spec: TensorSpec
    array: Array
    is_binary: bool
    values: bytes


def write_answer(answer: Answer, forms: OutputForms) -> Body:
    """The body. What stands around the values is kept for the next answer."""
    request, routing, fit = answer.forward
    if fit.heads is None or request.id:
        outputs = _outputs(*answer.outputs(), forms)
        return _body(_frame(answer, outputs), outputs)
    outputs = _outputs(fit.outputs, answer.results, forms)
    forms_of_all = [(output.array.shape, output.is_binary) for output in outputs]
    key = FORM, routing.arm, routing.entry.route.release, answer.finite, *forms_of_all
    return _body(fit.heads.get(key) or fit.keep(key, _frame(answer, outputs)), outputs)


def _outputs(specs: Sequence[TensorSpec], arrays: Sequence[Array], forms: OutputForms) -> list[_Output]:
    found = []
    for spec, array in zip(specs, arrays, strict=True):
        is_binary = forms.is_binary(spec.name)
        if is_binary:
            values = raw_values(array, spec.datatype)
        else:
            values = orjson.dumps(json_elements(spec.datatype, array), option=_OPTIONS)
        found.append(_Output(spec, array, is_binary, values))
    return found


def _body(frame: Sequence[bytes], outputs: Sequence[_Output]) -> Body:
    """The values between the parts of the frame, and behind it."""
    between: list[bytes] = []
    behind: list[bytes] = []
    for output in outputs:
        if output.is_binary:
            behind.append(output.values)
        else:
            between += frame[len(between) // 2], output.values
    text = b"".join((*between, frame[-1]))
    return Body(b"".join((text, *behind)), len(text)) if behind else Body(text, None)


def _frame(answer: Answer, outputs: Sequence[_Output]) -> tuple[bytes, ...]:
    """The JSON around the values: what stands before each output's own, and after the last one's."""
    request, routing, _ = answer.forward
    fields = dict(answered_by_in_words(routing))
    if request.id:
        fields["id"] = request.id
    if not answer.finite:
        fields["parameters"] = {**fields["parameters"], BAD: True}
    parts, text = [], orjson.dumps(fields)[:-1] + b',"outputs":['
    for index, (spec, array, is_binary, values) in enumerate(outputs):
        tensor: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": array.shape}
        if is_binary:
            tensor["parameters"] = {BINARY_DATA_SIZE: len(values)}
        text += b"," * (index > 0) + orjson.dumps(tensor)
        if not is_binary:
            parts.append(text[:-1] + b',"data":')
            text = b"}"
    return *parts, text + b"]}"
