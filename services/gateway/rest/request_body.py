"""Reads the body of an inference request: JSON alone, or JSON and then the binary data of its tensors.

The binary tensor data extension: a header says how many bytes of the body are JSON, and the parameter
`binary_data_size` of a tensor says how many of the following bytes are its own.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from headgate.domain.words import counted
from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.request import Request, Signature
from services.gateway.rest.json_tensors import raw_elements, shown
from services.gateway.rest.strict_json import Written, read_object
from services.gateway.tensors import InvalidInput

BINARY_DATA_SIZE = "binary_data_size"
BINARY_DATA = "binary_data"
BINARY_DATA_OUTPUT = "binary_data_output"
SHARED_MEMORY = "shared_memory_region"

MAX_INT64, MIN_INT64 = 2**63 - 1, -(2**63)
MAX_KNOWN = 256
"""When so many signatures or texts are known, all are forgotten: then they are hardly ever repeated."""
MAX_KNOWN_BYTES = 4 * 1024
"""A longer text is read each time."""
MAX_LEARNED_BYTES = 64 * 1024
"""What stands around the data of a longer JSON is not looked for."""
DATA_KEY, NO_DATA, NO_BYTES = b'"data"', b"[null]", memoryview(b"")
NUMBERS = re.compile(rb"\[[\[\]\s,0-9eE+.-]*\]")
"""A list of numbers, or of such lists, from its first bracket on."""
MAX_TENSORS = 1_000
"""The most inputs of a request, and the most outputs."""


class OutputForms(NamedTuple):
    """Which outputs the caller wants as binary data: those of `by_name`, and for every other output the default."""

    default: bool
    by_name: Mapping[str, bool]

    def is_binary(self, output: str) -> bool:
        """Whether this output is sent as binary data."""
        return self.by_name.get(output, self.default)


class _Input(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any]
    raw: bytes
    is_binary: bool


class _KnownText(NamedTuple):
    """What the JSON before binary data says, when it says all but the values."""

    signature: Signature
    forms: OutputForms
    ends: Sequence[int]
    """Where the binary data of each input ends."""


class _KnownFrame(NamedTuple):
    """What the JSON around the data of its only input says."""

    signature: Signature
    forms: OutputForms
    name: str
    datatype: str
    shape: Sequence[int]
    after: bytes


class RequestBodies:
    """Reads bodies. What was read once and comes again is known: a signature, and the JSON around the values."""

    def __init__(self) -> None:
        self._signatures: dict[Hashable, Signature] = {}
        self._texts: dict[tuple[str, str, bytes], _KnownText] = {}
        self._frames: dict[tuple[str, str, bytes], _KnownFrame] = {}
        """By what stands before the data."""

    def read(self, model: str, version: str, body: bytes, json_length: int | None) -> tuple[Request, OutputForms]:
        """The request with raw values, and the forms of its outputs. Raises InvalidInput.

        `json_length` is how many bytes of the body are JSON; None for all.
        """
        if json_length is not None and json_length > len(body):
            rule = f"expected at most {len(body)}, the size of the body, got {json_length}"
            raise InvalidInput(f"Inference-Header-Content-Length: {rule}", "Inference-Header-Content-Length")
        text = body if json_length is None else body[:json_length]
        if len(text) == len(body):
            return self._read_framed(model, version, text) or self._read(model, version, text, NO_BYTES)
        binary = memoryview(body)[len(text) :]
        known = self._texts.get((model, version, text))
        if known is None or known.ends[-1] != len(binary):
            return self._read(model, version, text, binary)
        ends = known.ends
        values = [bytes(binary[start:end]) for start, end in zip((0, *ends), ends, strict=False)]
        return Request(known.signature, values), known.forms

    def _read_framed(self, model: str, version: str, text: bytes) -> tuple[Request, OutputForms] | None:
        """The request when all but the data is known; None otherwise. Raises InvalidInput."""
        start = text.find(b"[", text.find(DATA_KEY, 0, MAX_KNOWN_BYTES))
        known = self._frames.get((model, version, text[: max(start, 0)]))
        if known is None or not text.endswith(known.after):
            return None
        try:
            data = orjson.loads(text[start : len(text) - len(known.after)])
        except orjson.JSONDecodeError:
            return None
        raw = raw_elements(known.name, known.datatype, known.shape, data, Written(text))
        return Request(known.signature, (raw,)), known.forms

    def _read(self, model: str, version: str, text: bytes, binary: memoryview) -> tuple[Request, OutputForms]:
        fields = read_object(text)
        request_id, parameters = _text(fields, "id", "id"), _object(fields, "parameters", "parameters")
        default = _flag(parameters.pop(BINARY_DATA_OUTPUT, None), f"parameters.{BINARY_DATA_OUTPUT}")
        inputs = _read_inputs(_tensors(fields, "inputs"), binary, Written(text))
        values = [each.raw for each in inputs]
        is_repeated = not parameters  # these differ from request to request
        are_binary = all(each.is_binary for each in inputs)
        if is_repeated and fields.get("outputs") in (None, []) and not any(each.parameters for each in inputs):
            forms, signature = OutputForms(bool(default), {}), self._signature(model, version, inputs)
        else:
            message = _message(model, version, inputs, parameters)
            forms = OutputForms(bool(default), _read_outputs(message, fields))
            signature = Signature(message, is_shared=is_repeated and are_binary)
        if signature.is_shared and not request_id:
            self._learn(model, version, text, signature, forms, inputs)
        return Request(signature, values, request_id), forms

    def _learn(
        self, model: str, version: str, text: bytes, signature: Signature, forms: OutputForms, inputs: Sequence[_Input]
    ) -> None:
        """Remembers what was read, for the next body that differs in its values alone."""
        if all(each.is_binary for each in inputs):
            if len(text) <= MAX_KNOWN_BYTES:
                known = _KnownText(signature, forms, [*accumulate(len(each.raw) for each in inputs)])
                _remember(self._texts, (model, version, text), known)
        elif len(inputs) == 1 and len(text) <= MAX_LEARNED_BYTES and (around := _around_data(text)):
            (only,), (before, after) = inputs, around
            frame = _KnownFrame(signature, forms, only.name, only.datatype, only.shape, after)
            _remember(self._frames, (model, version, before), frame)

    def _signature(self, model: str, version: str, inputs: Sequence[_Input]) -> Signature:
        """The signature of a request that has nothing but these inputs."""
        key = model, version, *[(each.name, each.datatype, *each.shape) for each in inputs]
        signature = self._signatures.get(key)
        if signature is None:
            signature = Signature(_message(model, version, inputs), is_shared=True)
            _remember(self._signatures, key, signature)
        return signature


def _around_data(text: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and after the numbers of the first input; None unless there is no doubt where these are."""
    start = text.find(b"[", text.find(DATA_KEY, 0, MAX_KNOWN_BYTES))
    numbers = NUMBERS.match(text, max(start, 0))
    if numbers is None or len(text) - len(numbers[0]) > MAX_KNOWN_BYTES:
        return None
    before, after = text[:start], text[numbers.end() :]
    try:
        data = orjson.loads(before + NO_DATA + after)["inputs"][0].get("data")
    except orjson.JSONDecodeError:
        return None
    return (before, after) if data == [None] else None  # data that was read has no null, so it stood in this place


def _remember(known: dict[Any, Any], key: Hashable, value: object) -> None:
    if len(known) >= MAX_KNOWN:
        known.clear()
    known[key] = value


def _message(
    model: str,
    version: str,
    inputs: Sequence[_Input],
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> inference.ModelInferRequest:
    """The request without its values, its id and its outputs. Raises InvalidInput for a parameter of another form."""
    message = inference.ModelInferRequest(model_name=model, model_version=version)
    _set_parameters(message.parameters, parameters, "parameters")
    for each in inputs:
        added = message.inputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
        _set_parameters(added.parameters, each.parameters, f"input {each.name!r}: parameters")
    return message


def _read_inputs(tensors: list[dict[str, Any]], binary: memoryview, written: Written) -> list[_Input]:
    if not tensors:
        raise InvalidInput("inputs: expected a list of tensors, each with name, datatype, shape and data")
    start, inputs = 0, []
    for index, tensor in enumerate(tensors):
        name, datatype = _text(tensor, "name", "inputs[].name"), _text(tensor, "datatype", "inputs[].datatype")
        shape = _shape(name, tensor.get("shape"))
        parameters = _object(tensor, "parameters", f"input {name!r}: parameters")
        size = parameters.pop(BINARY_DATA_SIZE, None)
        if SHARED_MEMORY in parameters:
            raise InvalidInput(f"input {name!r}: shared memory is not supported; send the data in the body")
        if size is None:
            raw = raw_elements(name, datatype, shape, tensor.get("data"), written, index)
        else:
            raw = _binary(name, tensor, size, binary[start:])
            start += len(raw)
        inputs.append(_Input(name, datatype, shape, parameters, raw, size is not None))
    if start < len(binary):
        rule = f"after the JSON stand {counted(len(binary) - start, 'byte')} of no input"
        raise InvalidInput(f"inputs: {rule}; each binary input needs the parameter {BINARY_DATA_SIZE}")
    return inputs


def _read_outputs(message: inference.ModelInferRequest, fields: dict[str, Any]) -> dict[str, bool]:
    forms: dict[str, bool] = {}
    for tensor in _tensors(fields, "outputs"):
        name = _text(tensor, "name", "outputs[].name")
        parameters = _object(tensor, "parameters", f"output {name!r}: parameters")
        binary = _flag(parameters.pop(BINARY_DATA, None), f"output {name!r}: {BINARY_DATA}")
        if binary is not None:
            forms[name] = binary
        if SHARED_MEMORY in parameters:
            raise InvalidInput(f"output {name!r}: shared memory is not supported", "outputs")
        added = message.outputs.add(name=name)
        _set_parameters(added.parameters, parameters, f"output {name!r}: parameters")
    return forms


def _binary(name: str, tensor: dict[str, Any], size: object, rest: memoryview) -> bytes:
    if tensor.get("data") is not None:
        raise InvalidInput(f"input {name!r}: expected either data or {BINARY_DATA_SIZE}, got both")
    if type(size) is not int or size < 0:
        raise InvalidInput(f"input {name!r}: expected {BINARY_DATA_SIZE} to be a number of bytes, got {shown(size)}")
    if size > len(rest):
        rule = f"expected {counted(size, 'byte')} of binary data after the JSON, got {len(rest)}"
        raise InvalidInput(f"input {name!r}: {rule}; is the header Inference-Header-Content-Length right?")
    return bytes(rest[:size])


def _tensors(fields: dict[str, Any], field: str) -> list[dict[str, Any]]:
    tensors = fields.get(field)
    if tensors is None:
        return []
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise InvalidInput(f"{field}: expected a list of objects, got {shown(tensors)}", field)
    if len(tensors) > MAX_TENSORS:
        raise InvalidInput(f"{field}: expected at most {MAX_TENSORS} tensors, got {len(tensors)}", field)
    return tensors


def _text(fields: dict[str, Any], field: str, where: str) -> str:
    text = fields.get(field)
    if isinstance(text, str):
        return text
    if text is None and field == "id":
        return ""
    raise InvalidInput(f"{where}: expected a string, got {shown(text)}", where.partition("[")[0])


def _shape(name: str, shape: object) -> list[int]:
    if not isinstance(shape, list):
        raise InvalidInput(f"input {name!r}: expected shape to be a list of sizes, got {shown(shape)}")
    for size in shape:
        if type(size) is not int or not 0 <= size <= MAX_INT64:
            raise InvalidInput(f"input {name!r}: expected sizes from 0 to {MAX_INT64} in shape, got {shown(size)}")
    return shape


def _flag(value: object, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"{where}: expected true or false, got {shown(value)}", "parameters")


def _object(fields: dict[str, Any], field: str, where: str) -> dict[str, Any]:
    value = fields.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: expected an object, got {shown(value)}", "parameters")
    return value


def _set_parameters(target: Any, parameters: Mapping[str, Any], where: str) -> None:
    """Sets each parameter in the field of its type. One that is null is left out. Raises InvalidInput."""
    for name, value in parameters.items():
        match value:
            case None:
                pass
            case bool():
                target[name].bool_param = value
            case int() if MIN_INT64 <= value <= MAX_INT64:
                target[name].int64_param = value
            case int():
                target[name].uint64_param = value
            case float():
                _refuse_beyond_64_bits(value, f"{where}: {name!r}")
                target[name].double_param = value
            case str():
                target[name].string_param = value
            case _:
                rule = f"expected a string, a number, true or false, got {shown(value)}"
                raise InvalidInput(f"{where}: {name!r}: {rule}", "parameters")


def _refuse_beyond_64_bits(value: float, where: str) -> None:
    """Raises InvalidInput for a number that may have been a whole one of more than 64 bits before it was a float."""
    if abs(value) > MAX_INT64:
        rule = "expected a whole number of 64 bits or a smaller number"
        raise InvalidInput(f"{where}: {rule}, got about {value:.6g}", "parameters")
