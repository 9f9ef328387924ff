"""Exports the operators of torch that look something up. An index below 0 then fails in the graph as it does in torch.

The exporter's own form of them counts such an index from the end. An index in brackets, as in `table[index]`, does so
in torch too, and stays as it is. A stable sort, of which the exporter knows no form, gives such indices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx import TensorProto
from onnxscript import opset18

from headgate.artifacts.negative_indices import BELOW_EVERY_TABLE

op: Any = opset18


def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    return op.Gather(weight, _checked(indices))


def index_select(self: Any, dim: int, index: Any) -> Any:
    """A single index selects as a list of one does."""
    rows = op.Reshape(self, op.Constant(value_ints=[-1])) if len(self.shape) == 0 else self
    selected = op.Gather(rows, _checked(op.Reshape(index, op.Constant(value_ints=[-1]))), axis=dim)
    return op.Squeeze(selected) if len(self.shape) == 0 else selected


def gather(self: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    if len(index.shape) == 0:
        return op.Identity(self)
    return op.GatherElements(self, _checked(index), axis=dim)


def stable_sort(self: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """ONNX takes the lower index first among equal values."""
    size = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
    return op.TopK(self, size, axis=dim, largest=int(descending), sorted=1)


TRANSLATIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.embedding.default: embedding,
    torch.ops.aten.index_select.default: index_select,
    torch.ops.aten.gather.default: gather,
    torch.ops.aten.sort.stable: stable_sort,
}
"""Operator of torch -> the function that writes it in ONNX."""


def _checked(indices: Any) -> Any:
    """The indices, and those below 0 so far below that no table has them."""
    whole = op.Cast(indices, to=TensorProto.INT64)
    is_below = op.Less(whole, op.Constant(value_int=0))
    return op.Where(is_below, op.Sub(whole, op.Constant(value_int=BELOW_EVERY_TABLE)), whole)
