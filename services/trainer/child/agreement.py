"""Whether a network answers everywhere as it was trained: in ONNX as in torch, and a row alone as beside others.

Callers send rows alone and in batches of any size. A network that looks at the rows beside a row, such as one that
subtracts the mean of its batch, would answer each of them something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from headgate.artifacts.batches import batches
from headgate.artifacts.timed_runs import reason_of, timed_calls, timed_load
from services.trainer.child.comparing import (
    SAMPLED_ROWS,
    Floats,
    NamedAnswers,
    Parts,
    median_sizes,
    parts_of,
    require_same_answers,
    require_same_beginnings,
    require_steady,
    rows_in_words,
)
from services.trainer.child.dimensions import Dimensions, resized, sizes_of
from services.trainer.child.failure import ExportFailure
from services.trainer.child.losses import Form
from services.trainer.child.ragged import ROWS_FIRST, columns_of, is_ragged, joined
from services.trainer.child.tensors import (
    Named,
    Tensors,
    caller,
    count_rows,
    datatype,
    inputs,
    is_storable,
    part_of,
    row_shapes,
)

Run = Callable[[Tensors], NamedAnswers]

DIFFERS = "ONNX Runtime and torch differ"
EXPECTED_FORM = "expected tensors with a prediction for each row"
RUNTIMES = ("in torch", "in ONNX Runtime")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the network answers to the rows, by output, and by how much ONNX Runtime differs from it at most."""

    answers: NamedAnswers
    difference: float
    rows_apart: int
    """How many rows were answered alone as beside others."""
    varies: bool
    """Whether rows have another size beside others."""


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
    in_parts = list(parts_run(in_torch, rows, at_once))
    trained = joined_parts(in_parts)
    for name, answers in trained.items():
        if len(values := columns_of(answers)) and not np.isfinite(values).any():
            answer = "" if name == layout.OUTPUT else f" as {name}"
            raise ExportFailure(
                f"the network answers no row with a finite number{answer}, so there is nothing to compare"
            )
    scales = {name: median_sizes(answers) for name, answers in trained.items()}
    few = sample(rows, spare, max(2, min(SAMPLED_ROWS, at_once)))
    together, varies = answers_together(in_torch, few, scales)
    differences = [
        require_same_answers(answers, in_onnx(part_of(rows, part)), scales, DIFFERS, *RUNTIMES)
        for part, answers in in_parts
    ]
    for size in parts_of(count_rows(few)):
        apart = parts_run(in_onnx, few, size)
        require_same_beginnings(together, apart, scales, f"{DIFFERS} for {rows_in_words(size)}", *RUNTIMES)
    agree_at_other_sizes(in_torch, in_onnx, few, dimensions)
    varies = varies or any(map(is_ragged, trained.values()))
    return Agreement(trained, max(differences), count_rows(few), varies)


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


def answers_together(in_torch: Run, few: Tensors, scales: Mapping[str, Floats]) -> tuple[NamedAnswers, bool]:
    """What the rows are answered with, in one batch, and whether they have another size in smaller ones.

    Raises ExportFailure when it is something else in smaller ones.
    """
    together = in_torch(few)
    apart = partial(parts_run, in_torch, few)
    return together, require_steady(together, in_torch(few), apart, count_rows(few), scales)


def torch_run(network: nn.Module, features: Tensors, form: Form) -> Run:
    call = caller(network, features)

    def run(rows: Tensors) -> NamedAnswers:
        try:
            with torch.no_grad():
                answer = call(rows)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ExportFailure(f"network: it cannot answer {rows_in_words(count_rows(rows))}: {reason}") from error
        outputs = checked_outputs(answer, count_rows(rows), form)
        return {name: tensor.detach().numpy() for name, tensor in outputs.items()}

    return run


def onnx_run(graph: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = timed_load(graph, options)
    except Exception as error:
        raise ExportFailure(f"ONNX Runtime cannot run the network: {reason_of(error)}") from error
    names = [node.name for node in session.get_outputs()]

    def run(rows: Tensors) -> NamedAnswers:
        arrays = {name: tensor.numpy() for name, tensor in inputs(rows).items()}
        try:
            with timed_calls(session) as call:
                answers: NamedAnswers = dict(zip(names, call(names, arrays), strict=True))
        except Exception as error:
            raise ExportFailure(
                f"ONNX Runtime cannot run the network on {rows_in_words(count_rows(rows))}: {reason_of(error)}"
            ) from error
        wrong = next((len(found) for found in answers.values() if len(found) != count_rows(rows)), None)
        if wrong is not None:
            raise ExportFailure(f"the ONNX graph has {wrong} answers for {rows_in_words(count_rows(rows))}")
        return answers

    return run


def run_in_batches(run: Run, rows: Tensors, at_once: int) -> NamedAnswers:
    return joined_parts(parts_run(run, rows, at_once))


def parts_run(run: Run, rows: Tensors, at_once: int) -> Parts:
    """The answers to each batch of at most so many rows."""
    for part in batches(count_rows(rows), at_once):
        yield part, run(part_of(rows, part))


def joined_parts(parts: Parts) -> NamedAnswers:
    found = [answers for _, answers in parts]
    return {name: joined([answers[name] for answers in found]) for name in found[0]}


def checked_outputs(answer: Any, rows: int, form: Form) -> Named:
    """What the network answered, by name. Raises ExportFailure for anything but tensors with a part for each row."""
    try:
        outputs = form.outputs(answer)
    except layout.Unclear as error:
        raise ExportFailure(f"network: expected one output that the task is about, got {error}") from error
    except TypeError as error:
        raise ExportFailure(f"network: {EXPECTED_FORM}, got {error} for {rows_in_words(rows)}") from error
    for name, tensor in outputs.items():
        where = "" if isinstance(answer, Tensor) else f"{name}: "
        if tensor.ndim < 1 or len(tensor) != rows:
            found = f"the shape {tuple(tensor.shape)} for {rows_in_words(rows)}{ROWS_FIRST if tensor.ndim else ''}"
            raise ExportFailure(f"network: {where}{EXPECTED_FORM}, got {found}")
        if not is_storable(tensor):
            kind = datatype(tensor)
            raise ExportFailure(f"network: {where}no ONNX graph answers with {kind}; answer, for example, float32")
    return outputs


def sample(rows: Tensors, spare: Tensors, size: int) -> Tensors:
    """So many rows, from the first to the last; spare ones of the same shape too where there are not enough."""
    chosen = part_of(rows, torch.tensor(sorted({int(row) for row in np.linspace(0, count_rows(rows) - 1, size)})))
    missing = slice(size - count_rows(chosen))
    if row_shapes(chosen) != row_shapes(spare):
        return chosen
    if isinstance(chosen, Tensor) and isinstance(spare, Tensor):
        return torch.cat([chosen, spare[missing]])
    others = inputs(spare)
    return {name: torch.cat([tensor, others[name][missing]]) for name, tensor in inputs(chosen).items()}
