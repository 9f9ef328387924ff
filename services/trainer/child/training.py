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

from services.trainer.child.context import Rows, TrainingContext, TrainingFailure
from services.trainer.job import Job

SPLITS = ("train", "validation", "test")

TrainFunction = Callable[[TrainingContext], object]


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
    rows = checked_rows(module.datasets(context), job.task)
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


def checked_rows(found: Any, task: str) -> dict[str, Rows]:
    """Features as float32; answers as int64 for classes and as float32 otherwise. Raises TrainingFailure."""
    if not isinstance(found, dict) or not set(SPLITS) <= set(found):
        raise TrainingFailure(f"datasets(context): expected a dict of {', '.join(SPLITS)}")
    rows = {}
    for split in SPLITS:
        try:
            features, answers = (torch.as_tensor(values) for values in found[split])
        except (TypeError, ValueError) as error:
            raise TrainingFailure(f"datasets(context): {split}: expected (features, answers), got {error}") from error
        if features.ndim < 2 or len(features) == 0 or len(answers) != len(features):
            shapes = f"{tuple(features.shape)} and {tuple(answers.shape)}"
            raise TrainingFailure(f"datasets(context): {split}: expected as many answers as rows, got {shapes}")
        answers = answers.to(torch.int64 if task == "multiclass" else torch.float32)
        rows[split] = (features.to(torch.float32).contiguous(), answers.contiguous())
    return rows


def train(context: TrainingContext, train_function: TrainFunction | None) -> None:
    """Trains to the end, with the repository's own loop if it has one. Raises TrainingFailure."""
    if train_function is None:
        train_by_settings(context)
        return
    if train_function(context) is not None:
        raise TrainingFailure("train(context): expected it to train context.network in place and to return nothing")
    if not context.history:
        call = "context.epoch(train_loss, validation_loss)"
        raise TrainingFailure(f"train(context): it reported no epoch; call {call} after each epoch")


def train_by_settings(context: TrainingContext) -> None:
    """Headgate's own loop, as the [train] table says."""
    network, settings = context.network, context.settings
    loss_of = LOSSES[settings.loss]
    optimizer = optimizer_of(settings, network)
    generator = torch.Generator().manual_seed(context.seed)
    features, answers = context.rows["train"]
    for _ in range(context.resume(optimizer, generator), settings.epochs):
        network.train()
        total = torch.zeros(())
        order = torch.randperm(len(features), generator=generator)
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            optimizer.zero_grad()
            loss = loss_of(network(features[rows]), answers[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # The loss is read once per epoch, because reading it at each step costs more than the step.
            total += loss.detach() * len(rows)
        context.epoch(float(total) / len(features), validate(context, loss_of))


def validate(context: TrainingContext, loss_of: Callable[[Tensor, Tensor], Tensor]) -> float:
    context.network.eval()
    features, answers = context.rows["validation"]
    with torch.no_grad():
        return float(loss_of(context.network(features), answers))


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


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "bce": bce, "cross_entropy": cross_entropy}
