"""Tensors of the Open Inference Protocol: nested lists of Python values on one side, bytes on the other.

A value that the datatype cannot hold is refused with the name of the input, the place and the value.
"""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headgate.artifacts.datatypes import BOOL, BYTES
from headgate.artifacts.held_numbers import (
    BF16,
    BF16_BYTES,
    FLOATING,
    MAX_SHOWN_CHARACTERS,
    WHOLE,
    held,
    meant,
    shortened,
)
from headgate.domain.words import counted
from headgate.inference import grpc_predict_v2_pb2 as inference

MAX_RANK = 16
"""The most dimensions of a tensor that is sent."""

LENGTH = struct.Struct("<I")
"""Before each element of a BYTES tensor stands its length."""
CODES = {
    BOOL: "?",
    **{name: floating.code[-1] for name, floating in FLOATING.items() if floating.code},
    **dict(zip(WHOLE, "bhiqBHIQ", strict=True)),
}
"""The codes of `struct` for all datatypes but BF16 and BYTES."""
DATATYPES = (*CODES, BF16, BYTES)
CONTENTS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
"""The fields in which an answer without raw bytes has its values. One of them is set."""

Value = bool | int | float | str


class InvalidTensor(ValueError):
    """The values are no tensor of the datatype. The message names the tensor, the place and the value."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor. `values` has its elements, row after row."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Value, ...]

    def nested(self) -> Any:
        """The values as nested lists of this shape."""
        found: list[Any] = list(self.values)
        for size in reversed(self.shape[1:]):
            found = [found[start : start + size] for start in range(0, len(found), size)] if size else []
        return found

    def raw(self) -> bytes:
        """The values as the protocol sends them: little-endian, row after row."""
        if self.datatype == BYTES:
            elements = [str(value).encode() for value in self.values]
            return b"".join(LENGTH.pack(len(element)) + element for element in elements)
        if self.datatype == BF16:  # the upper half of the bits of an FP32
            return b"".join(struct.pack("<f", value)[BF16_BYTES:] for value in self.values)
        return struct.pack(f"<{len(self.values)}{CODES[self.datatype]}", *self.values)


def tensor_of(name: str, datatype: str, rows: Sequence[Any]) -> Tensor:
    """The tensor with these rows: nested lists, in which None is a missing value. Raises InvalidTensor."""
    if datatype not in DATATYPES:
        raise InvalidTensor(f"input {name!r}: expected one of {', '.join(DATATYPES)}, got {shown(datatype)}")
    shape = shape_of(rows)
    if len(shape) > MAX_RANK:
        raise InvalidTensor(f"input {name!r}: expected at most {MAX_RANK} dimensions, got more")
    values: list[Value] = []
    _collect(f"input {name!r}", datatype, rows, shape, (), values)
    return Tensor(name, datatype, shape, tuple(values))


def shape_of(rows: Any) -> tuple[int, ...]:
    """The sizes of the lists, by the first element of each. One dimension more than MAX_RANK shows too many."""
    shape: list[int] = []
    while isinstance(rows, list) and len(shape) <= MAX_RANK:
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return tuple(shape)


def read_output(output: inference.ModelInferResponse.InferOutputTensor, raw: bytes | None) -> Tensor:
    """An output, sent as raw bytes or as typed values. Raises InvalidTensor when its datatype is not known."""
    if raw is None:
        fields = (getattr(output.contents, f"{field}_contents") for field in CONTENTS)
        values = [_text(value) if isinstance(value, bytes) else value for field in fields for value in field]
    elif output.datatype == BYTES:
        values = [_text(element) for element in _split(output.name, raw)]
    elif output.datatype in CODES:
        code = CODES[output.datatype]
        values = list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))
    elif output.datatype == BF16:
        values = list(struct.unpack(f"<{len(raw) // BF16_BYTES}f", _widened(raw)))
    else:
        raise InvalidTensor(f"output {output.name!r}: this client cannot read the datatype {shown(output.datatype)}")
    return Tensor(output.name, output.datatype, tuple(output.shape), tuple(values))


def shown(value: object) -> str:
    """The value as an error shows it, as JSON writes it where it came from JSON."""
    if value is None or isinstance(value, bool | list | dict):
        return shortened(json.dumps(value, ensure_ascii=False, default=float))
    return shortened(repr(value) if isinstance(value, str) else str(value))


def _collect(
    name: str, datatype: str, rows: Any, shape: Sequence[int], place: tuple[int, ...], into: list[Value]
) -> None:
    """Appends the elements. Every list must have the size that the first list of its level has."""
    if not shape:
        try:
            into.append(_element(rows, datatype))
        except ValueError as error:
            raise InvalidTensor(f"{_place(name, place)}: {error}") from error
        return
    values = counted(shape[0], "value")
    if not isinstance(rows, list):
        raise InvalidTensor(f"{_place(name, place)}: expected an array of {values}, got {shown(rows)}")
    if len(rows) != shape[0]:
        raise InvalidTensor(f"{_place(name, place)}: expected {values} as in the first row, got {len(rows)}")
    for number, row in enumerate(rows, start=1):
        _collect(name, datatype, row, shape[1:], (*place, number), into)


def _place(name: str, place: tuple[int, ...]) -> str:
    words = ("row", "column") if len(place) <= 2 else ("row", *["position"] * (len(place) - 1))
    return ", ".join((name, *(f"{word} {number}" for word, number in zip(words, place, strict=False))))


def _element(value: Any, datatype: str) -> Value:
    """The value as a tensor of the datatype holds it. Raises ValueError."""
    if isinstance(value, list | dict):
        raise ValueError(f"expected one value, got {shown(value)}")
    if datatype == BYTES:
        return _as_text(value)
    if value is None and datatype not in FLOATING:
        raise ValueError(f"{datatype} has no missing value")
    if datatype == BOOL:
        return _as_bool(value)
    return math.nan if value is None else _as_number(value, datatype)


def _as_number(value: Any, datatype: str) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{shown(value)} is not a number")
    if not (value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or math.isfinite(value)):
        raise ValueError(f"{shown(value)} is not a finite number; a missing value is empty in --row and null in --json")
    return meant(value, datatype) if isinstance(value, Decimal) else held(value, datatype)


def _as_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{ascii(value)[:MAX_SHOWN_CHARACTERS]} holds half of a surrogate pair")
    return value


def _split(name: str, raw: bytes) -> list[bytes]:
    elements, start = [], 0
    while start < len(raw):
        begin = start + LENGTH.size
        if begin > len(raw):
            raise InvalidTensor(f"output {name!r}: its bytes end within the length of an element")
        start = begin + LENGTH.unpack_from(raw, start)[0]
        elements.append(raw[begin:start])
    return elements


def _widened(raw: bytes) -> bytes:
    """The numbers of BF16 as FP32, which begins with two bytes more."""
    empty = bytes(BF16_BYTES)
    return b"".join(empty + raw[start : start + BF16_BYTES] for start in range(0, len(raw), BF16_BYTES))


def _text(element: bytes) -> str:
    """The element as text. Bytes that are no UTF-8 are written as escapes, such as \\xff."""
    return element.decode(errors="backslashreplace")
