"""Reads the tensors of a request, checks them against the model's inputs, and writes the tensors of the response.

Every error names the tensor, what was expected and what came.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headgate.artifacts import bfloat16
from headgate.artifacts.datatypes import BFLOAT16, BOOL, BYTES, CARRIED_TYPES, PROTOCOL_TYPES
from headgate.domain.utf8 import not_utf8
from headgate.domain.words import counted
from headgate.inference import grpc_predict_v2_pb2 as inference

Array = npt.NDArray[Any]
InputTensor = inference.ModelInferRequest.InferInputTensor

BYTES_LENGTH_PREFIX = 4
MAX_SHOWN = 60
"""The most characters of a caller's value in an error."""
FEW_ELEMENTS = 16
"""For so few, a loop in Python takes a third of the time that numpy takes to begin."""

NUMPY_TYPES: Mapping[str, npt.DTypeLike] = {
    **{protocol: np.dtype(name).type for name, protocol in PROTOCOL_TYPES.items()},
    CARRIED_TYPES[BFLOAT16]: bfloat16.DTYPE,
    BYTES: np.object_,
}

RAW_TYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(NUMPY_TYPES[name]).newbyteorder("<") for name in NUMPY_TYPES if name != BYTES
}
"""The same in raw values, which are little-endian."""

CONTENTS_FIELDS: Mapping[str, str] = {
    BOOL: "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


class InvalidInput(Exception):
    """The request does not fit the model. The message says how to correct it, `field` names its part of the request."""

    def __init__(self, message: str, field: str = "inputs") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, data type and shape of one input or output of a model.

    The data type is the protocol's. A dimension is its size, or its name when the size is variable.
    """

    name: str
    datatype: str
    shape: tuple[int | str, ...]

    @property
    def wire_shape(self) -> list[int]:
        """The shape as the protocol writes it: -1 for a variable dimension."""
        return [size if isinstance(size, int) else -1 for size in self.shape]


class DeclaredInput(NamedTuple):
    """An input tensor of a request. Its name, data type and shape fit the model; its values are not read yet."""

    tensor: InputTensor
    name: str
    datatype: str
    shape: Sequence[int]
    elements: int
    has_contents: bool
    """Whether there are typed contents. MLServer's client sends empty ones too."""


class DeclaredInputs(NamedTuple):
    """The input tensors of a request."""

    tensors: Sequence[DeclaredInput]
    elements: int
    """The number of elements in all tensors together."""


def declared_inputs(request: inference.ModelInferRequest, specs: Mapping[str, TensorSpec]) -> DeclaredInputs:
    """The request's inputs, checked but not read. Raises InvalidInput."""
    tensors = list(request.inputs)
    names = [tensor.name for tensor in tensors]
    _check_names(names, specs)
    sizes: dict[str, int] = {}
    declared = [_declared(tensor, specs[name], sizes) for tensor, name in zip(tensors, names, strict=True)]
    return DeclaredInputs(declared, sum(each.elements for each in declared))


def read_inputs(declared: Sequence[DeclaredInput], raw: Sequence[bytes]) -> dict[str, Array]:
    """The input arrays by name, from raw values or else from typed contents. Raises InvalidInput."""
    if not raw:
        return {each.name: _from_contents(each.tensor, each.shape) for each in declared}
    _check_all_raw(declared, len(raw))
    return {each.name: _from_raw(each, values) for each, values in zip(declared, raw, strict=True)}


def requested_outputs(request: inference.ModelInferRequest, specs: Sequence[TensorSpec]) -> Sequence[TensorSpec]:
    """The requested outputs, in the request's order. All outputs if it names none. Raises InvalidInput."""
    wanted = [output.name for output in request.outputs]
    if not wanted:
        return specs
    known = {spec.name: spec for spec in specs}
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"output {name!r}: the model has no such output; it has {_listed(known)}", "outputs")
    if len(set(wanted)) != len(wanted):
        raise InvalidInput(f"outputs: expected each name once, got {_listed(wanted)}", "outputs")
    return [known[name] for name in wanted]


def write_outputs(
    response: inference.ModelInferResponse, specs: Sequence[TensorSpec], arrays: Sequence[Array], raw: bool
) -> None:
    """Adds the outputs to the response.

    They are raw bytes when `raw` is set, or when a data type has no typed contents. Otherwise they are typed contents.
    """
    raw = raw or any(spec.datatype not in CONTENTS_FIELDS for spec in specs)
    for spec, array in zip(specs, arrays, strict=True):
        tensor = response.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        if raw:
            response.raw_output_contents.append(raw_values(array, spec.datatype))
        else:
            elements = array.ravel().tolist()
            if spec.datatype == BYTES:
                elements = [_to_bytes(element) for element in elements]
            getattr(tensor.contents, CONTENTS_FIELDS[spec.datatype]).extend(elements)


def raw_values(array: Array, datatype: str) -> bytes:
    """The values of an output as raw contents have them."""
    if datatype == BYTES:
        elements = [_to_bytes(element) for element in array.ravel().tolist()]
        return b"".join(len(element).to_bytes(BYTES_LENGTH_PREFIX, "little") + element for element in elements)
    return array.astype(RAW_TYPES[datatype], copy=False).tobytes()


def all_finite(arrays: Sequence[Array]) -> bool:
    """Whether the arrays contain neither NaN nor infinity."""
    return all(map(_is_finite, arrays))


def _is_finite(array: Array) -> bool:
    match array.dtype.kind:
        case "f":
            if array.size <= FEW_ELEMENTS:
                return all(map(math.isfinite, array.ravel().tolist()))
            return bool(np.isfinite(array).all())
        case "V":  # of all types that a model answers, only bfloat16 has fields
            return bfloat16.is_finite(array)
        case _:
            return True


def beyond_type(name: str, datatype: str, shape: Sequence[int], elements: Sequence[Any]) -> InvalidInput:
    """The refusal of numbers of which one lies outside the range of the datatype."""
    dtype = np.dtype(NUMPY_TYPES[datatype])
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    lowest: Any = dtype.type(limits.min).item()
    highest: Any = dtype.type(limits.max).item()
    index = next(index for index, element in enumerate(elements) if not lowest <= element <= highest)
    got = shortened(str(elements[index]))
    rule = f"expected numbers from {lowest} to {highest} ({datatype}), got {got} as {place_in(shape, index)}"
    return InvalidInput(f"input {name!r}: {rule}")


def place_in(shape: Sequence[int], index: int) -> str:
    """An element by its index in row-major order, from 0, and by its indexes in a shape of several dimensions."""
    if len(shape) < 2:
        return f"element {index}"
    found = [int(each) for each in np.unravel_index(index, tuple(shape))]
    return f"element {index} at {found}"


def shortened(text: str) -> str:
    """A caller's value in an error, cut to MAX_SHOWN characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _check_all_raw(tensors: Sequence[DeclaredInput], entries: int) -> None:
    """Raises InvalidInput unless each tensor has its elements in one of so many raw entries, and nowhere else."""
    for tensor in tensors:
        if tensor.has_contents:
            rule = "expected either contents or raw_input_contents, got both; send all inputs raw, or none"
            raise InvalidInput(f"input {tensor.name!r}: {rule}")
    if entries != len(tensors):
        rule = f"expected as many entries as inputs ({len(tensors)}), got {entries}"
        raise InvalidInput(f"raw_input_contents: {rule}", "raw_input_contents")


def _check_names(names: Sequence[str], specs: Mapping[str, TensorSpec]) -> None:
    for name in names:
        if name not in specs:
            raise InvalidInput(f"input {name!r}: the model has no such input; it takes {_listed(specs)}")
    if len(set(names)) != len(names):
        raise InvalidInput(f"inputs: expected each name once, got {_listed(names)}")
    for name in specs:
        if name not in names:
            raise InvalidInput(f"input {name!r}: missing; the request has {_listed(names)}")


def _declared(tensor: InputTensor, spec: TensorSpec, sizes: dict[str, int]) -> DeclaredInput:
    shape = _checked_shape(tensor, spec, sizes)
    has_contents = tensor.HasField("contents") and bool(tensor.contents.ListFields())
    return DeclaredInput(tensor, spec.name, spec.datatype, shape, math.prod(shape), has_contents)


def _checked_shape(tensor: InputTensor, spec: TensorSpec, sizes: dict[str, int]) -> Sequence[int]:
    """The shape that the tensor declares. Raises InvalidInput when it or the data type does not fit.

    Refuses a dimension of size 0 too: some operators of ONNX Runtime end the whole process when they get no rows.
    """
    if tensor.datatype != spec.datatype:
        raise InvalidInput(f"input {spec.name!r}: expected datatype {spec.datatype}, got {tensor.datatype!r}")
    got = tuple(tensor.shape)
    fits = len(got) == len(spec.shape)
    for dimension, size in zip(spec.shape, got, strict=False):
        if isinstance(dimension, str):
            fits = fits and size > 0
            # Dimensions with the same name have the same size in all inputs. One without a name has any size.
            if fits and dimension and sizes.setdefault(dimension, size) != size:
                rule = f"expected {dimension} = {sizes[dimension]} as in the inputs before it, got shape {list(got)}"
                raise InvalidInput(f"input {spec.name!r}: {rule}")
        elif dimension != size or not size:
            fits = False
    if not fits:
        rule = f"expected shape {spec.wire_shape}, where -1 is any size from 1 up, got {list(got)}"
        raise InvalidInput(f"input {spec.name!r}: {rule}")
    return got


def _from_raw(declared: DeclaredInput, raw: bytes) -> Array:
    name, datatype, shape = declared.name, declared.datatype, declared.shape
    if datatype == BYTES:
        return _strings(declared.tensor, shape, _split_raw(declared.tensor, shape, raw))
    dtype = RAW_TYPES[datatype]
    expected = declared.elements * dtype.itemsize
    if len(raw) != expected:
        rule = f"expected {counted(expected, 'byte')} for shape {list(shape)} of {datatype}, got {len(raw)}"
        raise InvalidInput(f"input {name!r}: {rule}")
    if datatype == BOOL and max(raw) > 1:
        raise InvalidInput(f"input {name!r}: expected the bytes 0 and 1 of BOOL, got {max(raw)}")
    return np.frombuffer(raw, dtype).reshape(shape)


def _from_contents(tensor: InputTensor, shape: Sequence[int]) -> Array:
    field = CONTENTS_FIELDS.get(tensor.datatype)
    if field is None:
        rule = f"expected {tensor.datatype} in raw_input_contents, because the protocol has no typed contents for it"
        raise InvalidInput(f"input {tensor.name!r}: {rule}")
    if others := [set_field.name for set_field, _ in tensor.contents.ListFields() if set_field.name != field]:
        raise InvalidInput(f"input {tensor.name!r}: expected {tensor.datatype} in {field}, got {', '.join(others)}")
    elements = getattr(tensor.contents, field)
    expected = math.prod(shape)
    if len(elements) != expected:
        raise InvalidInput(
            f"input {tensor.name!r}: expected {expected} elements in {field} for shape {list(shape)},"
            f" got {len(elements)}"
        )
    if tensor.datatype == BYTES:
        return _strings(tensor, shape, elements)
    try:
        return np.array(elements, NUMPY_TYPES[tensor.datatype]).reshape(shape)
    except OverflowError as error:
        raise beyond_type(tensor.name, tensor.datatype, shape, elements) from error


def _split_raw(tensor: InputTensor, shape: Sequence[int], raw: bytes) -> list[bytes]:
    """The elements of a raw BYTES tensor. Before each stands its length, as four little-endian bytes."""
    expected = math.prod(shape)
    elements: list[bytes] = []
    start = 0
    while start < len(raw) and len(elements) < expected:
        end = start + BYTES_LENGTH_PREFIX
        end += int.from_bytes(raw[start:end], "little")
        if end > len(raw):
            raise InvalidInput(f"input {tensor.name!r}: the length before an element goes beyond the end of the bytes")
        elements.append(raw[start + BYTES_LENGTH_PREFIX : end])
        start = end
    if len(elements) < expected or start < len(raw):
        got = f"{counted(len(raw) - start, 'byte')} more" if start < len(raw) else len(elements)
        raise InvalidInput(f"input {tensor.name!r}: expected {expected} elements for shape {list(shape)}, got {got}")
    return elements


def _strings(tensor: InputTensor, shape: Sequence[int], elements: Sequence[bytes]) -> Array:
    try:
        texts = [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {tensor.name!r}: {not_utf8(error)}") from error
    return np.array(texts, np.object_).reshape(shape)


def _to_bytes(element: str | bytes) -> bytes:
    return element.encode() if isinstance(element, str) else element


def _listed(names: Sequence[str] | Mapping[str, TensorSpec]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
