"""Finds out whether a model failed because the caller sent a category that its table does not have."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.artifacts.negative_indices import indices_of_caller
from services.gateway.tensors import Array

Run = Callable[[Mapping[str, Array]], object]

_OUT_OF_RANGE = re.compile(r"idx=(-?\d+) must be within the inclusive range \[-?\d+,(\d+)\]")
"""How ONNX Runtime says that a table has no row of this number."""
EXPECTED = "expected a whole number from 0 to {}"


def unknown_category(error: Exception, arrays: Mapping[str, Array], run: Run) -> str:
    """Which input has the value that the model could not look up, and what it expects. Empty for any other failure.

    `run` runs the model. Such a number can also be the model's own. So the model is run again with 0 in place of the
    number, in one input after the other and then in all. The number was the caller's only if this failure ends.
    """
    found = _OUT_OF_RANGE.search(str(error))
    if found is None:
        return ""
    shown, highest = int(found[1]), found[2]
    for index in indices_of_caller(shown):
        places = {name: where for name, array in arrays.items() if (where := _equal(array, index)).any()}
        for names in (*((name,) for name in places), tuple(places)):
            without = {name: np.where(places[name], arrays[name].dtype.type(0), arrays[name]) for name in names}
            if names and not _fails_on(shown, {**arrays, **without}, run):
                value = arrays[names[0]][places[names[0]]].flat[0]
                return f"input {_listed(names)}: the model knows no category {value}; {EXPECTED.format(highest)}"
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _equal(array: Array, index: int) -> npt.NDArray[Any]:
    """Where the array has this index after the cast to an integer, by which a model gets an index from a number."""
    if array.dtype.kind not in "iuf":
        return np.zeros(array.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray(array.astype(np.int64) == index)


def _fails_on(shown: int, arrays: Mapping[str, Array], run: Run) -> bool:
    from services.gateway.onnx_errors import MODEL_ERRORS

    try:
        run(arrays)
    except MODEL_ERRORS as error:
        found = _OUT_OF_RANGE.search(str(error))
        return found is None or int(found[1]) == shown
    return False
