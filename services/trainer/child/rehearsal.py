"""Takes one batch all the way to its ONNX graph before the first epoch, so that what cannot end well ends at once.

Afterwards network and random generators are as they were: the training gives the same weights with it as without.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headgate.artifacts.answers import CUSTOM, WrongMeaning, check_answers, check_predictions
from headgate.artifacts.batches import rows_at_once
from services.trainer.child.agreement import checked_outputs
from services.trainer.child.checkpoint import random_state, set_random_state, weights
from services.trainer.child.exporting import graph_of, measured_output
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.rows import measured_answers_of
from services.trainer.child.tensors import (
    Rows,
    Tensors,
    caller,
    count_rows,
    datatype,
    described,
    inputs,
    part_of,
    row_bytes,
)
from services.trainer.child.training import LOSSES, LoadedModel, compared
from services.trainer.job import Job


def rehearse(model: LoadedModel, job: Job) -> None:
    """Raises TrainingFailure and ExportFailure."""
    features, answers = model.rows["train"]
    batch = slice(0, rows_at_once(row_bytes(features), job.batch_size))
    example = part_of(features, batch)
    with untouched(model.network):
        model.network.eval()
        answer = first_answer(model.network, example)
        outputs = checked_outputs(answer, count_rows(example), job.outputs)
        if job.task != CUSTOM:
            check_meaning(job, measured_output(outputs, job.measured), model.rows)
        if model.train_function is None:
            check_loss(job, answer, part_of(answers, batch))
        graph_of(model.network, example, {split: rows_of(rows, batch) for split, rows in model.rows.items()}, job)


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Restores the network and the random generators at the end."""
    modes = {module: module.training for module in network.modules()}
    # A lazy layer has weights only once it has seen rows.
    before = {name: value.detach().clone() for name, value in weights(network).items() if not is_lazy(value)}
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
        with torch.no_grad():
            for name, value in weights(network).items():
                if name in before:
                    value.copy_(before[name])
        for module, mode in modes.items():
            module.training = mode


def rows_of(rows: Rows, part: slice) -> Rows:
    features, answers = rows
    return part_of(features, part), part_of(answers, part)


def first_answer(network: nn.Module, features: Tensors) -> Any:
    try:
        with torch.no_grad():
            return caller(network, features)(features)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise TrainingFailure(
            f"network: it cannot answer rows of {described(features)}: {reason}{advice(features, error)}"
        ) from error


def advice(features: Tensors, error: Exception) -> str:
    """What to do when the network was written for another datatype."""
    others = sorted({datatype(tensor) for tensor in inputs(features).values()} - {"float32"})
    if not others or "type" not in str(error).lower():
        return ""
    kinds = " and ".join(others)
    return f". Features keep their datatype, here {kinds}; convert them in datasets(context), as by features.float()"


def check_meaning(job: Job, prediction: Tensor, rows: Mapping[str, Rows]) -> None:
    """Raises TrainingFailure when predictions or answers are not what the task takes them for."""
    where = "network"
    try:
        check_predictions(job.task, prediction.numpy())
        for split, (_, answers) in rows.items():
            where = f"datasets(context): {split}"
            columns = prediction.shape[-1]
            check_answers(job.task, measured_answers_of(answers, job.measured).numpy(), columns)
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error


def check_loss(job: Job, answer: Any, answers: Tensors) -> None:
    prediction, true_answers = compared(job, answer, answers)
    try:
        LOSSES[job.loss](prediction, true_answers)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shapes = f"predictions of {described(prediction)} and answers of {described(true_answers)}"
        raise TrainingFailure(f"train.loss: {job.loss} cannot compare {shapes}: {error}") from error
