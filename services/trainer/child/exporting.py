"""Writes the files of an artifact, once its ONNX graph has been shown to answer as the trained network does."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from headgate.artifacts.answers import WrongMeaning, check_predictions
from headgate.artifacts.batches import rows_at_once
from services.trainer.child.agreement import (
    ABSOLUTE_TOLERANCE,
    DATATYPES,
    RELATIVE_TOLERANCE,
    Agreement,
    Answers,
    agree,
)
from services.trainer.child.context import Epoch
from services.trainer.child.failure import ExportFailure
from services.trainer.child.onnx_graph import onnx_of
from services.trainer.child.rows import Rows
from services.trainer.job import Job


def export(directory: Path, network: nn.Module, rows: Mapping[str, Rows], job: Job, epochs: Sequence[Epoch]) -> float:
    """Writes the files. Returns the largest difference between ONNX Runtime and torch. Raises ExportFailure."""
    network.eval()
    features, _ = rows["validation"]
    graph = onnx_of(network, features)
    found = checked(network, graph, rows, job)
    (directory / layout.MODEL_FILE).write_bytes(graph)
    # These are copies, because weights that share memory cannot be written.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, directory / layout.WEIGHTS_FILE)
    test_features, test_answers = rows["test"]
    test_rows = {layout.FEATURES_TENSOR: test_features, layout.ANSWERS_TENSOR: test_answers}
    safetensors.torch.save_file(test_rows, directory / layout.TEST_ROWS_FILE)
    write_json(directory / layout.SIGNATURE_FILE, signature(features, found.predictions))
    write_json(directory / layout.TRAINING_FILE, history(job, epochs))
    return found.difference


def checked(network: nn.Module, graph: bytes, rows: Mapping[str, Rows], job: Job) -> Agreement:
    """The network and its graph on the validation rows. Raises ExportFailure."""
    features, _ = rows["validation"]
    at_once = rows_at_once(features[0].nbytes, job.batch_size)
    found = agree(network, graph, features, rows["train"][0], at_once)
    try:
        check_predictions(job.task, found.predictions)
    except WrongMeaning as error:
        raise ExportFailure(f"network, on the validation rows: {error}") from error
    return found


def signature(features: Tensor, predictions: Answers) -> dict[str, object]:
    datatype = DATATYPES[predictions.dtype.name]
    return {
        "inputs": [{"name": layout.INPUT, "datatype": "FP32", "shape": [-1, *features.shape[1:]]}],
        "outputs": [{"name": layout.OUTPUT, "datatype": datatype, "shape": [-1, *predictions.shape[1:]]}],
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
        "export": {"relative_tolerance": RELATIVE_TOLERANCE, "absolute_tolerance": ABSOLUTE_TOLERANCE},
    }


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
