"""Whether a network answers everywhere as it was trained: in ONNX as in torch, and a row alone as beside others.

Callers send rows alone and in batches of any size. A network that looks at the rows beside a row, such as one that
subtracts the mean of its batch, would answer each of them something else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from headgate.artifacts.batches import batches
from services.trainer.child.failure import ExportFailure

Answers = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Run = Callable[[Tensor], Answers]

RELATIVE_TOLERANCE = 1e-4
"""Of the answer itself, or of the median of its column's answers that are not 0, whichever is larger."""
ABSOLUTE_TOLERANCE = 1e-5
"""Added to that, so that answers close to 0 may differ too."""
SAMPLED_ROWS = 8
"""Rows that are asked together, in two batches, and each alone; no more than run at once."""
DIFFERS = "ONNX Runtime and torch differ"
RUNTIMES = ("in torch", "in ONNX Runtime")
DEPENDS = (
    "network: its answer to a row depends on the rows beside it, and callers send rows alone and beside any others."
    " Take what a row is compared with, such as a mean, from the training rows"
)
CHANGES = "network: it answers the same rows differently each time, as with a dropout that stays on in evaluation"
DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}
"""What a prediction may be of, and how the Open Inference Protocol names it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the network answers to the rows, and by how much ONNX Runtime differs from it at most."""

    predictions: Answers
    difference: float


def agree(network: nn.Module, graph: bytes, rows: Tensor, spare: Tensor, at_once: int) -> Agreement:
    """Runs the rows through both, and a few of them alone and in batches of several sizes. Raises ExportFailure.

    The rows run in batches of `at_once`. Where they are too few for a comparison, some `spare` ones are taken too.
    """
    in_torch, in_onnx = torch_run(network), onnx_run(graph)
    trained = run_in_batches(in_torch, rows, at_once)
    if not np.isfinite(trained).any():
        raise ExportFailure("the network answers no row with a finite number, so there is nothing to compare")
    scale = median_sizes(trained)
    few = sample(rows, spare, max(2, min(SAMPLED_ROWS, at_once)))
    together = answers_together(in_torch, few, scale)
    served = run_in_batches(in_onnx, rows, at_once)
    difference = require_same(trained, served, scale, DIFFERS, *RUNTIMES)
    for size in parts_of(few):
        answers = run_in_batches(in_onnx, few, size)
        require_same(together, answers, scale, f"{DIFFERS} for {_rows(size)}", *RUNTIMES)
    return Agreement(trained, difference)


def answers_together(in_torch: Run, few: Tensor, scale: Floats) -> Answers:
    """What the rows are answered with, in one batch. Raises ExportFailure when it is something else in smaller ones."""
    together = in_torch(few)
    require_same(together, in_torch(few), scale, CHANGES, "at first", "then")
    for size in parts_of(few):
        apart = run_in_batches(in_torch, few, size)
        require_same(together, apart, scale, DEPENDS, _in(len(few)), _in(size))
    return together


def parts_of(few: Tensor) -> tuple[int, ...]:
    """Batches of which sizes are tried: one row alone, half of the rows, all of them."""
    return 1, len(few) // 2, len(few)


def torch_run(network: nn.Module) -> Run:
    def run(rows: Tensor) -> Answers:
        try:
            with torch.no_grad():
                prediction = network(rows)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ExportFailure(f"network: it cannot answer {_rows(len(rows))}: {reason}") from error
        require_form(prediction, len(rows))
        answers: Answers = prediction.numpy()
        return answers

    return run


def onnx_run(graph: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(rows: Tensor) -> Answers:
        try:
            answers: Answers = session.run([layout.OUTPUT], {layout.INPUT: rows.numpy()})[0]
        except Exception as error:
            raise ExportFailure(f"ONNX Runtime cannot run the network on {_rows(len(rows))}: {error}") from error
        if len(answers) != len(rows):
            raise ExportFailure(f"the ONNX graph has {len(answers)} answers for {_rows(len(rows))}")
        return answers

    return run


def run_in_batches(run: Run, rows: Tensor, at_once: int) -> Answers:
    return np.concatenate([run(rows[part]) for part in batches(len(rows), at_once)])


def require_form(prediction: object, rows: int) -> None:
    """Raises ExportFailure for anything but one tensor with an answer for each row."""
    if not isinstance(prediction, Tensor) or prediction.ndim < 1 or len(prediction) != rows:
        found = f"the shape {tuple(prediction.shape)}" if isinstance(prediction, Tensor) else type(prediction).__name__
        expected = "expected one tensor with one prediction for each row"
        raise ExportFailure(f"network: {expected}, got {found} for {_rows(rows)}")
    kind = str(prediction.dtype).removeprefix("torch.")
    if kind not in DATATYPES:
        raise ExportFailure(f"network: expected predictions of float32, got {kind}")


def require_same(
    expected: Answers, found: Answers, scale: Floats, fault: str, expected_where: str, found_where: str
) -> float:
    """The largest difference. Raises ExportFailure with the fault and one of them when it is larger than it may be."""
    if found.shape != expected.shape:
        shapes = f"the shape {expected.shape} {expected_where}, {found.shape} {found_where}"
        raise ExportFailure(f"{fault}: {shapes}")
    here, there = expected.astype(np.float64), found.astype(np.float64)
    # Two equal infinities differ by 0, as do two that are not a number; their subtraction would give NaN.
    same = (here == there) | (np.isnan(here) & np.isnan(there))
    here, there = np.where(same, 0.0, here), np.where(same, 0.0, there)
    differences = np.abs(here - there)
    allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.maximum(np.abs(here), scale)
    beyond = ~(np.isfinite(differences) & (differences <= allowed))
    if beyond.any():
        place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
        answers = f"{here[place]:.9g} {expected_where}, {there[place]:.9g} {found_where}"
        raise ExportFailure(f"{fault}: {answers}; the limit is a difference of {allowed[place]:.3g}")
    return float(np.max(differences, initial=0.0))


def median_sizes(answers: Answers) -> Floats:
    """For each column the median size of its answers, without zeros and infinities; 0 where there is none.

    An answer near 0 that is a sum of large numbers is as inexact as they are.
    """
    sizes = np.abs(answers.astype(np.float64)).reshape(len(answers), -1)
    medians = [
        float(np.median(usable)) if (usable := column[np.isfinite(column) & (column > 0)]).size else 0.0
        for column in sizes.T
    ]
    return np.array(medians).reshape(answers.shape[1:])


def sample(rows: Tensor, spare: Tensor, size: int) -> Tensor:
    """So many rows, from the first to the last; spare ones too where there are not enough."""
    chosen = rows[sorted({int(row) for row in np.linspace(0, len(rows) - 1, size)})]
    return torch.cat([chosen, spare[: size - len(chosen)]])


def _rows(count: int) -> str:
    return "one row alone" if count == 1 else f"a batch of {count} rows"


def _in(count: int) -> str:
    return "for the row alone" if count == 1 else f"in {_rows(count)}"
