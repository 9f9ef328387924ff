"""Reads the tensors of a safetensors file: a header of JSON with names, datatypes, shapes and places, then their bytes.

The file is foreign, so nothing in it is believed: each tensor lies inside the file, and every byte belongs to one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.domain.words import counted

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 * 1024**2
"""The format allows 100 MB. A header of 16 MiB has more than 100,000 tensors."""
MAX_WEIGHTS = 100_000
MAX_DIMENSIONS = 8
MAX_NAME_SHOWN = 100
METADATA = "__metadata__"
FLOATS: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""Those that become float32, without a loss."""
ITEM_BYTES = {name: kind.itemsize for name, kind in FLOATS.items()} | {
    "F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
AGAIN = "Save the weights again with safetensors, and copy the whole file"


class WrongWeights(Exception):
    """The file, or one of its tensors, cannot be used. The text names the tensor and the next step."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies among the bytes after the header."""

    datatype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WeightsFile:
    tensors: Mapping[str, StoredTensor]
    content: npt.NDArray[np.uint8]

    def floats(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor as float32. F16 and BF16 keep their values. Raises WrongWeights."""
        if name not in self.tensors:
            known = ", ".join(_shown(each) for each in list(self.tensors)[:10])
            raise WrongWeights(f"the file has no tensor {_shown(name)}; it has {known}")
        found = self.tensors[name]
        if found.datatype not in FLOATS:
            kinds = f"is of {found.datatype}, and weights are of {', '.join(FLOATS)}"
            raise WrongWeights(f"the tensor {_shown(name)} {kinds}. Store it so, or name it in unused")
        values: npt.NDArray[Any] = self.content[found.start : found.end].view(FLOATS[found.datatype])
        if found.datatype == "BF16":
            # Its bits are the upper half of those of a float32.
            values = (values.astype(np.uint32) << 16).view(np.float32)
        floats: npt.NDArray[np.float32] = values.astype(np.float32).reshape(found.shape)
        return floats


def read_weights(file: Path) -> WeightsFile:
    """Raises WrongWeights."""
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or length > size - LENGTH_BYTES:
            raise WrongWeights(f"it is no safetensors file, or not a whole one: its header ends beyond it. {AGAIN}")
        if length > MAX_HEADER_BYTES:
            raise WrongWeights(
                f"its header has {length} bytes, and the limit is {MAX_HEADER_BYTES}. Store fewer tensors"
            )
        header = _parsed(content.read(length))
    start = LENGTH_BYTES + length
    tensors = {name: _stored(name, entry, size - start) for name, entry in header.items()}
    _require_gapless(tensors, size - start)
    body = np.memmap(file, np.uint8, "r", offset=start) if size > start else np.empty(0, np.uint8)
    return WeightsFile(tensors, body)


def _parsed(header: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise WrongWeights(f"its header names {_shown(twice)} twice. {AGAIN}")
        return found

    try:
        found = json.loads(header, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise WrongWeights(f"its header is no JSON, so it is no safetensors file: {error}. {AGAIN}") from error
    if not isinstance(found, dict):
        raise WrongWeights(f"its header is no JSON object, so it is no safetensors file. {AGAIN}")
    found.pop(METADATA, None)
    if not 0 < len(found) <= MAX_WEIGHTS:
        raise WrongWeights(f"it has {len(found)} tensors, and a file has 1 to {MAX_WEIGHTS}. {AGAIN}")
    return found


def _stored(name: str, entry: Any, size: int) -> StoredTensor:
    where = f"the tensor {_shown(name)}"
    try:
        datatype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise WrongWeights(f"{where} lacks dtype, shape or data_offsets in the header. {AGAIN}") from error
    if not isinstance(datatype, str) or datatype not in ITEM_BYTES:
        raise WrongWeights(f"{where} is of {_shown(datatype)}, which is not known. Store it as F32, F16 or BF16")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_size, (*shape, start, end))):
        raise WrongWeights(f"{where} has a shape or a place that is none: {_shown(shape)}, {start!r}, {end!r}. {AGAIN}")
    if not start <= end <= size:
        raise WrongWeights(f"{where} ends at byte {end}, and there are {size} after the header. {AGAIN}")
    if math.prod(shape) * ITEM_BYTES[datatype] != end - start:
        raise WrongWeights(f"{where} has {end - start} bytes, which are not those of {datatype} {shape}. {AGAIN}")
    return StoredTensor(datatype, tuple(shape), start, end)


def _require_gapless(tensors: Mapping[str, StoredTensor], size: int) -> None:
    """Raises WrongWeights when two tensors overlap, or bytes belong to none."""
    reached = 0
    for name, tensor in sorted(tensors.items(), key=lambda each: (each[1].start, each[1].end)):
        if tensor.start != reached:
            fault = "overlaps the one before it" if tensor.start < reached else "begins after bytes of no tensor"
            raise WrongWeights(f"the tensor {_shown(name)} {fault}, at byte {tensor.start}. {AGAIN}")
        reached = tensor.end
    if reached != size:
        raise WrongWeights(f"at its end stand {counted(size - reached, 'byte')} of no tensor. {AGAIN}")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _shown(name: object) -> str:
    return repr(name)[:MAX_NAME_SHOWN] if not isinstance(name, str) or not name.isprintable() else name[:MAX_NAME_SHOWN]
