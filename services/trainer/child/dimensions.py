"""The dimensions of a network's inputs that vary: the batch, and those that [network.dimensions] gives a name."""

from collections.abc import Mapping, Sequence

import torch

from headgate.network_table import BATCH
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.tensors import Tensors, changed_by_name, inputs

Dimensions = Mapping[str, Mapping[int, str]]
"""For each input the name of each dimension that varies, by its position."""


def dimensions_of(features: Tensors, declared: Mapping[str, Sequence[str]]) -> Dimensions:
    """What varies in the inputs. Raises TrainingFailure when the rows are not as headgate.toml declares."""
    tensors = inputs(features)
    unknown = next((name for name in declared if name not in tensors), None)
    if unknown is not None:
        raise TrainingFailure(f"network.dimensions.{unknown}: expected one of the inputs {', '.join(tensors)}")
    found: dict[str, dict[int, str]] = {}
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        expected = declared.get(name, [BATCH])
        shape = list(tensor.shape)
        if name in declared and not _fits(expected, shape, sizes):
            listed = ", ".join(expected)
            raise TrainingFailure(
                f"network.dimensions.{name}: expected rows of [{listed}], got the shape {shape};"
                " a dimension has one size in all inputs, and one that varies has at least 2 in the rows"
            )
        found[name] = {axis: size for axis, size in enumerate(expected) if not size.isdecimal()}
    return found


def sizes_of(features: Tensors, dimensions: Dimensions) -> dict[str, int]:
    """The size in these rows of each dimension that varies besides the batch."""
    tensors = inputs(features)
    return {
        dimension: tensors[name].shape[axis]
        for name, axes in dimensions.items()
        for axis, dimension in axes.items()
        if dimension != BATCH
    }


def resized(features: Tensors, dimensions: Dimensions, dimension: str, size: int) -> Tensors:
    """The rows with another size of this dimension: cut off, or repeated."""

    def resize(name: str, tensor: torch.Tensor) -> torch.Tensor:
        for axis, found in dimensions[name].items():
            if found == dimension:
                copies = -(-size // tensor.shape[axis])
                tensor = torch.cat([tensor] * copies, dim=axis).narrow(axis, 0, size).contiguous()
        return tensor

    return changed_by_name(features, resize)


def _fits(expected: Sequence[str], shape: Sequence[int], sizes: dict[str, int]) -> bool:
    if len(expected) != len(shape):
        return False
    for name, size in zip(expected[1:], shape[1:], strict=True):
        if name.isdecimal() and int(name) != size:
            return False
        if not name.isdecimal() and (size < 2 or sizes.setdefault(name, size) != size):
            return False
    return True
