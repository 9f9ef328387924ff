"""The elements of a tensor as JSON, and as the raw bytes that the protocol carries.

Every error names the tensor, what was expected and what came.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from headgate.artifacts import bfloat16
from headgate.artifacts.datatypes import BOOL, BYTES
from services.gateway.tensors import BYTES_LENGTH_PREFIX, CONTENTS_FIELDS, NUMPY_TYPES, Array, InvalidInput

BF16 = "BF16"
FLOATS = frozenset({"FP32", "FP64"})
BINARY_ONLY = frozenset({"FP16", BF16})
"""Datatypes that a request can only send as binary data, as with other servers of the protocol."""
BF16_BYTES = 2
MAX_SHOWN = 60
"""The most characters of a caller's value in an error."""

_LITTLE_ENDIAN: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(NUMPY_TYPES[name]).newbyteorder("<") for name in NUMPY_TYPES if name != BYTES
}
_STRUCT_CODES: Mapping[str, str] = {
    name: np.dtype(NUMPY_TYPES[name]).char for name in CONTENTS_FIELDS if name not in (BOOL, BYTES)
} | {"INT64": "q", "UINT64": "Q"}
"""How the module struct packs a number. It takes a third of numpy's time for a list, and refuses what does not fit."""
_JSON_TYPES: Mapping[str, frozenset[type]] = {
    **{name: frozenset({int}) for name in CONTENTS_FIELDS},
    **{name: frozenset({int, float}) for name in FLOATS},
    BOOL: frozenset({bool}),
    BYTES: frozenset({str}),
}
_EXPECTED: Mapping[str, str] = {
    **{name: f"whole numbers ({name})" for name in CONTENTS_FIELDS},
    **{name: f"numbers ({name}; JSON has neither NaN nor infinity)" for name in FLOATS},
    BOOL: "true or false (BOOL)",
    BYTES: "strings (BYTES)",
}


def raw_elements(name: str, datatype: str, shape: Sequence[int], data: object, has_literals: bool = True) -> bytes:
    """The elements of one input as the protocol's raw bytes. `data` is a flat list, or nested like the shape.

    Without `has_literals`, the JSON is known to have neither true nor false. Raises InvalidInput.
    """
    _require_json_datatype(name, datatype)
    if not isinstance(data, list):
        raise InvalidInput(f"input {name!r}: expected data to be a list of elements, got {shown(data)}")
    elements = _flat(name, shape, data)
    if datatype in _STRUCT_CODES:
        return _packed(name, datatype, elements, has_literals)
    _require_types(name, datatype, elements)
    return _length_prefixed(elements) if datatype == BYTES else bytes(elements)


def json_elements(datatype: str, array: Array) -> Array | list[str]:
    """The elements of one output, flat, as orjson writes them: NaN and infinities become null."""
    if datatype == BYTES:
        return [each if isinstance(each, str) else each.decode(errors="replace") for each in array.ravel().tolist()]
    return bfloat16.to_float32(array.ravel()) if datatype == BF16 else array.ravel()


def shown(value: object) -> str:
    """A caller's JSON value in an error, cut to MAX_SHOWN characters."""
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)}"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _require_json_datatype(name: str, datatype: str) -> None:
    if datatype in BINARY_ONLY:
        rule = f"{datatype} has no form in JSON; send it as binary data, with the parameter binary_data_size"
        raise InvalidInput(f"input {name!r}: {rule}")
    if datatype not in CONTENTS_FIELDS:
        raise InvalidInput(f"input {name!r}: expected datatype to be one of {', '.join(NUMPY_TYPES)}, got {datatype!r}")


def _flat(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """The elements in row-major order. Raises InvalidInput when the lists do not fit the shape."""
    elements = data
    if data and isinstance(data[0], list):
        elements = _flattened(name, shape, data)
    expected = math.prod(shape)
    if len(elements) != expected:
        rule = f"expected {expected} elements for shape {list(shape)}, got {len(elements)}"
        raise InvalidInput(f"input {name!r}: {rule}")
    return elements


def _flattened(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """The elements of lists that are nested like the shape. Raises InvalidInput."""
    elements = data
    for depth, size in enumerate(shape[1:], start=1):
        odd = next((part for part in elements if type(part) is not list or len(part) != size), None)
        if odd is not None:
            rule = f"expected lists of {size} in depth {depth} for shape {list(shape)}, got {shown(odd)}"
            raise InvalidInput(f"input {name!r}: {rule}")
        elements = list(chain.from_iterable(elements))
    return elements


def _require_types(name: str, datatype: str, elements: list[Any]) -> None:
    allowed = _JSON_TYPES[datatype]
    if set(map(type, elements)) <= allowed:
        return
    index, element = next((index, element) for index, element in enumerate(elements) if type(element) not in allowed)
    raise InvalidInput(f"input {name!r}: expected {_EXPECTED[datatype]}, got {shown(element)} as element {index}")


def _packed(name: str, datatype: str, elements: list[Any], has_literals: bool) -> bytes:
    """The numbers as raw bytes. A JSON number is finite, so one that becomes an infinity is refused too."""
    if has_literals:  # only then can there be a true or false, which would be packed as 1 or 0
        _require_types(name, datatype, elements)
    try:
        return struct.pack(f"<{len(elements)}{_STRUCT_CODES[datatype]}", *elements)
    except (struct.error, OverflowError):
        _require_types(name, datatype, elements)
        raise _beyond_type(name, datatype, elements) from None


def _beyond_type(name: str, datatype: str, elements: list[Any]) -> InvalidInput:
    dtype = np.dtype(NUMPY_TYPES[datatype])
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    lowest: Any = dtype.type(limits.min).item()
    highest: Any = dtype.type(limits.max).item()
    index, element = next(
        (index, element) for index, element in enumerate(elements) if not lowest <= element <= highest
    )
    rule = f"expected numbers from {lowest} to {highest} ({datatype}), got {shown(element)} as element {index}"
    return InvalidInput(f"input {name!r}: {rule}")


def _length_prefixed(elements: list[str]) -> bytes:
    parts = []
    for element in elements:
        encoded = element.encode()
        parts.append(len(encoded).to_bytes(BYTES_LENGTH_PREFIX, "little"))
        parts.append(encoded)
    return b"".join(parts)
