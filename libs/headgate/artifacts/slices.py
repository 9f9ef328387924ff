"""Which rows belong to a slice of [evaluate.slices]."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.v1 import configuration_pb2 as configuration


class WrongSlice(Exception):
    """The slice asks for an input or a column that the rows do not have. The text names the setting."""


def rows_in(slice_: configuration.Slice, features: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Whether each row belongs to the slice; a value that is not a number never does. Raises WrongSlice."""
    values = _column(slice_, features)
    chosen = ~np.isnan(values)
    if slice_.HasField("equals"):
        chosen &= values == slice_.equals
    if slice_.HasField("min"):
        chosen &= values >= slice_.min
    if slice_.HasField("max"):
        chosen &= values <= slice_.max
    return chosen


def _column(slice_: configuration.Slice, features: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    where = f"evaluate.slices.{slice_.name}"
    name = slice_.input or (next(iter(features)) if len(features) == 1 else "")
    if name not in features:
        got = f"got {slice_.input}" if slice_.input else "but it is missing"
        fault = f"expected one of the inputs {', '.join(features)}, {got}"
        raise WrongSlice(f"{where}.input: {fault}")
    rows = features[name]
    if rows.dtype.kind not in "fiub":
        raise WrongSlice(f"{where}.input: {name} is of {rows.dtype.name}, and a slice compares numbers")
    flat = rows.reshape(len(rows), -1)
    if slice_.column >= flat.shape[1]:
        last = f"expected a column from 0 to {flat.shape[1] - 1}, which the rows have"
        raise WrongSlice(f"{where}.column: {last}, got {slice_.column}")
    return flat[:, slice_.column].astype(np.float64)
