"""The model of the measurements of predictions, 30 numbers to 16 and to 1, and its requests."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headgate.inference import grpc_predict_v2_pb2 as inference
from tests.bench.http_load import post

MODEL = "fraud"
WIDTH, HIDDEN = 30, 16


def network() -> bytes:
    """The ONNX file, with the same weights every time."""
    chance = np.random.default_rng(7)
    weights = {"w1": (WIDTH, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 1), "b2": (1,)}
    constants = [
        numpy_helper.from_array(chance.standard_normal(shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["l"]),
        helper.make_node("Sigmoid", ["l"], ["y"]),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in (("x", WIDTH), ("y", 1))
    )
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def json_request(rows: int) -> bytes:
    """A request whose tensor is a flat list of numbers with six digits."""
    numbers = [round(float(value), 6) for value in _values(rows).ravel()]
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, WIDTH], "data": numbers}
    return post(f"/v2/models/{MODEL}/infer", json.dumps({"inputs": [tensor]}).encode())


def binary_request(rows: int) -> bytes:
    """A request with binary tensors in both directions."""
    values = _values(rows)
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [rows, WIDTH],
        "parameters": {"binary_data_size": values.nbytes},
    }
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}\r\n"
    return post(f"/v2/models/{MODEL}/infer", text + values.tobytes(), length)


def grpc_request(rows: int) -> bytes:
    """A ModelInferRequest with raw contents."""
    values = _values(rows)
    tensor = inference.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[rows, WIDTH])
    request = inference.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[values.tobytes()])
    return request.SerializeToString()


def _values(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).random((rows, WIDTH), dtype=np.float32)
