"""Hypothesis strategies for any protobuf message: valid on the wire, with arbitrary values."""

import math
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

MAX_DEPTH = 3
NAMES = ("fraud", "production", "models/fraud", "environments/production", "", "..", "a" * 300, "\x00", "é")

texts = st.one_of(st.sampled_from(NAMES), st.text(max_size=20))
bytes_ = st.binary(max_size=40)
floats = st.one_of(st.sampled_from([0.0, -1.0, 0.05, math.nan, math.inf, -math.inf, 5e-324]), st.floats())


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([low, high, 0, 1, 2]), st.integers(low, high))


_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: texts,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: floats,
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
}


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = MAX_DEPTH) -> Any:
    """A message whose fields have any value that the wire type allows, also unknown enum numbers."""
    message = kind()
    _fill(draw, message, kind.DESCRIPTOR, depth)
    return message


def _fill(draw: st.DrawFn, message: Message, descriptor: Descriptor, depth: int) -> None:
    fields = [field for field in descriptor.fields if field.containing_oneof is None]
    chosen = [field for field in fields if draw(st.booleans())]
    for oneof in descriptor.oneofs:
        chosen.append(draw(st.sampled_from(list(oneof.fields))))
    for field in chosen:
        _set(draw, message, field, depth)


def _set(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.message_type is not None:
        if depth > 0:
            for part in _parts(draw, message, field):
                _fill(draw, part, field.message_type, depth - 1)
        return
    scalar = _scalar(field)
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(scalar, max_size=3)))
    else:
        setattr(message, field.name, draw(scalar))


def _parts(draw: st.DrawFn, message: Message, field: FieldDescriptor) -> list[Message]:
    parts = getattr(message, field.name)
    if field.is_repeated:
        return [parts.add() for _ in range(draw(st.integers(0, 2)))]
    parts.SetInParent()
    return [parts]


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.one_of(st.sampled_from([value.number for value in field.enum_type.values]), st.just(99))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes_
    return _SCALARS[field.cpp_type]
