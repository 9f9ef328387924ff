"""Writes the files of an artifact, and checks that its ONNX graph answers as the trained network does."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from services.trainer.child.context import Epoch, Rows
from services.trainer.job import Job

MAX_DIFFERENCE = 1e-4
DATATYPES = {torch.float32: "FP32", torch.float64: "FP64", torch.int64: "INT64"}


class ExportFailure(Exception):
    """The network has no ONNX graph that answers as it does."""


def export(directory: Path, network: nn.Module, rows: Mapping[str, Rows], job: Job, epochs: Sequence[Epoch]) -> float:
    """Writes the files. Returns the largest difference between ONNX Runtime and torch. Raises ExportFailure."""
    network.eval()
    features, _ = rows["validation"]
    with torch.no_grad():
        prediction = network(features)
    check_shape(prediction, features)
    graph = onnx_of(network, features)
    difference = largest_difference(graph, features, prediction)
    (directory / layout.MODEL_FILE).write_bytes(graph)
    # These are copies, because weights that share memory cannot be written.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, directory / layout.WEIGHTS_FILE)
    test_features, test_answers = rows["test"]
    test_rows = {layout.FEATURES_TENSOR: test_features, layout.ANSWERS_TENSOR: test_answers}
    safetensors.torch.save_file(test_rows, directory / layout.TEST_ROWS_FILE)
    write_json(directory / layout.SIGNATURE_FILE, signature(features, prediction))
    write_json(directory / layout.TRAINING_FILE, history(job, epochs))
    return difference


def warm_up() -> None:
    """Exports a tiny network, because the exporter imports most of its modules at the first export."""
    onnx_of(nn.Linear(1, 1).eval(), torch.zeros(2, 1))


def check_shape(prediction: object, features: Tensor) -> None:
    if not isinstance(prediction, Tensor) or prediction.ndim < 1 or len(prediction) != len(features):
        shape = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction).__name__
        raise ExportFailure(f"network: expected one tensor with one prediction per row, got {shape}")
    if prediction.dtype not in DATATYPES:
        raise ExportFailure(f"network: expected a prediction of float32, got {prediction.dtype}")


def onnx_of(network: nn.Module, features: Tensor) -> bytes:
    # The exporter takes a batch of one for a constant.
    example = features[:2] if len(features) > 1 else features.repeat(2, *[1] * (features.ndim - 1))
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        input_names=[layout.INPUT],
        output_names=[layout.OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ExportFailure("torch.onnx.export returned no program")
    model = program.model_proto
    remove_origins(model)
    onnx.checker.check_model(model)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def remove_origins(model: onnx.ModelProto) -> None:
    """Removes the stack traces. They name this attempt's directory, and equal trainings must give equal bytes."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.metadata_props[:]
    graph.doc_string = ""
    for parts in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer, model.functions):
        for part in parts:
            del part.metadata_props[:]
            part.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""


def largest_difference(graph: bytes, features: Tensor, prediction: Tensor) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (served,) = session.run([layout.OUTPUT], {layout.INPUT: features.numpy()})
    trained = prediction.numpy()
    if served.shape != trained.shape:
        raise ExportFailure(f"ONNX Runtime answers in the shape {served.shape}, torch in {trained.shape}")
    if not np.array_equal(np.isnan(served), np.isnan(trained)):
        raise ExportFailure("ONNX Runtime and torch answer NaN for different rows")
    # Two equal infinities differ by 0; their subtraction would give NaN.
    apart = np.where((served == trained) | np.isnan(trained), 0.0, served - trained)
    difference = float(np.max(np.abs(apart)))
    if not difference <= MAX_DIFFERENCE:
        raise ExportFailure(f"ONNX Runtime and torch differ by {difference:g}; the limit is {MAX_DIFFERENCE:g}")
    return difference


def signature(features: Tensor, prediction: Tensor) -> dict[str, object]:
    return {
        "inputs": [{"name": layout.INPUT, "datatype": "FP32", "shape": [-1, *features.shape[1:]]}],
        "outputs": [
            {"name": layout.OUTPUT, "datatype": DATATYPES[prediction.dtype], "shape": [-1, *prediction.shape[1:]]}
        ],
    }


def history(job: Job, epochs: Sequence[Epoch]) -> dict[str, object]:
    """It holds no times, so that the same training gives the same bytes."""
    return {
        "environment": dict(job.environment),
        "seed": job.seed,
        "threads": torch.get_num_threads(),
        "epochs": [
            {"epoch": epoch.epoch, "train_loss": epoch.train_loss, "validation_loss": epoch.validation_loss}
            for epoch in epochs
        ],
    }


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
