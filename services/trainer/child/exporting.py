"""Writes the files of an artifact, once its ONNX graph has been shown to answer as the trained network does."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from headgate.artifacts import layout, rows_apart
from headgate.artifacts.answers import CUSTOM, WrongMeaning, check_predictions
from headgate.artifacts.batches import rows_at_once
from headgate.artifacts.findings import FINDINGS
from headgate.artifacts.graphs import Graph, GraphRefused, inspect
from headgate.artifacts.plots.by_task import PLOTS_OF
from services.trainer.child.agreement import Agreement, agree, onnx_run, run_in_batches
from services.trainer.child.comparing import ABSOLUTE_TOLERANCE, parts_of, relative_tolerance
from services.trainer.child.dimensions import dimensions_of
from services.trainer.child.example_row import with_example_row
from services.trainer.child.failure import ExportFailure
from services.trainer.child.files import signature, write_json
from services.trainer.child.findings import arrays, find_out
from services.trainer.child.losses import Form, form_of
from services.trainer.child.onnx_graph import onnx_of
from services.trainer.child.plots import write_plots
from services.trainer.child.progress import Epoch
from services.trainer.child.ragged import VARIES, is_ragged
from services.trainer.child.row_findings import Array, Arrays
from services.trainer.child.rows import measured_answers_of
from services.trainer.child.tensors import (
    Rows,
    Tensors,
    answers_by_name,
    caller,
    inputs,
    part_of,
    row_bytes,
)
from services.trainer.child.training import LoadedModel
from services.trainer.job import Job

Output = TypeVar("Output")

logger = logging.getLogger(__name__)


def export(
    directory: Path,
    network: nn.Module,
    model: LoadedModel,
    job: Job,
    epochs: Sequence[Epoch],
) -> float:
    """Writes the files. Returns the largest difference between ONNX Runtime and torch.

    Raises ExportFailure and TrainingFailure.
    """
    network.eval()
    rows = model.rows
    features, _ = rows["validation"]
    graph, described, found = graph_of(network, features, rows, job)
    (directory / layout.MODEL_FILE).write_bytes(with_example_row(graph, arrays(features), array_run(graph)))
    # These are copies, because weights that share memory cannot be written.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, directory / layout.WEIGHTS_FILE)
    safetensors.torch.save_file(stored(rows["test"]), directory / layout.TEST_ROWS_FILE)
    write_json(directory / layout.SIGNATURE_FILE, signature(described))
    findings = find_out(network, model, found, job)
    training = history(job, epochs, found, described) | {FINDINGS: findings.as_json()}
    write_json(directory / layout.TRAINING_FILE, training)
    write_plots(directory, answered(graph, rows["test"], job), findings.threshold, epochs, job)
    return found.difference


def answered(graph: bytes, test: Rows, job: Job) -> tuple[Array, Array] | None:
    """Predictions and true answers of the test rows, of which plots are drawn; None where there can be none.

    The graph may not answer them at all. The evaluator then fails the version with the reason.
    """
    if job.task not in PLOTS_OF:
        return None
    features, answers = test
    at_once = rows_at_once(row_bytes(features), job.batch_size)
    try:
        predictions = measured_output(run_in_batches(onnx_run(graph), features, at_once), job.measured)
    except ExportFailure as reason:
        logger.warning("the test rows have no plots: %s", reason)
        return None
    return predictions, measured_answers_of(answers, job.measured).numpy()


def array_run(graph: bytes) -> Callable[[Arrays], object]:
    """The graph in ONNX Runtime, which raises ExportFailure for rows that it cannot answer."""
    run = onnx_run(graph)
    return lambda features: run({name: torch.from_numpy(array) for name, array in features.items()})


def inspected(graph: bytes) -> Graph:
    """By the rules for every graph. Raises ExportFailure."""
    try:
        return inspect(graph)
    except GraphRefused as error:
        raise ExportFailure(f"the network's ONNX graph is refused: {error}") from error


def graph_of(
    network: nn.Module, example: Tensors, rows: Mapping[str, Rows], job: Job
) -> tuple[bytes, Graph, Agreement]:
    """The graph, what it takes and answers, and how it and the network agree on the validation rows.

    Raises ExportFailure.
    """
    features, _ = rows["validation"]
    dimensions = dimensions_of(example, job.dimensions)
    form = form_of(job)
    outputs = outputs_when_several(network, example, form)
    graph = onnx_of(network, example, dimensions, outputs, form, job.checkout)
    described = inspected(graph)
    at_once = rows_at_once(row_bytes(features), job.batch_size)
    found = agree(network, graph, features, rows["train"][0], at_once, dimensions, form)
    if job.task == CUSTOM:
        return graph, described, found
    predictions = measured_output(found.answers, job.measured)
    if is_ragged(predictions):
        raise ExportFailure(f"network: of the output that the task is about, {VARIES}")
    try:
        check_predictions(job.task, predictions)
    except WrongMeaning as error:
        raise ExportFailure(f"network, on the validation rows: {error}") from error
    return graph, described, found


def outputs_when_several(network: nn.Module, features: Tensors, form: Form) -> Sequence[str]:
    """The names of what is served; none when it is the one tensor that the network answers."""
    row = part_of(features, slice(2))
    with torch.no_grad():
        answer = caller(network, features)(row)
    return () if isinstance(answer, Tensor) and form.activation is None else list(form.outputs(answer))


def measured_output(outputs: Mapping[str, Output], declared: str) -> Output:
    """What the task is about. Raises ExportFailure."""
    try:
        return outputs[layout.measured(outputs, declared)]
    except layout.Unclear as error:
        raise ExportFailure(f"network: expected one output that the task is about, got {error}") from error


def stored(rows: Rows) -> dict[str, Tensor]:
    """The tensors of the test rows. Those that share memory are copies, because such tensors cannot be written."""
    features, answers = rows
    tensors = {layout.features_tensor(name): tensor for name, tensor in inputs(features).items()} | {
        layout.answers_tensor(name): tensor for name, tensor in answers_by_name(answers).items()
    }
    shared = Counter(tensor.untyped_storage().data_ptr() for tensor in tensors.values())
    return {
        name: tensor.clone() if shared[tensor.untyped_storage().data_ptr()] > 1 else tensor
        for name, tensor in tensors.items()
    }


def history(job: Job, epochs: Sequence[Epoch], found: Agreement, graph: Graph) -> dict[str, object]:
    """It holds no times, so that the same training gives the same bytes."""
    tolerance = max(relative_tolerance(each) for each in found.answers.values())
    rows = found.rows_apart
    apart = rows_apart.record(rows, parts_of(rows), tolerance, ABSOLUTE_TOLERANCE)
    return {
        "environment": dict(job.environment),
        "seed": job.seed,
        "threads": torch.get_num_threads(),
        "epochs": [
            {"epoch": epoch.epoch, "train_loss": epoch.train_loss, "validation_loss": epoch.validation_loss}
            for epoch in epochs
        ],
        "export": {"relative_tolerance": tolerance, "absolute_tolerance": ABSOLUTE_TOLERANCE},
        **({} if found.varies or graph.may_be_ragged else apart),
    }
