"""Small signed artifacts: a logistic model in ONNX and its held-out rows."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from headgate.artifacts import layout
from headgate.artifacts.keys import create_keys
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.evaluator.score import Artifacts


def artifacts_in(directory: Path) -> Artifacts:
    create_keys(directory / "keys")
    return Artifacts(open_store((directory / "store").as_uri()), directory / "keys")


def sealed_files(artifacts: Artifacts, directory: Path, number: int, files: dict[str, bytes]) -> resources.Version:
    """A trained version of fraud, with a gate it passes when it is right about every row."""
    version = resources.Version(
        name=f"models/fraud/versions/{number}",
        version=number,
        build=resources.BUILD_STATE_EVALUATING,
        attempt=1,
        configuration=configuration.ModelConfiguration(
            model="fraud", task="binary", train=configuration.TrainConfiguration(batch_size=32)
        ),
    )
    key = create_keys(directory / "keys")
    version.artifact.CopyFrom(seal(artifacts.store, files, version.name, key))
    return version


def logistic(weight: list[float], bias: float = 0.0) -> bytes:
    """sigmoid(features @ weight + bias), as the trainer exports it."""
    return exported(weight, bias, "Sigmoid")


def linear(weight: list[float]) -> bytes:
    """features @ weight, which is no probability."""
    return exported(weight, 0.0, "Identity")


def exported(weight: list[float], bias: float, last: str) -> bytes:
    weights = np.array(weight, np.float32).reshape(-1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [layout.INPUT, "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["score"]),
            helper.make_node(last, ["score"], [layout.OUTPUT]),
        ],
        "logistic",
        [helper.make_tensor_value_info(layout.INPUT, TensorProto.FLOAT, ["batch", len(weight)])],
        [helper.make_tensor_value_info(layout.OUTPUT, TensorProto.FLOAT, ["batch", 1])],
        [
            numpy_helper.from_array(weights, "weight"),
            numpy_helper.from_array(np.array([bias], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def files_of(model: bytes, rows: bytes) -> dict[str, bytes]:
    """What an evaluator reads of an artifact."""
    return {layout.MODEL_FILE: model, layout.TEST_ROWS_FILE: rows}


def rows_of(features: npt.NDArray[np.float32], answers: npt.NDArray[np.generic]) -> bytes:
    data: bytes = save({layout.FEATURES_TENSOR: features, layout.ANSWERS_TENSOR: answers})
    return data


def separable(rows: int = 40) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Rows whose first column decides the answer by its sign."""
    features = np.random.RandomState(3).normal(size=(rows, 2)).astype(np.float32)
    return features, (features[:, 0] > 0).astype(np.float32)
