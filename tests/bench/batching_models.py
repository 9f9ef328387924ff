"""A transformer encoder, a convolutional network on images and a wide network, to measure micro-batching."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

TOKENS, WIDTH, HEADS, LAYERS = 32, 128, 4, 4
IMAGE = (3, 64, 64)
CHANNELS = (32, 64, 128)
CLASSES = 10
FEATURES, HIDDEN = 1_024, (2_048, 2_048)


class Network:
    """Collects the operators and weights of a graph."""

    def __init__(self) -> None:
        self._chance = np.random.default_rng(7)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def weights(self, *shape: int) -> str:
        values = self._chance.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        return self._add(values)

    def ones(self, *shape: int) -> str:
        return self._add(np.ones(shape, np.float32))

    def numbers(self, *values: int) -> str:
        return self._add(np.array(values, np.int64))

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def as_bytes(self, output: str, shape: Sequence[int]) -> bytes:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])
        nodes = [*self.nodes, helper.make_node("Identity", [output], ["y"])]
        graph = helper.make_graph(nodes, "network", [x], [y], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def _add(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def transformer() -> bytes:
    """Four layers of attention and a network of two layers behind each; the mean over the tokens gives the classes."""
    net, rows = Network(), "x"
    for _ in range(LAYERS):
        rows = _normed(net, net.node("Add", rows, _attention(net, rows)))
        hidden = net.node("Relu", net.node("MatMul", rows, net.weights(WIDTH, 4 * WIDTH)))
        rows = _normed(net, net.node("Add", rows, net.node("MatMul", hidden, net.weights(4 * WIDTH, WIDTH))))
    mean = net.node("ReduceMean", rows, net.numbers(1), keepdims=0)
    return net.as_bytes(net.node("MatMul", mean, net.weights(WIDTH, CLASSES)), (TOKENS, WIDTH))


def images() -> bytes:
    """Three convolutions, each followed by a maximum over squares of four."""
    net, rows, channels = Network(), "x", IMAGE[0]
    for more in CHANNELS:
        kernel = net.weights(more, channels, 3, 3)
        rows = net.node("Relu", net.node("Conv", rows, kernel, pads=[1, 1, 1, 1]))
        rows, channels = net.node("MaxPool", rows, kernel_shape=[2, 2], strides=[2, 2]), more
    mean = net.node("ReduceMean", rows, net.numbers(2, 3), keepdims=0)
    return net.as_bytes(net.node("MatMul", mean, net.weights(channels, CLASSES)), IMAGE)


def wide() -> bytes:
    """Two wide layers: one row alone reads all 24 MiB of weights for few products."""
    net, rows, width = Network(), "x", FEATURES
    for more in HIDDEN:
        rows, width = net.node("Relu", net.node("MatMul", rows, net.weights(width, more))), more
    return net.as_bytes(net.node("MatMul", rows, net.weights(width, CLASSES)), (FEATURES,))


def _attention(net: Network, rows: str) -> str:
    split = net.numbers(0, 0, HEADS, WIDTH // HEADS)

    def heads(order: Sequence[int]) -> str:
        projected = net.node("MatMul", rows, net.weights(WIDTH, WIDTH))
        return net.node("Transpose", net.node("Reshape", projected, split), perm=order)

    queries, keys, values = heads((0, 2, 1, 3)), heads((0, 2, 3, 1)), heads((0, 2, 1, 3))
    shares = net.node("Softmax", net.node("MatMul", queries, keys), axis=-1)
    seen = net.node("Transpose", net.node("MatMul", shares, values), perm=(0, 2, 1, 3))
    return net.node("MatMul", net.node("Reshape", seen, net.numbers(0, 0, WIDTH)), net.weights(WIDTH, WIDTH))


def _normed(net: Network, rows: str) -> str:
    return net.node("LayerNormalization", rows, net.ones(WIDTH), net.ones(WIDTH), axis=-1)
