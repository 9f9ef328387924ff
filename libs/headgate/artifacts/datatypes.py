"""The datatypes that tensors of a model may have, under the names of numpy, ONNX and the Open Inference Protocol.

numpy has no bfloat16: `headgate.artifacts.bfloat16` runs models that take or answer it. Complex numbers are none of
them, because the protocol cannot carry them.
"""

from collections.abc import Mapping

BOOL = "BOOL"
BYTES = "BYTES"
"""The protocol's name for the datatype of text."""

PROTOCOL_TYPES: Mapping[str, str] = {
    "bool": BOOL,
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
"""The protocol's name for each datatype of numpy."""

BFLOAT16 = "bfloat16"
CARRIED_TYPES: Mapping[str, str] = {**PROTOCOL_TYPES, BFLOAT16: "BF16"}
"""The protocol's name for each datatype of numbers that it can carry."""

STRING = "object"
"""numpy's name for the datatype of text."""

_ONNX_NAMES = {"float32": "float", "float64": "double"}
NUMPY_TYPES: Mapping[str, str] = {
    **{f"tensor({_ONNX_NAMES.get(name, name)})": name for name in CARRIED_TYPES},
    "tensor(string)": STRING,
}
"""numpy's name for each datatype that ONNX Runtime reports."""
