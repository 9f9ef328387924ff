"""Inputs with extreme values, to find out whether a caller could end the process with them.

Some operators end their process for some values: a division of whole numbers does for the lowest number and -1.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from headgate.artifacts import bfloat16
from headgate.artifacts.datatypes import BYTES
from services.gateway.tensors import NUMPY_TYPES, Array, TensorSpec

ROWS = 16
"""Size of every variable dimension."""
MAX_UNIFORM = 64
"""The most combinations in which each input has one value everywhere."""
MIXED = 8
"""How many times the values are mixed within each input."""
SEED = 20_260
FLOATS = np.nan, -np.inf, np.inf, -1.0, 0.0


def extreme_inputs(specs: Mapping[str, TensorSpec]) -> Iterator[dict[str, Array]]:
    """The inputs of one forward after the other, always the same ones. No value makes a model allocate much memory."""
    values = [_values(spec) for spec in specs.values()]
    for chosen in itertools.islice(itertools.product(*values), MAX_UNIFORM):
        yield {
            name: np.full(_shape(spec), value, NUMPY_TYPES[spec.datatype])
            for (name, spec), value in zip(specs.items(), chosen, strict=True)
        }
    random = np.random.default_rng(SEED)
    for _ in range(MIXED):
        yield {name: _mixed(random, spec, among) for (name, spec), among in zip(specs.items(), values, strict=True)}


def _values(spec: TensorSpec) -> Sequence[Any]:
    if spec.datatype == BYTES:
        return "", "\0", "x" * 1_000
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    if dtype == bfloat16.DTYPE:
        return list(bfloat16.from_float32(np.array(FLOATS, np.float32)))
    match dtype.kind:
        case "i":
            return int(np.iinfo(dtype).min), -1, 0, 1
        case "f":
            return FLOATS
        case _:
            return 0, 1


def _mixed(random: np.random.Generator, spec: TensorSpec, among: Sequence[Any]) -> Array:
    return random.choice(np.array(among, NUMPY_TYPES[spec.datatype]), _shape(spec))


def _shape(spec: TensorSpec) -> list[int]:
    return [size if isinstance(size, int) else ROWS for size in spec.shape]
