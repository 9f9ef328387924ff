"""Takes one batch all the way to its ONNX graph before the first epoch, so that what cannot end well ends at once.

Afterwards network and random generators are as they were: the training gives the same weights with it as without.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headgate.artifacts.answers import WrongMeaning, check_answers, check_predictions
from headgate.artifacts.batches import rows_at_once
from services.trainer.child.agreement import require_form
from services.trainer.child.checkpoint import random_state, set_random_state, weights
from services.trainer.child.exporting import checked
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.onnx_graph import onnx_of
from services.trainer.child.rows import Rows
from services.trainer.child.training import LOSSES, LoadedModel
from services.trainer.job import Job


def rehearse(model: LoadedModel, job: Job) -> None:
    """Raises TrainingFailure and ExportFailure."""
    features, answers = model.rows["train"]
    batch = slice(0, rows_at_once(features[0].nbytes, job.batch_size))
    with untouched(model.network):
        model.network.eval()
        prediction = first_prediction(model.network, features[batch])
        check_meaning(job.task, prediction, model.rows)
        if model.train_function is None:
            check_loss(job.loss, prediction, answers[batch])
        graph = onnx_of(model.network, features[batch])
        checked(model.network, graph, {split: rows_of(rows, batch) for split, rows in model.rows.items()}, job)


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
    return features[part], answers[part]


def first_prediction(network: nn.Module, features: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            prediction: Tensor = network(features)
    except Exception as error:
        shape = tuple(features.shape)
        raise TrainingFailure(
            f"network: it cannot answer rows of the shape {shape}: {type(error).__name__}: {error}"
        ) from error
    require_form(prediction, len(features))
    return prediction


def check_meaning(task: str, prediction: Tensor, rows: dict[str, Rows]) -> None:
    """Raises TrainingFailure when predictions or answers are not what the task takes them for."""
    where = "network"
    try:
        check_predictions(task, prediction.numpy())
        for split, (_, answers) in rows.items():
            where = f"datasets(context): {split}"
            check_answers(task, answers.numpy(), prediction.shape[-1])
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error


def check_loss(name: str, prediction: Tensor, answers: Tensor) -> None:
    try:
        LOSSES[name](prediction, answers)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shapes = f"predictions of the shape {tuple(prediction.shape)} and answers of the shape {tuple(answers.shape)}"
        raise TrainingFailure(f"train.loss: {name} cannot compare {shapes}: {error}") from error
