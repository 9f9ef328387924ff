"""Writes and reads the test rows of an artifact: tensors by name in a safetensors file, which has none of text.

A tensor of text is stored as two others: the bytes of all texts in UTF-8, and where each text ends.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from headgate.domain.words import counted

Array = npt.NDArray[Any]

TEXT, ENDS = "text:", "ends:"
"""How the names of the two tensors begin."""


LENGTH_BYTES, METADATA = 8, "__metadata__"
"""A safetensors file begins with the length of its header; the header may hold texts under this name."""
DATATYPES = {
    name: np.dtype(datatype)
    for name, datatype in {
        "BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I8": "i1", "I16": "<i2", "I32": "<i4",
        "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
    }.items()
}  # fmt: skip
"""The datatypes of a safetensors file that Headgate writes into one."""


class WrongRows(Exception):
    """The bytes are no test rows that can be read."""


def rows_as_bytes(tensors: Mapping[str, Array]) -> bytes:
    """The same tensors give the same bytes."""
    stored: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if tensor.dtype == np.object_:
            texts = [text.encode() for text in tensor.ravel()]
            stored[TEXT + name] = np.frombuffer(b"".join(texts), np.uint8)
            stored[ENDS + name] = np.cumsum([len(text) for text in texts], dtype=np.int64).reshape(tensor.shape)
        else:
            stored[name] = np.ascontiguousarray(tensor)
    data: bytes = save(stored)
    return data


def rows_from_bytes(data: bytes | memoryview) -> dict[str, Array]:
    """The tensors, which share the memory of `data`; only text is copied. Raises WrongRows."""
    try:
        stored = dict(_tensors(memoryview(data)))
        texts = {name.removeprefix(TEXT): stored.pop(name) for name in list(stored) if name.startswith(TEXT)}
        return {name: stored.pop(name) for name in list(stored) if not name.startswith(ENDS)} | {
            name: _texts(content.tobytes(), stored[ENDS + name]) for name, content in texts.items()
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WrongRows(f"there are no tensors that can be read: {error!r}") from error


def _tensors(data: memoryview) -> Iterator[tuple[str, Array]]:
    """As safetensors reads them, which copies each one."""
    start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(bytes(data[LENGTH_BYTES:start]))
    header.pop(METADATA, None)
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        content, datatype, shape = data[start + first : start + last], DATATYPES[entry["dtype"]], entry["shape"]
        if len(content) != math.prod(shape) * datatype.itemsize:
            raise ValueError(f"{name} has {counted(len(content), 'byte')} for the shape {shape}")
        yield name, np.ndarray(shape, datatype, content)


def _texts(content: bytes, ends: Array) -> Array:
    flat = ends.ravel().tolist()
    texts = [content[start:end].decode() for start, end in zip([0, *flat], flat, strict=False)]
    found = np.empty(len(texts), np.object_)
    found[:] = texts
    return found.reshape(ends.shape)
