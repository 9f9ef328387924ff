"""Loads a repository's code and trains its network. The same commit, data and seed give the same weights."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headgate.artifacts.batches import batches, rows_at_once
from headgate.artifacts.layout import measured
from services.trainer.child.context import TrainingContext
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.rows import checked_rows, measured_answers_of
from services.trainer.child.tensors import Rows, Tensors, caller, count_rows, outputs_of, part_of, row_bytes
from services.trainer.job import Job

TrainFunction = Callable[[TrainingContext], object]
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a repository defines: its network, its rows, and its own train(context) if it has one."""

    network: nn.Module
    rows: dict[str, Rows]
    train_function: TrainFunction | None


def make_deterministic() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def load_model(job: Job) -> LoadedModel:
    """Runs the repository's network(context) and datasets(context). Raises TrainingFailure."""
    module = load_module(Path(job.checkout), job.module)
    context = SimpleNamespace(
        data={name: Path(path) for name, path in job.data.items()}, seed=job.seed, parameters=dict(job.parameters)
    )
    torch.manual_seed(job.seed)
    rows = checked_rows(module.datasets(context), job.task, job.measured)
    # The seed is set again, so that the first weights do not depend on how the data were read.
    torch.manual_seed(job.seed)
    network = module.network(context)
    if not isinstance(network, nn.Module):
        raise TrainingFailure(f"network(context): expected a torch.nn.Module, got {type(network).__name__}")
    function = getattr(module, "train", None)
    return LoadedModel(network, rows, function if callable(function) else None)


def load_module(checkout: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(checkout))
    module = importlib.import_module(name)
    if not Path(module.__file__ or "/").resolve().is_relative_to(checkout.resolve()):
        raise TrainingFailure(f"code.module: {name} is found outside the repository; rename the repository's module")
    for function in ("network", "datasets"):
        if not callable(getattr(module, function, None)):
            raise TrainingFailure(f"code.module: {name} defines no {function}(context)")
    return module


def train(context: TrainingContext, train_function: TrainFunction | None, job: Job) -> None:
    """Trains to the end, with the repository's own loop if it has one. Raises TrainingFailure."""
    if train_function is None:
        train_by_settings(context, job)
        return
    if train_function(context) is not None:
        raise TrainingFailure("train(context): expected it to train context.network in place and to return nothing")
    if not context.history:
        call = "context.epoch(train_loss, validation_loss)"
        raise TrainingFailure(f"train(context): it reported no epoch; call {call} after each epoch")


def train_by_settings(context: TrainingContext, job: Job) -> None:
    """Headgate's own loop, as the [train] table says."""
    network, settings = context.network, context.settings
    optimizer = optimizer_of(settings, network)
    generator = torch.Generator().manual_seed(context.seed)
    features, answers = context.rows["train"]
    call, rows = caller(network, features), count_rows(features)
    for _ in range(context.resume(optimizer, generator), settings.epochs):
        network.train()
        total = torch.zeros(())
        order = torch.randperm(rows, generator=generator)
        for part in batches(rows, settings.batch_size):
            chosen = order[part]
            optimizer.zero_grad()
            loss = loss_of(job, call(part_of(features, chosen)), part_of(answers, chosen))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # The loss is read once per epoch, because reading it at each step costs more than the step.
            total += loss.detach() * len(chosen)
        context.epoch(float(total) / rows, validate(context, job))


def validate(context: TrainingContext, job: Job) -> float:
    """The mean loss over the validation rows, a bounded number of them at a time."""
    context.network.eval()
    features, answers = context.rows["validation"]
    call, rows, total = caller(context.network, features), count_rows(features), 0.0
    with torch.no_grad():
        for part in batches(rows, rows_at_once(row_bytes(features), context.settings.batch_size)):
            loss = loss_of(job, call(part_of(features, part)), part_of(answers, part))
            total += float(loss) * (part.stop - part.start)
    return total / rows


def loss_of(job: Job, answer: Any, answers: Tensors) -> Tensor:
    return LOSSES[job.loss](*compared(job, answer, answers))


def compared(job: Job, answer: Any, answers: Tensors) -> tuple[Tensor, Tensor]:
    """The prediction and the answers that a loss of [train] compares. Raises Unclear."""
    if isinstance(answer, Tensor) and isinstance(answers, Tensor):
        return answer, answers
    outputs = outputs_of(answer, job.outputs)
    return outputs[measured(outputs, job.measured)], measured_answers_of(answers, job.measured)


def optimizer_of(settings: SimpleNamespace, network: nn.Module) -> torch.optim.Optimizer:
    weights, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
        case _:
            raise TrainingFailure(f"train.optimizer: {settings.optimizer} is unknown")


def mse(prediction: Tensor, answers: Tensor) -> Tensor:
    return functional.mse_loss(prediction, match_shape(answers, prediction))


def bce(prediction: Tensor, answers: Tensor) -> Tensor:
    """Takes probabilities: the network ends in a sigmoid, so that it serves probabilities too."""
    return functional.binary_cross_entropy(prediction, match_shape(answers, prediction))


def cross_entropy(prediction: Tensor, answers: Tensor) -> Tensor:
    return functional.cross_entropy(prediction, answers.to(torch.int64))


def match_shape(answers: Tensor, prediction: Tensor) -> Tensor:
    if answers.numel() != prediction.numel():
        shapes = f"{tuple(prediction.shape)} for {tuple(answers.shape)}"
        raise TrainingFailure(f"network: expected one prediction per answer, got {shapes}")
    return answers.to(prediction.dtype).view_as(prediction)


LOSSES: dict[str, LossFunction] = {"mse": mse, "bce": bce, "cross_entropy": cross_entropy}
