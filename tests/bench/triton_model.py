"""Triton's side of the measurements: the same ONNX file on one thread. It runs in Triton's Python backend."""

import sys
from pathlib import Path

# Triton starts this with its own search path: the packages of its environment lie beside the model, as a link.
sys.path.insert(0, str(Path(__file__).with_name("packages")))

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = Path(__file__).with_name("model.onnx")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[object]) -> list[object]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        array = triton.get_input_tensor_by_name(request, "x").as_numpy()
        (output,) = self._session.run(["y"], {"x": array})
        return triton.InferenceResponse([triton.Tensor("y", output)])
