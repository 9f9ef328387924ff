"""What a caller of `headgate predict` gives, as tensors: rows on the command line, or a JSON document.

A document is an array of rows for a model with one input, an object with an array for each input, or a request in the
JSON form of the Open Inference Protocol.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from headgate.artifacts.datatypes import BOOL, BYTES
from headgate.artifacts.held_numbers import MAX_INT_DIGITS
from headgate.client.tensors import InvalidTensor, Tensor, shape_of, shown, tensor_of
from headgate.domain.utf8 import text_of_json
from headgate.domain.words import counted, json_kind
from headgate.inference import grpc_predict_v2_pb2 as inference

PROTOCOL_KEYS = ("id", "inputs", "outputs", "parameters")
INPUT_KEYS = ("name", "shape", "datatype", "data", "parameters")
WORDS = {"true": True, "false": False}


class NotARequest(ValueError):
    """The rows or the document are no request for this model. The message says what was expected, and where."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An input of the model. A size of -1 may be any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """The inputs, the names of the wanted outputs, and the id of the request. No names mean all outputs."""

    tensors: list[Tensor]
    outputs: tuple[str, ...] = ()
    id: str = ""


def specs_of(metadata: inference.ModelMetadataResponse) -> dict[str, Spec]:
    return {each.name: Spec(each.name, each.datatype, tuple(each.shape)) for each in metadata.inputs}


def from_rows(texts: Sequence[str], specs: Mapping[str, Spec]) -> Request:
    """Rows such as `1.5,2,,4` for a model with one input of one or two dimensions. Raises NotARequest."""
    spec = _only(specs)
    if len(spec.shape) > 2:
        raise NotARequest(f"input {spec.name!r} has the shape {list(spec.shape)}: give its values with --json")
    rows = [[value_of(cell, spec.datatype) for cell in text.split(",")] for text in texts]
    if len(spec.shape) == 1:
        if wrong := next((text for text in texts if "," in text), None):
            raise NotARequest(f"input {spec.name!r} has one value in each row: --row {shown(wrong)} has more")
        return Request([_tensor(spec, [row[0] for row in rows])])
    return Request([_tensor(spec, rows)])


def from_json(document: Any, specs: Mapping[str, Spec]) -> Request:
    """The request of a document that `parse` returned. Raises NotARequest."""
    if isinstance(document, list):
        return Request([_tensor(_only(specs), document)])
    if isinstance(document.get("inputs"), list) and all(isinstance(each, dict) for each in document["inputs"]):
        return _protocol(document, specs)
    return Request([_tensor(_spec(name, specs), _array(rows, name)) for name, rows in document.items()])


def parse(text: bytes) -> Any:
    """The JSON document, an array or an object. Raises NotARequest.

    A number that a float may not hold is a Decimal, so that an error can show it as it was.
    """

    def whole(digits: str) -> int | Decimal:
        return int(digits) if len(digits) <= MAX_INT_DIGITS else Decimal(digits)

    try:
        found = json.loads(
            text_of_json(text), parse_int=whole, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise NotARequest("expected JSON with less nesting") from error
    except ValueError as error:
        raise NotARequest(f"expected JSON: {error}") from error
    if not isinstance(found, list | dict):
        raise NotARequest(
            f"expected an array of rows, or an object with an array for each input, got {json_kind(found)}"
        )
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key is given twice in {shown([key for key, _ in pairs])}")
    return found


def _protocol(document: Mapping[str, Any], specs: Mapping[str, Spec]) -> Request:
    _known(document, PROTOCOL_KEYS, "the request")
    id_ = document.get("id", "")
    outputs = document.get("outputs", [])
    if not isinstance(id_, str):
        raise NotARequest(f"id: expected text, {_got(id_)}")
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise NotARequest("outputs: expected an array of objects with a name")
    names = tuple(_name(each, f"outputs[{number}]") for number, each in enumerate(outputs))
    tensors = [_protocol_tensor(each, f"inputs[{number}]", specs) for number, each in enumerate(document["inputs"])]
    return Request(tensors, names, id_)


def _protocol_tensor(each: Mapping[str, Any], place: str, specs: Mapping[str, Spec]) -> Tensor:
    _known(each, INPUT_KEYS, place)
    spec = _spec(_name(each, place), specs)
    datatype, shape = each.get("datatype", spec.datatype), each.get("shape")
    data = _array(each.get("data"), f"{place}.data")
    if not isinstance(datatype, str):
        raise NotARequest(f"{place}.datatype: expected text, {_got(datatype)}")
    if shape is None:
        return _tensor(Spec(spec.name, datatype, spec.shape), data)
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise NotARequest(f"{place}.shape: expected an array of whole numbers above 0, got {shown(shape)}")
    tensor = _checked(spec.name, datatype, data)
    if len(tensor.values) != math.prod(shape):
        expected = f"expected {counted(math.prod(shape), 'value')} for the shape {shape}"
        raise NotARequest(f"{place}.data: {expected}, got {len(tensor.values)}")
    return Tensor(tensor.name, datatype, tuple(shape), tensor.values)


def _tensor(spec: Spec, rows: list[Any]) -> Tensor:
    """The tensor of an input. One row alone may stand without the array around it."""
    if not rows:
        raise NotARequest(f"input {spec.name!r}: expected at least one row, got none")
    if len(shape_of(rows)) == len(spec.shape) - 1:
        rows = [rows]
    return tensor_of_rows(spec, rows)


def tensor_of_rows(spec: Spec, rows: list[Any]) -> Tensor:
    """The tensor of an input, with a value or an array of values for each row. Raises NotARequest."""
    if len(shape_of(rows)) != len(spec.shape):
        _refuse_shape(spec, shape_of(rows))
    tensor = _checked(spec.name, spec.datatype, rows)
    if any(-1 != size != given for size, given in zip(spec.shape, tensor.shape, strict=True)):
        _refuse_shape(spec, tensor.shape)
    return tensor


def _refuse_shape(spec: Spec, shape: Sequence[int]) -> NoReturn:
    raise NotARequest(
        f"input {spec.name!r}: expected the shape {list(spec.shape)}, where -1 is any size, got {list(shape)}"
    )


def _checked(name: str, datatype: str, rows: list[Any]) -> Tensor:
    try:
        return tensor_of(name, datatype, rows)
    except InvalidTensor as error:
        raise NotARequest(str(error)) from error


def _only(specs: Mapping[str, Spec]) -> Spec:
    if len(specs) != 1:
        names = ", ".join(specs)
        raise NotARequest(f"the model has the inputs {names}: give --json with an object that has an array for each")
    return next(iter(specs.values()))


def _spec(name: str, specs: Mapping[str, Spec]) -> Spec:
    if name not in specs:
        raise NotARequest(f"the model has no input {shown(name)}; it takes {', '.join(map(repr, specs))}")
    return specs[name]


def _array(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotARequest(f"{place}: expected an array, {_got(value)}")
    return value


def _name(table: Mapping[str, Any], place: str) -> str:
    name = table.get("name")
    if not isinstance(name, str):
        raise NotARequest(f"{place}.name: expected text, {_got(name)}")
    return name


def _known(table: Mapping[str, Any], keys: Sequence[str], place: str) -> None:
    if unknown := [key for key in table if key not in keys]:
        raise NotARequest(f"{place} has the key {shown(unknown[0])}; expected {', '.join(keys)}")
    if table.get("parameters"):
        raise NotARequest(f"{place} has parameters, which this command does not send")


def value_of(text: str, datatype: str) -> Any:
    """A cell of a row as a value. What is no number stays text, and is refused with its place."""
    if datatype == BYTES:
        return text
    stripped = text.strip()
    if not stripped:
        return None
    if datatype == BOOL:
        return WORDS.get(stripped.lower(), stripped)
    try:
        return Decimal(stripped)
    except InvalidOperation:
        return stripped


def _got(value: Any) -> str:
    """The end of "expected text, ...": what stands there instead, if anything does."""
    return "but it is missing" if value is None else f"got {json_kind(value)}"
