"""Has the repository build its ONNX file, inspects it, and writes the artifact once it answers the test rows well.

The repository defines build(context), which leaves an ONNX file, and datasets(context), which gives the test rows.
"""

import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from headgate.artifacts import layout, rows_apart
from headgate.artifacts.answers import (
    CUSTOM,
    REGRESSION,
    WrongMeaning,
    as_rows_of_numbers,
    as_true_numbers,
    check_answers,
    check_predictions,
    from_probabilities,
    require_as_many,
)
from headgate.artifacts.batches import batches, rows_at_once
from headgate.artifacts.extensions import register_extensions
from headgate.artifacts.findings import FINDINGS, Findings
from headgate.artifacts.graphs import ONE_VS_REST, Graph, GraphRefused, inspect, read_graph, with_metadata
from headgate.artifacts.row_file import rows_as_bytes
from headgate.artifacts.timed_runs import MAX_CALL_SECONDS, TookTooLong, reason_of, timed_calls, timed_load
from services.trainer.child.array_rows import Split, fitted, read_splits
from services.trainer.child.comparing import (
    ABSOLUTE_TOLERANCE,
    SAMPLED_ROWS,
    NamedAnswers,
    Parts,
    median_sizes,
    parts_of,
    relative_tolerance,
    require_steady,
    rows_in_words,
)
from services.trainer.child.declared_shapes import with_answered_shapes
from services.trainer.child.example_row import with_example_row
from services.trainer.child.failure import ExportFailure, TrainingFailure
from services.trainer.child.files import signature, write_json
from services.trainer.child.imported import imported_module, worded_for
from services.trainer.child.loading import called, context_of, load_module, own_metrics_of
from services.trainer.child.origins import without_origins
from services.trainer.child.own_metrics import measured_by_the_repository
from services.trainer.child.plots import write_plots
from services.trainer.child.ragged import ROWS_FIRST, VARIES, is_ragged, joined
from services.trainer.child.row_findings import (
    Array,
    Arrays,
    check_slices,
    chosen_threshold,
    leaked_rows,
    require_positive,
)
from services.trainer.child.served_form import inspected, with_one_output
from services.trainer.job import Job

FUNCTIONS = ("build", "datasets")
BUILD = "build(context)"
CONVERT = "Convert it, as with skl2onnx, onnxmltools or tf2onnx"
LEAVES = "an ONNX file at context.onnx_file, the path of one, its bytes, or an onnx.ModelProto"


@dataclass(frozen=True, slots=True)
class Built:
    """The file, what it takes and answers, and the rows as it takes them."""

    data: bytes
    graph: Graph
    splits: Mapping[str, Split]


def build_artifact(directory: Path, job: Job) -> None:
    """Writes the files of the artifact. Raises TrainingFailure and ExportFailure."""
    with worded_for(job):
        _build_artifact(directory, job)


def _build_artifact(directory: Path, job: Job) -> None:
    module = load_module(Path(job.checkout), job.module, FUNCTIONS) if job.module else imported_module(job)
    context = context_of(job)
    built = built_by(module, context, job)
    run = Run(built.data, built.graph, job)
    test = built.splits["test"]
    answers = run.in_batches(test.features)
    if job.served_as:
        built = served_alone(built, answers, job)
        run = Run(built.data, built.graph, job)
        answers = run.in_batches(test.features)
    compared, varies = require_alike(run, test.features)
    if varies or any(map(is_ragged, answers.values())):
        varies, answers = True, run.in_batches(test.features, at_most=1)
    check_meaning(answers, test, job)
    built = with_true_shapes(built, answers)
    found = findings(run, built, answers, own_metrics(module, context, answers, test, job), job)
    data = with_example_row(with_example_sizes(built), test.features, run)
    (directory / layout.MODEL_FILE).write_bytes(data)
    features = {layout.features_tensor(name): array for name, array in test.features.items()}
    true_answers = {layout.answers_tensor(name): array for name, array in test.answers.items()}
    (directory / layout.TEST_ROWS_FILE).write_bytes(rows_as_bytes(features | true_answers))
    write_json(directory / layout.SIGNATURE_FILE, signature(built.graph))
    training = {"environment": dict(job.environment), "seed": job.seed, "epochs": [], FINDINGS: found.as_json()}
    tolerance = max(relative_tolerance(each) for each in answers.values())
    if not (varies or built.graph.may_be_ragged):
        training |= rows_apart.record(compared, parts_of(compared), tolerance, ABSOLUTE_TOLERANCE)
    write_json(directory / layout.TRAINING_FILE, training)
    if job.task != CUSTOM:
        measured_rows = measured_predictions(answers, job), measured(test.answers, job)
        write_plots(directory, measured_rows, found.threshold, (), job)


def built_by(module: ModuleType | SimpleNamespace, context: SimpleNamespace, job: Job) -> Built:
    """What the repository's functions leave. The rows come first, so that wrong ones cost no training."""
    set_seed(job.seed)
    context.rows = called("datasets(context)", job, module.datasets, context)
    splits = read_splits(context.rows, job)
    if job.threshold_choice:
        require_positive(measured(splits["validation"].answers, job), job)
    context.onnx_file = Path(job.checkout) / layout.MODEL_FILE
    set_seed(job.seed)
    left = called(BUILD, job, module.build, context)
    try:
        data = bytes_left(left, context.onnx_file)
        data, graph = inspected(data, job.input_names)
        # An imported file stays as its owner knows it by its SHA-256.
        data = without_origins(data) if job.module else data
    except GraphRefused as error:
        raise ExportFailure(f"{BUILD}: the file is refused: {error}") from error
    fitting = {split: fitted(split, rows, graph) for split, rows in splits.items()}
    check_slices(fitting["test"].features, job)
    return Built(data, graph, fitting)


def served_alone(built: Built, answers: NamedAnswers, job: Job) -> Built:
    """The file with the measured output alone, in the form that the task takes. Raises ExportFailure."""
    name = measured_output(answers, job)
    are_probabilities = from_probabilities(job.task, answers[name]) is not answers[name]
    data = with_one_output(built.data, name, job.served_as, are_probabilities=are_probabilities, task=job.task)
    return Built(data, inspect(data), built.splits)


def with_true_shapes(built: Built, answers: NamedAnswers) -> Built:
    data = with_answered_shapes(built.data, built.graph, answers)
    return built if data is built.data else Built(data, inspect(data), built.splits)


def with_example_sizes(built: Built) -> bytes:
    """The file; and in it the size that each dimension that varies besides the batch has in the test rows.

    A gateway calls each model once before it serves it, and some models cannot run every size.
    """
    features = built.splits["test"].features
    sizes = {
        name: features[tensor.name].shape[axis]
        for tensor in built.graph.inputs
        for axis, name in enumerate(tensor.shape)
        if axis and isinstance(name, str) and name
    }
    if not sizes:
        return built.data
    return with_metadata(built.data, layout.EXAMPLE_SIZES, json.dumps(sizes, sort_keys=True))


def bytes_left(left: Any, file: Path) -> bytes:
    """The ONNX file that build(context) left. Raises TrainingFailure and GraphRefused."""
    if hasattr(left, "SerializeToString"):
        left = called_for_bytes(left)
    if isinstance(left, bytes | bytearray | memoryview):
        return bytes(left)
    if left is not None and not isinstance(left, str | os.PathLike):
        raise TrainingFailure(f"{BUILD}: expected {LEAVES}, got {type(left).__name__}. {CONVERT}")
    path = file if left is None else file.parent / left
    if not path.is_file():
        raise TrainingFailure(f"{BUILD}: expected {LEAVES}; there is no file {path.name}")
    return read_graph(path)


def called_for_bytes(model: Any) -> bytes:
    try:
        data: bytes = model.SerializeToString()
        return data
    except Exception as error:
        raise TrainingFailure(f"{BUILD}: the model that it returned cannot be written: {error}") from error


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)


class Run:
    """The file in ONNX Runtime, one thread, as it will be evaluated and served."""

    def __init__(self, data: bytes, graph: Graph, job: Job, call_seconds: float = MAX_CALL_SECONDS) -> None:
        """Raises ExportFailure."""
        self._call_seconds = call_seconds
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            register_extensions(options, data)
            self._session = timed_load(data, options)
        except Exception as error:
            raise ExportFailure(f"{BUILD}: ONNX Runtime cannot load the file: {reason_of(error)}") from error
        self._names = [tensor.name for tensor in graph.outputs]
        self._batch_size = job.batch_size

    def __call__(self, features: Arrays, first: int = 0) -> NamedAnswers:
        """What it answers to the rows, by output. `first` is the number of the first row. Raises ExportFailure."""
        rows = len(next(iter(features.values())))
        try:
            found = self._answers(features)
        except TookTooLong as error:
            raise ExportFailure(f"{BUILD}: the file cannot answer {rows_in_words(rows)}: {error}") from error
        except Exception as error:
            row, reason = self._refused_row(features)
            which = rows_in_words(rows) if row is None else f"row {first + row} of the test rows"
            text = f"{which}: {reason_of(reason or error)}. Change this row or the model"
            raise ExportFailure(f"{BUILD}: the file cannot answer {text}") from error
        for name, array in found.items():
            if not isinstance(array, np.ndarray) or array.ndim < 1 or len(array) != rows:
                got = f"{name} of the shape {list(getattr(array, 'shape', ()))} for {rows_in_words(rows)}"
                labels_first = getattr(array, "ndim", 0) == 3 and array.shape[1] == rows
                advice = f". {ONE_VS_REST[:1].upper()}{ONE_VS_REST[1:]}" if labels_first else ROWS_FIRST
                raise ExportFailure(f"{BUILD}: expected an answer for each row, got {got}{advice}")
        return found

    def _answers(self, features: Arrays) -> dict[str, Any]:
        with timed_calls(self._session, self._call_seconds) as call:
            return dict(zip(self._names, call(self._names, features), strict=True))

    def _refused_row(self, features: Arrays) -> tuple[int | None, Exception | None]:
        """The first row that it cannot answer, and why; None when it can answer each row alone."""
        start, end = 0, len(next(iter(features.values())))
        reason: Exception | None = None
        while end - start > 1 or reason is None:
            middle = (start + end + 1) // 2
            try:
                self._answers({name: array[start:middle] for name, array in features.items()})
            except Exception as error:  # noqa: BLE001  # ONNX Runtime has many kinds, and the batch has failed already
                end, reason = middle, error
                continue
            if middle == end:
                return None, None
            start = middle
        return start, reason

    def in_batches(self, features: Arrays, at_most: int = 0) -> NamedAnswers:
        row_bytes = sum(array[:1].nbytes for array in features.values())
        parts = [part for _, part in self.in_parts(features, at_most or rows_at_once(row_bytes, self._batch_size))]
        return {name: joined([part[name] for part in parts]) for name in self._names}

    def in_parts(self, features: Arrays, at_most: int) -> Parts:
        """The answers to each batch of at most so many rows."""
        for part in batches(len(next(iter(features.values()))), at_most):
            yield part, self({name: array[part] for name, array in features.items()}, part.start)


def require_alike(run: Run, features: Arrays) -> tuple[int, bool]:
    """A few rows are asked again, alone and beside others. Returns how many, and whether their sizes then differ.

    Raises ExportFailure when an answer differs.
    """
    count = len(next(iter(features.values())))
    chosen = sorted({int(row) for row in np.linspace(0, count - 1, SAMPLED_ROWS)})
    few = {name: array[chosen] for name, array in features.items()}
    together = run(few)
    scales = {name: median_sizes(answers) for name, answers in together.items()}
    varies = require_steady(together, run(few), partial(run.in_parts, few), len(chosen), scales)
    return len(chosen), varies


def check_meaning(answers: NamedAnswers, test: Split, job: Job) -> None:
    """Raises ExportFailure when predictions or answers are not what the task takes them for."""
    if job.task == CUSTOM:
        return
    if is_ragged(measured(answers, job)):
        raise ExportFailure(f"{BUILD}, on the test rows: the output {measured_output(answers, job)}: {VARIES}")
    predictions, true_answers = measured_predictions(answers, job), measured(test.answers, job)
    try:
        if predictions.dtype.kind == "f" and not np.isfinite(predictions).any():
            raise WrongMeaning("no row of test is answered with a finite number")
        check_predictions(job.task, predictions)
        check_answers(job.task, true_answers, predictions.shape[-1])
        if job.task == REGRESSION:
            require_as_many(as_rows_of_numbers(predictions, "prediction"), as_true_numbers(true_answers))
    except WrongMeaning as error:
        raise ExportFailure(f"{BUILD}, on the test rows: {error}") from error


def measured_predictions(answers: NamedAnswers, job: Job) -> Array:
    """What the task is about, as it takes it. Raises ExportFailure."""
    return from_probabilities(job.task, measured(answers, job))


def measured(tensors: Arrays, job: Job) -> Array:
    return tensors[measured_output(tensors, job)]


def measured_output(tensors: Arrays, job: Job) -> str:
    """The name of the one that the task is about. Raises ExportFailure."""
    try:
        return layout.measured(tensors, job.measured)
    except layout.Unclear as error:
        advice = "Name it in headgate.toml, as [network] measured"
        raise ExportFailure(f"expected one output that the task is about, got {error}. {advice}") from error


def own_metrics(
    module: ModuleType | SimpleNamespace, context: SimpleNamespace, answers: NamedAnswers, test: Split, job: Job
) -> dict[str, float]:
    own = own_metrics_of(module, context, job)
    if own is None:
        return {}
    given = {name: list(array) if is_ragged(array) else array for name, array in answers.items()}
    prediction, true_answers = (
        next(iter(arrays.values())) if len(arrays) == 1 else arrays for arrays in (given, test.answers)
    )
    return measured_by_the_repository(own, prediction, true_answers)


def findings(run: Run, built: Built, answers: NamedAnswers, own: dict[str, float], job: Job) -> Findings:
    """Raises TrainingFailure and ExportFailure."""
    train, validation, test = (built.splits.get(split) for split in ("train", "validation", "test"))
    threshold = None
    if job.threshold_choice and validation is not None:
        validated = measured_predictions(run.in_batches(validation.features), job)
        threshold = chosen_threshold(validated, measured(validation.answers, job), job)
    leaked = leaked_rows([train.features], test.features) if train is not None and test is not None else None
    return Findings(own, threshold, leaked)
