"""Runs models that take or answer bfloat16, a type that numpy does not have.

An array of DTYPE holds the bits of each number. They are the upper half of the bits of a float32.
"""

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[Any]

BITS = "bfloat16"
DTYPE = np.dtype([(BITS, "<u2")])
"""A field of its own tells these bits from a uint16."""
ONNX_TYPE = "tensor(bfloat16)"
ONNX_ELEMENT = 16
"""The number of the type in ONNX."""
EXPONENT = np.uint16(0x7F80)
"""All of these bits are set in NaN and the infinities alone."""


def run(
    session: "onnxruntime.InferenceSession", names: Sequence[str], arrays: Mapping[str, Array], options: Any = None
) -> list[Array]:
    """The outputs of a session, in this order. Raises whatever it raises."""
    found = session.run_with_ort_values(names, {name: _value(array) for name, array in arrays.items()}, options)
    return [_array(value) for value in found]


def is_finite(array: Array) -> bool:
    """Whether an array of DTYPE has neither NaN nor infinity."""
    return bool(((array[BITS] & EXPONENT) != EXPONENT).all())


def from_float32(array: Array) -> Array:
    """The nearest bfloat16 of each number, the even one of two. A NaN stays one."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return np.where(np.isnan(array), np.uint16(0x7FC0), rounded).astype("<u2").view(DTYPE)


def to_float32(array: Array) -> Array:
    """The numbers, which a float32 holds exactly."""
    return (array[BITS].astype(np.uint32) << 16).view(np.float32)


def _value(array: Array) -> Any:
    import onnxruntime

    if array.dtype == DTYPE:
        bits = np.ascontiguousarray(array).view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, ONNX_ELEMENT)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Array:
    if value.data_type() != ONNX_TYPE:
        array: Array = value.numpy()
        return array
    shape = value.shape()
    copied = ctypes.string_at(value.data_ptr(), math.prod(shape) * DTYPE.itemsize)
    return np.frombuffer(copied, DTYPE).reshape(shape)
