"""Takes one batch all the way to its ONNX graph before the first epoch, so that what cannot end well ends at once.

Afterwards network and random generators are as they were: the training gives the same weights with it as without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headgate.artifacts.answers import (
    BINARY,
    CUSTOM,
    MULTICLASS,
    REGRESSION,
    WrongMeaning,
    as_rows_of_numbers,
    as_true_numbers,
    check_answers,
    check_predictions,
    require_as_many,
)
from headgate.artifacts.batches import rows_at_once
from services.trainer.child.agreement import checked_outputs
from services.trainer.child.checkpoint import random_state, set_random_state, weights
from services.trainer.child.exporting import graph_of, measured_output
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.findings import check_findings
from services.trainer.child.losses import OWN, compared, form_of
from services.trainer.child.rows import measured_answers_of, place_of
from services.trainer.child.tensors import (
    Named,
    Rows,
    Tensors,
    caller,
    count_rows,
    datatype,
    described,
    inputs,
    part_of,
    row_bytes,
    row_shapes,
)
from services.trainer.child.training import LoadedModel
from services.trainer.job import Job

ONE_ROW = "Expected more than 1 value per channel"
"""How torch says that it cannot normalise over one row."""


def rehearse(model: LoadedModel, job: Job) -> None:
    """Raises TrainingFailure and ExportFailure."""
    features, _ = model.rows["train"]
    batch = slice(0, rows_at_once(row_bytes(features), job.batch_size))
    example = part_of(features, batch)
    with untouched(model.network):
        model.network.eval()
        outputs = outputs_for(model.network, example, job)
        if job.task != CUSTOM:
            check_meaning(job, measured_output(outputs, job.measured), model, batch)
        check_features(model, batch)
        if model.loss is not None:
            check_classes(job, model)
            check_loss(job, model, rows_of(model.rows["train"], batch))
        model.network.eval()
        check_findings(model, job)
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


def first_answer(network: nn.Module, features: Tensors, with_gradients: bool = False) -> Any:
    try:
        with torch.set_grad_enabled(with_gradients):
            return caller(network, features)(features)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise TrainingFailure(
            f"network: it cannot answer rows of {described(features)}: {reason}{advice(features, error)}"
        ) from error


def advice(features: Tensors, error: Exception) -> str:
    """What to do when the network was written for another datatype, or needs more than one row at once."""
    if ONE_ROW in str(error):
        return ". It normalises over the rows of a batch, which takes two at least: set train.batch_size to 2 or more"
    others = sorted({datatype(tensor) for tensor in inputs(features).values()} - {"float32"})
    if not others or "type" not in str(error).lower():
        return ""
    kinds = " and ".join(others)
    return f". Features keep their datatype, here {kinds}; convert them in datasets(context), as by features.float()"


def outputs_for(network: nn.Module, features: Tensors, job: Job) -> Named:
    """What the network serves for the rows. Raises TrainingFailure and ExportFailure."""
    return checked_outputs(first_answer(network, features), count_rows(features), form_of(job))


def check_meaning(job: Job, prediction: Tensor, model: LoadedModel, batch: slice) -> None:
    """Raises TrainingFailure when predictions or answers are not what the task takes them for.

    `prediction` is for a batch of the training rows.
    """
    where = "network"
    shapes = row_shapes(model.rows["train"][0])
    try:
        check_predictions(job.task, prediction.numpy())
        for split, (features, answers) in model.rows.items():
            where = f"datasets(context): {split}"
            true_answers = measured_answers_of(answers, job.measured).numpy()
            check_answers(job.task, true_answers, prediction.shape[-1])
            if job.task == REGRESSION:
                where = "network"
                # Rows of another length may have as many more answers.
                alike = row_shapes(features) == shapes
                outputs = {} if alike else outputs_for(model.network, part_of(features, batch), job)
                found = prediction if alike else measured_output(outputs, job.measured)
                require_as_many(as_rows_of_numbers(found.numpy(), "prediction"), as_true_numbers(true_answers))
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error


def check_loss(job: Job, model: LoadedModel, rows: Rows) -> None:
    """Computes the loss once as in validation and once as in training. Raises TrainingFailure."""
    features, answers = rows
    assert model.loss is not None
    for training in (False, True):
        model.network.train(training)
        answer = first_answer(model.network, features, with_gradients=training)
        try:
            with torch.set_grad_enabled(training):
                found = model.loss(answer, answers)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            prediction, true_answers = compared(job, answer, answers)
            shapes = f"predictions of {described(prediction)} and answers of {described(true_answers)}"
            raise TrainingFailure(f"train.loss: {job.loss} cannot compare {shapes}: {error}") from error
        if not torch.isfinite(found):
            raise TrainingFailure(f"the loss of the first rows is {float(found)} before any training")


def check_classes(job: Job, model: LoadedModel) -> None:
    """Raises TrainingFailure when the built-in loss would learn to answer the one class that there is."""
    if model.stream is None and model.train_function is None and job.loss != OWN and job.task in (BINARY, MULTICLASS):
        answers = measured_answers_of(model.rows["train"][1], job.measured)
        if len(answers) > 1 and bool((answers == answers.reshape(-1)[0]).all()):
            found = f"every answer is {answers.reshape(-1)[0].item():g}"
            raise TrainingFailure(f"datasets(context): train: {found}; a training needs rows of at least two classes")


def check_features(model: LoadedModel, batch: slice) -> None:
    """Raises TrainingFailure when the network answers rows with a missing value with such a value."""
    for split, (features, _) in model.rows.items():
        rows = rows_not_finite(features)[batch]
        if not len(rows):
            continue
        chosen = part_of(features, rows)
        outputs = first_answer(model.network, chosen)
        found = outputs if isinstance(outputs, Tensor) else None
        if found is not None and found.is_floating_point() and not torch.isfinite(found).all():
            row = int(torch.nonzero(~torch.isfinite(found))[0][0])
            raise TrainingFailure(
                f"datasets(context): {split}: {first_not_finite(features, int(rows[row]))}, and the network answers"
                " this row with nan; fill in such values or leave out such rows"
            )


def rows_not_finite(features: Tensors) -> Tensor:
    """The rows that have a value that is no finite number."""
    found = torch.zeros(count_rows(features), dtype=torch.bool)
    for tensor in inputs(features).values():
        if tensor.is_floating_point():
            found |= ~torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1)
    return torch.nonzero(found).flatten()


def first_not_finite(features: Tensors, row: int) -> str:
    """The place and the value of the first one in this row."""
    for name, tensor in inputs(features).items():
        if tensor.is_floating_point() and not torch.isfinite(tensor[row]).all():
            place = [row, *(int(index) for index in torch.nonzero(~torch.isfinite(tensor[row]))[0])]
            return f"{name} of {place_of(place)} is {float(tensor[tuple(place)])}"
    return f"row {row}"
