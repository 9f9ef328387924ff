"""Whether a network answers everywhere as it was trained: in ONNX as in torch, and a row alone as beside others.

Callers send rows alone and in batches of any size. A network that looks at the rows beside a row, such as one that
subtracts the mean of its batch, would answer each of them something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from headgate.artifacts.batches import batches
from services.trainer.child.dimensions import Dimensions, resized, sizes_of
from services.trainer.child.failure import ExportFailure
from services.trainer.child.losses import Form
from services.trainer.child.tensors import (
    Named,
    Tensors,
    caller,
    count_rows,
    datatype,
    inputs,
    is_storable,
    part_of,
)

Answers = npt.NDArray[np.generic]
NamedAnswers = dict[str, Answers]
Floats = npt.NDArray[np.float64]
Run = Callable[[Tensors], NamedAnswers]

RELATIVE_TOLERANCE = 1e-4
"""Of the answer itself, or of the median of its column's answers that are not 0, whichever is larger."""
ABSOLUTE_TOLERANCE = 1e-5
"""Added to that, so that answers close to 0 may differ too."""
SAMPLED_ROWS = 8
"""Rows that are asked together, in two batches, and each alone; no more than run at once."""
DIFFERS = "ONNX Runtime and torch differ"
EXPECTED_FORM = "expected tensors with a prediction for each row"
RUNTIMES = ("in torch", "in ONNX Runtime")
DEPENDS = (
    "network: its answer to a row depends on the rows beside it, and callers send rows alone and beside any others."
    " Take what a row is compared with, such as a mean, from the training rows"
)
CHANGES = "network: it answers the same rows differently each time, as with a dropout that stays on in evaluation"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the network answers to the rows, by output, and by how much ONNX Runtime differs from it at most."""

    answers: NamedAnswers
    difference: float


def agree(
    network: nn.Module,
    graph: bytes,
    rows: Tensors,
    spare: Tensors,
    at_once: int,
    dimensions: Dimensions,
    form: Form,
) -> Agreement:
    """Runs the rows through both, and a few of them alone and in batches of several sizes. Raises ExportFailure.

    The rows run in batches of `at_once`. Where they are too few for a comparison, some `spare` ones are taken too.
    A few rows also run with other sizes of each dimension that varies.
    """
    in_torch, in_onnx = torch_run(network, rows, form), onnx_run(graph)
    trained = run_in_batches(in_torch, rows, at_once)
    for name, answers in trained.items():
        if not np.isfinite(answers).any():
            answer = "" if name == layout.OUTPUT else f" as {name}"
            raise ExportFailure(
                f"the network answers no row with a finite number{answer}, so there is nothing to compare"
            )
    scales = {name: median_sizes(answers) for name, answers in trained.items()}
    few = sample(rows, spare, max(2, min(SAMPLED_ROWS, at_once)))
    together = answers_together(in_torch, few, scales)
    served = run_in_batches(in_onnx, rows, at_once)
    difference = require_same_answers(trained, served, scales, DIFFERS, *RUNTIMES)
    for size in parts_of(few):
        answers_apart = run_in_batches(in_onnx, few, size)
        require_same_answers(together, answers_apart, scales, f"{DIFFERS} for {_rows(size)}", *RUNTIMES)
    agree_at_other_sizes(in_torch, in_onnx, few, dimensions)
    return Agreement(trained, difference)


def agree_at_other_sizes(in_torch: Run, in_onnx: Run, few: Tensors, dimensions: Dimensions) -> None:
    """Runs the rows with half and with twice the size of each dimension that varies, where the network itself can."""
    for dimension, size in sizes_of(few, dimensions).items():
        for other in (max(1, size // 2), 2 * size):
            rows = resized(few, dimensions, dimension, other)
            try:
                trained = in_torch(rows)
            except ExportFailure:
                continue  # It is made for larger or smaller ones: the caller of such a size gets an error.
            scales = {name: median_sizes(answers) for name, answers in trained.items()}
            require_same_answers(trained, in_onnx(rows), scales, f"{DIFFERS} for {dimension} = {other}", *RUNTIMES)


def answers_together(in_torch: Run, few: Tensors, scales: Mapping[str, Floats]) -> NamedAnswers:
    """What the rows are answered with, in one batch. Raises ExportFailure when it is something else in smaller ones."""
    together = in_torch(few)
    require_same_answers(together, in_torch(few), scales, CHANGES, "at first", "then")
    for size in parts_of(few):
        apart = run_in_batches(in_torch, few, size)
        require_same_answers(together, apart, scales, DEPENDS, _in(count_rows(few)), _in(size))
    return together


def parts_of(few: Tensors) -> tuple[int, ...]:
    """Batches of which sizes are tried: one row alone, half of the rows, all of them."""
    rows = count_rows(few)
    return 1, max(1, rows // 2), rows


def torch_run(network: nn.Module, features: Tensors, form: Form) -> Run:
    call = caller(network, features)

    def run(rows: Tensors) -> NamedAnswers:
        try:
            with torch.no_grad():
                answer = call(rows)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ExportFailure(f"network: it cannot answer {_rows(count_rows(rows))}: {reason}") from error
        outputs = checked_outputs(answer, count_rows(rows), form)
        return {name: tensor.detach().numpy() for name, tensor in outputs.items()}

    return run


def onnx_run(graph: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportFailure(f"ONNX Runtime cannot run the network: {error}") from error
    names = [node.name for node in session.get_outputs()]

    def run(rows: Tensors) -> NamedAnswers:
        arrays = {name: tensor.numpy() for name, tensor in inputs(rows).items()}
        try:
            answers: NamedAnswers = dict(zip(names, session.run(names, arrays), strict=True))
        except Exception as error:
            raise ExportFailure(f"ONNX Runtime cannot run the network on {_rows(count_rows(rows))}: {error}") from error
        wrong = next((len(found) for found in answers.values() if len(found) != count_rows(rows)), None)
        if wrong is not None:
            raise ExportFailure(f"the ONNX graph has {wrong} answers for {_rows(count_rows(rows))}")
        return answers

    return run


def run_in_batches(run: Run, rows: Tensors, at_once: int) -> NamedAnswers:
    found = [run(part_of(rows, part)) for part in batches(count_rows(rows), at_once)]
    return {name: np.concatenate([answers[name] for answers in found]) for name in found[0]}


def checked_outputs(answer: Any, rows: int, form: Form) -> Named:
    """What the network answered, by name. Raises ExportFailure for anything but tensors with a part for each row."""
    try:
        outputs = form.outputs(answer)
    except layout.Unclear as error:
        raise ExportFailure(f"network: expected one output that the task is about, got {error}") from error
    except TypeError as error:
        raise ExportFailure(f"network: {EXPECTED_FORM}, got {error} for {_rows(rows)}") from error
    for name, tensor in outputs.items():
        where = "" if isinstance(answer, Tensor) else f"{name}: "
        if tensor.ndim < 1 or len(tensor) != rows:
            found = f"the shape {tuple(tensor.shape)}"
            raise ExportFailure(f"network: {where}{EXPECTED_FORM}, got {found} for {_rows(rows)}")
        if not is_storable(tensor):
            kind = datatype(tensor)
            raise ExportFailure(f"network: {where}no ONNX graph answers with {kind}; answer, for example, float32")
    return outputs


def require_same_answers(
    expected: NamedAnswers, found: NamedAnswers, scales: Mapping[str, Floats], fault: str, *where: str
) -> float:
    """The largest difference of all outputs. Raises ExportFailure as require_same does."""
    if list(found) != list(expected):
        raise ExportFailure(f"{fault}: {', '.join(expected)} {where[0]}, {', '.join(found)} {where[1]}")
    named = {name: fault if name == layout.OUTPUT else f"{fault} in {name}" for name in expected}
    here, there = where
    return max(require_same(expected[name], found[name], scales[name], named[name], here, there) for name in expected)


def require_same(
    expected: Answers, found: Answers, scale: Floats, fault: str, expected_where: str, found_where: str
) -> float:
    """The largest difference. Raises ExportFailure with the fault and one of them when it is larger than it may be."""
    if found.dtype != expected.dtype:
        kinds = f"the datatype {expected.dtype} {expected_where}, {found.dtype} {found_where}"
        raise ExportFailure(f"{fault}: {kinds}")
    if found.shape != expected.shape:
        shapes = f"the shape {expected.shape} {expected_where}, {found.shape} {found_where}"
        raise ExportFailure(f"{fault}: {shapes}")
    here, there = expected.astype(np.float64), found.astype(np.float64)
    # Two equal infinities differ by 0, as do two that are not a number; their subtraction would give NaN.
    same = (here == there) | (np.isnan(here) & np.isnan(there))
    here, there = np.where(same, 0.0, here), np.where(same, 0.0, there)
    differences = np.abs(here - there)
    allowed = ABSOLUTE_TOLERANCE + relative_tolerance(expected) * np.maximum(np.abs(here), scale)
    beyond = ~(np.isfinite(differences) & (differences <= allowed))
    if beyond.any():
        place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
        answers = f"{here[place]:.9g} {expected_where}, {there[place]:.9g} {found_where}"
        raise ExportFailure(f"{fault}: {answers}; the limit is a difference of {allowed[place]:.3g}")
    return float(np.max(differences, initial=0.0))


def relative_tolerance(answers: Answers) -> float:
    """RELATIVE_TOLERANCE, or twice the distance of neighbouring values where the datatype is coarser than that."""
    if answers.dtype.kind != "f":
        return RELATIVE_TOLERANCE
    return max(RELATIVE_TOLERANCE, 2 * float(np.spacing(np.ones((), answers.dtype))))


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


def sample(rows: Tensors, spare: Tensors, size: int) -> Tensors:
    """So many rows, from the first to the last; spare ones of the same shape too where there are not enough."""
    chosen = part_of(rows, torch.tensor(sorted({int(row) for row in np.linspace(0, count_rows(rows) - 1, size)})))
    missing = slice(size - count_rows(chosen))
    if _row_shapes(chosen) != _row_shapes(spare):
        return chosen
    if isinstance(chosen, Tensor) and isinstance(spare, Tensor):
        return torch.cat([chosen, spare[missing]])
    others = inputs(spare)
    return {name: torch.cat([tensor, others[name][missing]]) for name, tensor in inputs(chosen).items()}


def _row_shapes(rows: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape[1:]) for name, tensor in inputs(rows).items()}


def _rows(count: int) -> str:
    return "one row alone" if count == 1 else f"a batch of {count} rows"


def _in(count: int) -> str:
    return "for the row alone" if count == 1 else f"in {_rows(count)}"
