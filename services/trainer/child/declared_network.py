"""Builds the ONNX graph of a declared architecture from its weights, with onnx's own functions. No foreign code runs.

Each layer answers as the layer of torch with the same name does in evaluation mode. Weights become float32.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headgate.architecture import Architecture, Layer, parse
from headgate.artifacts.graphs import MAX_GRAPH_BYTES
from headgate.domain.words import counted
from headgate.toml_tables import InvalidToml
from services.trainer.child.failure import ExportFailure
from services.trainer.child.weights_file import WeightsFile, WrongWeights, read_weights

OPSET, IR_VERSION = 20, 10
"""The first version of ONNX's operators that has Gelu."""
VARIES = ""
"""A size that varies and has no name, because it follows from another one."""
MAX_LISTED = 5
Shape = tuple[int | str, ...]


def declared_network(architecture: Path, weights: Path) -> bytes:
    """The ONNX file. Raises ExportFailure with the layer or the tensor that is wrong."""
    try:
        file = read_weights(weights)
        if (size := sum(4 * math.prod(each.shape) for each in file.tensors.values())) > MAX_GRAPH_BYTES:
            raise WrongWeights(f"as float32 they have {size} bytes, and a model has at most {MAX_GRAPH_BYTES}")
        return _Network(parse(architecture.read_bytes()), file).as_onnx()
    except InvalidToml as error:
        raise ExportFailure(f"the architecture is wrong: {error}") from error
    except WrongWeights as error:
        raise ExportFailure(f"the weights are refused: {error}") from error


@dataclass
class _Network:
    """The graph as far as it is built; `name` and `shape` are those of the tensor that the next layer takes."""

    architecture: Architecture
    weights: WeightsFile
    name: str = ""
    shape: Shape = ()
    is_whole: bool = False
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def as_onnx(self) -> bytes:
        declared = self.architecture
        self.name, self.shape = "in", declared.input_shape
        self.is_whole = declared.input_datatype != "float32"
        self.nodes.append(helper.make_node("Identity", [declared.input_name], ["in"]))
        for layer in declared.layers:
            if self.is_whole and layer.kind not in WITHOUT_VALUES:
                raise _wrong(layer, f"takes fractions, and here are numbers of {declared.input_datatype}")
            BUILDERS[layer.kind](self, layer)
        self._require_end()
        self.nodes.append(helper.make_node("Identity", [self.name], [declared.output_name]))
        taken, answered = (
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(datatype)), _sizes(shape))
            for name, datatype, shape in (
                (declared.input_name, declared.input_datatype, declared.input_shape),
                (declared.output_name, "float32", self.shape),
            )
        )
        graph = helper.make_graph(self.nodes, "declared", [taken], [answered], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def _require_end(self) -> None:
        """Raises ExportFailure when a tensor is used nowhere, or the output is another one than the declared."""
        declared = self.architecture
        if self.is_whole:
            raise ExportFailure(
                "the architecture is wrong: no layer turns the whole numbers of the input into fractions"
            )
        unknown = sorted(set(declared.unused) - set(self.weights.tensors))
        if unknown:
            raise ExportFailure(f"the architecture is wrong: unused: the file has no tensor {unknown[0]}")
        left = [name for name in self.weights.tensors if name not in self.used and name not in declared.unused]
        if left:
            listed = ", ".join(left[:MAX_LISTED])
            raise ExportFailure(f"the weights are refused: no layer uses {listed}. Name each in a layer, or in unused")
        wanted = declared.output_shape
        fits = len(wanted) == len(self.shape) and all(
            not isinstance(size, int) or not isinstance(found, int) or size == found
            for size, found in zip(wanted, self.shape, strict=False)
        )
        if wanted and not fits:
            found = list(self.shape)
            raise ExportFailure(
                f"the architecture is wrong: output.shape is {list(wanted)}, and the layers give {found}"
            )

    def add(self, operator: str, *more: str, shape: Shape | None = None, **attributes: Any) -> None:
        """One operator that takes the present tensor and some constants."""
        answered = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.name, *more], [answered], **attributes))
        self.name, self.shape = answered, self.shape if shape is None else shape

    def constant(self, values: np.ndarray[Any, Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def tensor(self, layer: Layer, parameter: str, shape: tuple[int | None, ...]) -> np.ndarray[Any, Any]:
        """The tensor of a parameter, whose shape must be this; None is any size. Raises ExportFailure."""
        name = layer.tensors[parameter]
        values = self.weights.floats(name)
        fits = values.ndim == len(shape) and all(
            wanted is None or wanted == size for wanted, size in zip(shape, values.shape, strict=False)
        )
        if not fits or not values.size:
            wanted = [-1 if size is None else size for size in shape]
            what = f"the tensor {name} ({parameter}) has the shape {list(values.shape)}, expected {wanted}"
            raise _wrong(layer, f"{what}, where -1 is any size from 1 up")
        self.used.add(name)
        return values

    def rank(self, layer: Layer, *allowed: int) -> None:
        if len(self.shape) not in allowed:
            raise _wrong(
                layer, f"takes tensors of {' or '.join(map(str, allowed))} dimensions, and here is {list(self.shape)}"
            )

    def size(self, axis: int) -> int | None:
        size = self.shape[axis]
        return size if isinstance(size, int) else None

    def known(self, layer: Layer, axis: int) -> int:
        """The size of a dimension that the layer needs to know. Raises ExportFailure."""
        size = self.size(axis)
        if size is None:
            raise _wrong(layer, f"needs a fixed size of dimension {axis}, and here is {list(self.shape)}")
        return size


def _linear(network: _Network, layer: Layer) -> None:
    network.rank(layer, *range(2, 9))
    weight = network.tensor(layer, "weight", (None, network.known(layer, -1)))
    network.add("MatMul", network.constant(weight.T), shape=(*network.shape[:-1], len(weight)))
    if "bias" in layer.tensors:
        network.add("Add", network.constant(network.tensor(layer, "bias", (len(weight),))))


def _convolution(network: _Network, layer: Layer) -> None:
    axes = 1 if layer.kind == "conv1d" else 2
    network.rank(layer, axes + 2)
    groups, channels = layer.settings["groups"], network.known(layer, 1)
    if channels % groups:
        raise _wrong(layer, f"groups is {groups}, which does not divide the {counted(channels, 'channel')} here")
    weight = network.tensor(layer, "weight", (None, channels // groups, *[None] * axes))
    if len(weight) % groups:
        raise _wrong(
            layer, f"groups is {groups}, which does not divide the {counted(len(weight), 'channel')} of its weight"
        )
    constants = [network.constant(weight)]
    if "bias" in layer.tensors:
        constants.append(network.constant(network.tensor(layer, "bias", (len(weight),))))
    steps = {name: layer.settings[name] for name in ("stride", "padding", "dilation")}
    shape = _after_window(network, layer, weight.shape[2:], **steps)
    network.add(
        "Conv", *constants, shape=(network.shape[0], len(weight), *shape), group=groups, kernel_shape=weight.shape[2:],
        strides=steps["stride"], pads=steps["padding"] * 2, dilations=steps["dilation"],
    )  # fmt: skip


def _pool(network: _Network, layer: Layer) -> None:
    axes = int(layer.kind[-2])
    network.rank(layer, axes + 2)
    size, padding = layer.settings["size"], layer.settings["padding"]
    if any(2 * outer > inner for outer, inner in zip(padding, size, strict=True)):
        raise _wrong(layer, f"padding is {list(padding)}, and at most half of the size {list(size)} is allowed")
    stride = tuple(step or width for step, width in zip(layer.settings["stride"], size, strict=True))
    shape = _after_window(network, layer, size, stride, padding, (1,) * axes)
    operator, more = ("MaxPool", {}) if layer.kind.startswith("max") else ("AveragePool", {"count_include_pad": 1})
    shape = (*network.shape[:2], *shape)
    network.add(operator, shape=shape, kernel_shape=size, strides=stride, pads=padding * 2, **more)


def _after_window(
    network: _Network, layer: Layer, size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[int | str, ...]:
    """The sizes that remain of the dimensions after the channels."""
    found: list[int | str] = []
    for before, width, step, outer, apart in zip(network.shape[2:], size, stride, padding, dilation, strict=True):
        if not isinstance(before, int):
            found.append(VARIES)
            continue
        after = (before + 2 * outer - apart * (width - 1) - 1) // step + 1
        if after < 1:
            raise _wrong(layer, f"its window of {width} does not fit into the size {before} of {list(network.shape)}")
        found.append(after)
    return tuple(found)


def _embedding(network: _Network, layer: Layer) -> None:
    if not network.is_whole:
        raise _wrong(layer, "takes whole numbers: give the input the datatype int64, and put it first")
    weight = network.tensor(layer, "weight", (None, None))
    table = network.constant(weight)
    # Gather takes the present tensor as its second input.
    answered = f"t{len(network.nodes)}"
    network.nodes.append(helper.make_node("Gather", [table, network.name], [answered], axis=0))
    network.name, network.shape, network.is_whole = answered, (*network.shape, weight.shape[1]), False


def _layer_norm(network: _Network, layer: Layer) -> None:
    count = network.weights.floats(layer.tensors["weight"]).ndim
    if not 0 < count < len(network.shape):
        raise _wrong(
            layer,
            f"its weight has {counted(count, 'dimension')}, and there are {len(network.shape) - 1} besides the batch",
        )
    shape = tuple(network.known(layer, axis) for axis in range(-count, 0))
    given = [
        network.constant(network.tensor(layer, each, shape)) for each in ("weight", "bias") if each in layer.tensors
    ]
    network.add("LayerNormalization", *given, axis=-count, epsilon=layer.settings["epsilon"])


def _batch_norm(network: _Network, layer: Layer) -> None:
    network.rank(layer, 2, 3, 4, 5)
    channels = network.known(layer, 1)
    fixed = {"weight": np.ones(channels, np.float32), "bias": np.zeros(channels, np.float32)}
    given = [
        network.constant(network.tensor(layer, each, (channels,)) if each in layer.tensors else fixed[each])
        for each in ("weight", "bias", "running_mean", "running_var")
    ]
    network.add("BatchNormalization", *given, epsilon=layer.settings["epsilon"])


def _softmax(network: _Network, layer: Layer) -> None:
    axis, dimensions = layer.settings["axis"], len(network.shape)
    if not (0 < axis < dimensions or -dimensions < axis < 0):
        raise _wrong(layer, f"axis is {axis}, and here is {list(network.shape)}, whose first dimension is the batch")
    network.add("Softmax", axis=axis)


def _mean(network: _Network, layer: Layer) -> None:
    axis = layer.settings["axis"]
    if axis >= len(network.shape):
        raise _wrong(layer, f"axis is {axis}, and here is {list(network.shape)}")
    shape = network.shape[:axis] + network.shape[axis + 1 :]
    network.add("ReduceMean", network.constant(np.array([axis], np.int64)), shape=shape, keepdims=0)


def _flatten(network: _Network, layer: Layer) -> None:
    network.rank(layer, *range(2, 17))
    sizes = network.shape[1:]
    whole = [size for size in sizes if isinstance(size, int)]
    width = math.prod(whole) if len(whole) == len(sizes) else VARIES
    network.add("Flatten", shape=(network.shape[0], width), axis=1)


def _reshape(network: _Network, layer: Layer) -> None:
    wanted = layer.settings["shape"]
    sizes = [network.known(layer, axis) for axis in range(1, len(network.shape))]
    fixed = math.prod(size for size in wanted if size != -1)
    if math.prod(sizes) % fixed or (-1 not in wanted and math.prod(sizes) != fixed):
        raise _wrong(
            layer, f"shape is {list(wanted)}, which does not hold the {math.prod(sizes)} numbers of a row here"
        )
    found = tuple(math.prod(sizes) // fixed if size == -1 else size for size in wanted)
    # A 0 copies the batch.
    network.add("Reshape", network.constant(np.array([0, *found], np.int64)), shape=(network.shape[0], *found))


def _operator(name: str) -> "Builder":
    return lambda network, layer: network.add(name)


def _nothing(network: _Network, layer: Layer) -> None:
    """Dropout lets everything through once a network is trained."""


Builder = Callable[[_Network, Layer], None]
BUILDERS: Mapping[str, Builder] = {
    "linear": _linear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "relu": _operator("Relu"),
    "gelu": _operator("Gelu"),
    "sigmoid": _operator("Sigmoid"),
    "tanh": _operator("Tanh"),
    "softmax": _softmax,
    "max_pool1d": _pool,
    "max_pool2d": _pool,
    "avg_pool1d": _pool,
    "avg_pool2d": _pool,
    "mean": _mean,
    "flatten": _flatten,
    "reshape": _reshape,
    "dropout": _nothing,
}
WITHOUT_VALUES = ("embedding", "flatten", "reshape", "dropout")
"""The layers that take whole numbers too."""


def _wrong(layer: Layer, why: str) -> ExportFailure:
    return ExportFailure(f"the architecture is wrong: {layer.place} ({layer.kind}): {why}")


def _sizes(shape: Shape) -> list[int | str | None]:
    return [size if size != VARIES else None for size in shape]
