"""Mends the shapes that an ONNX file declares for its outputs where its answers have others.

Converters declare some that are wrong: that of LightGBM gives the label one row. ONNX Runtime answers all the same,
but a gateway would tell callers the wrong shape.
"""

from typing import Any

import onnx

from headgate.artifacts.graphs import Graph, GraphTensor
from headgate.network_table import BATCH
from services.trainer.child.comparing import NamedAnswers
from services.trainer.child.ragged import Answers, shape_of


def with_answered_shapes(data: bytes, graph: Graph, answers: NamedAnswers) -> bytes:
    """The file, whose outputs declare what it answers to some rows; as it is when they do.

    A size that its answers contradict becomes one that varies.
    """
    wrong = {tensor.name for tensor in graph.outputs if _contradicts(tensor, answers[tensor.name])}
    if not wrong:
        return data
    model = onnx.load_model_from_string(data)
    batch = graph.inputs[0].shape[0] or BATCH
    for output in model.graph.output:
        if output.name in wrong:
            _declare(output.type.tensor_type.shape, answers[output.name], str(batch))
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _contradicts(tensor: GraphTensor, answered: Answers) -> bool:
    """A number of rows that is fixed does, too: the file has answered other numbers of rows."""
    sizes, answered_sizes = tensor.shape, shape_of(answered)
    if len(sizes) != len(answered_sizes) or isinstance(sizes[0], int):
        return True
    return any(isinstance(size, int) and size != found for size, found in zip(sizes, answered_sizes, strict=True))


def _declare(shape: Any, answered: Answers, batch: str) -> None:
    sizes = shape_of(answered)
    if len(shape.dim) != len(sizes):
        del shape.dim[:]
        shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in sizes)
    for dimension, size in zip(shape.dim, sizes, strict=True):
        if dimension.HasField("dim_value") and dimension.dim_value != size:
            dimension.Clear()
    shape.dim[0].dim_param = batch
