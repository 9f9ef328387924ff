"""The classification extension of the Open Inference Protocol: the largest values of an output, as "value:index".

It answers what Triton answers for a model without labels. Versions of Headgate have numbers for classes and no labels.
"""

from collections.abc import Sequence

import numpy as np

from headgate.artifacts import bfloat16
from headgate.artifacts.datatypes import BYTES
from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.tensors import Array, InvalidInput, TensorSpec

CLASSIFICATION = "classification"
"""The parameter of a requested output with the number of classes to answer."""

RequestedOutput = inference.ModelInferRequest.InferRequestedOutputTensor


def class_counts(outputs: Sequence[RequestedOutput], specs: Sequence[TensorSpec]) -> list[int]:
    """How many classes each requested output asks for, 0 for the output itself. Raises InvalidInput."""
    return [_class_count(output, spec) for output, spec in zip(outputs, specs, strict=True)]


def classified(spec: TensorSpec, array: Array, count: int) -> tuple[TensorSpec, Array]:
    """The output as its `count` largest values, the largest first. Of equal values the first index comes first.

    The first dimension counts rows where its size is variable. Otherwise the whole output is one row.
    """
    batched = bool(spec.wire_shape) and spec.wire_shape[0] == -1
    rows = array.reshape(len(array) if batched else 1, -1)
    if rows.dtype == bfloat16.DTYPE:
        rows = bfloat16.to_float32(rows)
    chosen = np.argsort(_smallest_first(rows), axis=1, kind="stable")[:, :count]
    texts = [[_text(row[index], index) for index in indices] for row, indices in zip(rows, chosen, strict=True)]
    found = np.array(texts, np.object_).reshape(chosen.shape)
    shape: tuple[int | str, ...] = (spec.shape[0], count) if batched else (count,)
    return TensorSpec(spec.name, BYTES, shape), found if batched else found[0]


def _class_count(output: RequestedOutput, spec: TensorSpec) -> int:
    if not output.parameters or CLASSIFICATION not in output.parameters:
        return 0
    parameter = output.parameters[CLASSIFICATION]
    kind = parameter.WhichOneof("parameter_choice")
    count = getattr(parameter, kind) if kind in ("int64_param", "uint64_param") else 0
    if count < 1:
        rule = "expected a whole number of classes from 1 up"
        raise InvalidInput(f"output {output.name!r}, parameter {CLASSIFICATION!r}: {rule}", "outputs")
    if spec.datatype == BYTES:
        rule = f"expected an output of numbers, and it has {spec.datatype}"
        raise InvalidInput(f"output {output.name!r}, parameter {CLASSIFICATION!r}: {rule}", "outputs")
    return int(count)


def _smallest_first(rows: Array) -> Array:
    """Keys that are smallest for the largest values. NaN comes last."""
    match rows.dtype.kind:
        case "f":
            wide = rows.astype(np.float64)
            return np.where(np.isnan(wide), np.inf, -wide)
        case _:
            return ~rows


def _text(value: np.generic, index: int) -> bytes:
    text = f"{value.item():f}" if value.dtype.kind == "f" else str(int(value))
    return f"{text}:{index}".encode()
