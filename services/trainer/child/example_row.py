"""Gives a graph a row that it can run, where it fails on zeros and empty texts.

A gateway calls each model once before it serves it. Zeros and empty texts are no values to a model that knows certain
categories alone.
"""

import json
from collections.abc import Callable

import numpy as np

from headgate.artifacts.graphs import with_metadata
from headgate.artifacts.layout import EXAMPLE_ROW
from services.trainer.child.failure import ExportFailure
from services.trainer.child.row_findings import Array, Arrays

MAX_EXAMPLE_BYTES = 4 * 1024**2


def with_example_row(data: bytes, features: Arrays, run: Callable[[Arrays], object]) -> bytes:
    """The same graph, with the first of these rows in its metadata if it needs one."""
    first = {name: array[:1] for name, array in features.items()}
    try:
        run({name: _nothing_like(array) for name, array in first.items()})
        return data
    except ExportFailure:
        text = json.dumps({name: array.tolist() for name, array in first.items()}, sort_keys=True)
        return with_metadata(data, EXAMPLE_ROW, text) if len(text) <= MAX_EXAMPLE_BYTES else data


def _nothing_like(array: Array) -> Array:
    return np.full(array.shape, "", np.object_) if array.dtype == np.object_ else np.zeros_like(array)
