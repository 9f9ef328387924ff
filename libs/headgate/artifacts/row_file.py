"""Writes and reads the test rows of an artifact: tensors by name in a safetensors file, which has none of text.

A tensor of text is stored as two others: the bytes of all texts in UTF-8, and where each text ends.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

Array = npt.NDArray[Any]

TEXT, ENDS = "text:", "ends:"
"""How the names of the two tensors begin."""


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


def rows_from_bytes(data: bytes) -> dict[str, Array]:
    """Raises WrongRows."""
    try:
        stored = load(data)
        texts = {name.removeprefix(TEXT): stored.pop(name) for name in list(stored) if name.startswith(TEXT)}
        return {name: stored.pop(name) for name in list(stored) if not name.startswith(ENDS)} | {
            name: _texts(content.tobytes(), stored[ENDS + name]) for name, content in texts.items()
        }
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WrongRows(f"there are no tensors that can be read: {error!r}") from error


def _texts(content: bytes, ends: Array) -> Array:
    flat = ends.ravel().tolist()
    texts = [content[start:end].decode() for start, end in zip([0, *flat], flat, strict=False)]
    found = np.empty(len(texts), np.object_)
    found[:] = texts
    return found.reshape(ends.shape)
