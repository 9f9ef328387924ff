"""The elements of a tensor as JSON, and as the raw bytes that the protocol carries.

Every error names the tensor, what was expected and what came.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np

from headgate.artifacts import bfloat16
from headgate.artifacts.datatypes import BOOL, BYTES
from services.gateway.rest.strict_json import Written
from services.gateway.tensors import (
    BYTES_LENGTH_PREFIX,
    CONTENTS_FIELDS,
    FEW_ELEMENTS,
    NUMPY_TYPES,
    Array,
    InvalidInput,
    beyond_type,
    place_in,
    shortened,
)

BF16 = "BF16"
FLOATS = frozenset({"FP32", "FP64"})
FIRST_GAP: Mapping[str, float] = {"FP32": 2.0**24, "FP64": 2.0**53}
"""Up to here a datatype of fractions has every whole number."""
BINARY_ONLY = frozenset({"FP16", BF16})
"""Datatypes that a request can only send as binary data, as with other servers of the protocol."""
BF16_BYTES = 2
LONGEST = 2.0**63
"""From here on, an element that was read as a float may be a whole number of more than 64 bits."""

_LITTLE_ENDIAN: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(NUMPY_TYPES[name]).newbyteorder("<") for name in NUMPY_TYPES if name != BYTES
}
_STRUCT_CODES: Mapping[str, str] = {
    name: np.dtype(NUMPY_TYPES[name]).char for name in CONTENTS_FIELDS if name not in (BOOL, BYTES)
} | {"INT64": "q", "UINT64": "Q"}
"""How the module struct packs a number. It takes a third of numpy's time for a list, and refuses what does not fit."""
_JSON_TYPES: Mapping[str, frozenset[type]] = {
    **{name: frozenset({int, Decimal}) for name in CONTENTS_FIELDS},
    **{name: frozenset({int, float, Decimal}) for name in FLOATS},
    BOOL: frozenset({bool}),
    BYTES: frozenset({str}),
}
_EXPECTED: Mapping[str, str] = {
    **{name: f"whole numbers ({name})" for name in CONTENTS_FIELDS},
    **{name: f"numbers ({name}; JSON has neither NaN nor infinity)" for name in FLOATS},
    BOOL: "true or false (BOOL)",
    BYTES: "strings (BYTES)",
}


def raw_elements(
    name: str, datatype: str, shape: Sequence[int], data: object, written: Written, index: int = 0
) -> bytes:
    """The elements of an input as the protocol's raw bytes. `data` is a flat list, or nested like the shape.

    `written` is the body's JSON, in which the input has this index. Raises InvalidInput, also for a whole number that
    would become another one.
    """
    _require_json_datatype(name, datatype)
    if not isinstance(data, list):
        raise InvalidInput(f"input {name!r}: expected data to be a list of elements, got {shown(data)}")
    elements = _flat(name, shape, data)
    if datatype not in _STRUCT_CODES:
        _require_types(name, datatype, shape, elements)
        return _length_prefixed(elements) if datatype == BYTES else bytes(elements)
    if written.has_literals:  # only then can there be a true or false, which would be packed as 1 or 0
        _require_types(name, datatype, shape, elements)
    try:
        raw = struct.pack(f"<{len(elements)}{_STRUCT_CODES[datatype]}", *elements)
    except (struct.error, OverflowError):
        elements = _with_all_digits(name, shape, elements, written, index)
        _require_types(name, datatype, shape, elements)
        raise beyond_type(name, datatype, shape, elements) from None
    if datatype in FIRST_GAP and _reaches(FIRST_GAP[datatype], datatype, elements, raw):
        _refuse_changed(name, datatype, shape, _with_all_digits(name, shape, elements, written, index), raw)
    return raw


def json_elements(datatype: str, array: Array) -> Array | list[str]:
    """The elements of one output, flat, as orjson writes them: NaN and infinities become null."""
    if datatype == BYTES:
        return [each if isinstance(each, str) else each.decode(errors="replace") for each in array.ravel().tolist()]
    return bfloat16.to_float32(array.ravel()) if datatype == BF16 else array.ravel()


def shown(value: object) -> str:
    """A caller's JSON value in an error."""
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    return shortened(text)


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


def _require_types(name: str, datatype: str, shape: Sequence[int], elements: list[Any]) -> None:
    allowed = _JSON_TYPES[datatype]
    if set(map(type, elements)) <= allowed:
        return
    index, element = next((index, element) for index, element in enumerate(elements) if type(element) not in allowed)
    where = place_in(shape, index)
    raise InvalidInput(f"input {name!r}: expected {_EXPECTED[datatype]}, got {shown(element)} as {where}")


def _with_all_digits(name: str, shape: Sequence[int], elements: list[Any], written: Written, index: int) -> list[Any]:
    """The elements with whole numbers of more than 64 bits as they were written, and not as the floats made of them."""
    if not any(type(element) is float and abs(element) >= LONGEST for element in elements):
        return elements
    data = written.data_of(index)
    return elements if data is None else _flat(name, shape, data)


def _reaches(limit: float, datatype: str, elements: list[Any], raw: bytes) -> bool:
    """Whether the size of an element is the limit or more."""
    if not elements:
        return False
    if len(elements) <= FEW_ELEMENTS:
        return bool(max(elements) >= limit or min(elements) <= -limit)
    packed = np.frombuffer(raw, _LITTLE_ENDIAN[datatype])
    return bool(packed.max() >= limit or packed.min() <= -limit)


def _refuse_changed(name: str, datatype: str, shape: Sequence[int], elements: list[Any], raw: bytes) -> None:
    """Raises InvalidInput for a whole number that would become another one.

    A number that is written with a point or an exponent is a fraction, which becomes the nearest value.
    """
    packed = np.frombuffer(raw, _LITTLE_ENDIAN[datatype])
    for index, (element, value) in enumerate(zip(elements, packed.tolist(), strict=True)):
        if type(element) is not float and element != value:
            rule = f"{datatype} cannot hold {shown(element)} ({place_in(shape, index)}); the nearest value it has is"
            raise InvalidInput(f"input {name!r}: {rule} {_plain(value)}. Send that if it means the same")


def _plain(value: float) -> str:
    """The value with every digit, unless these are too many."""
    return str(int(value)) if abs(value) < LONGEST else str(value)


def _length_prefixed(elements: list[str]) -> bytes:
    parts = []
    for element in elements:
        encoded = element.encode()
        parts.append(len(encoded).to_bytes(BYTES_LENGTH_PREFIX, "little"))
        parts.append(encoded)
    return b"".join(parts)
