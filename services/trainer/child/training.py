"""Loads a model repository's code and trains its network: the same commit, data and seed give the same weights."""

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

from services.trainer.child.course import Course, Rows, TrainingFailure
from services.trainer.job import Job

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is trained, and on what, and the repository's own train(context) where it has one."""

    network: nn.Module
    rows: dict[str, Rows]
    hook: Callable[[Course], object] | None


def be_deterministic() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def prepare(job: Job) -> Subject:
    module = load(Path(job.checkout), job.module)
    context = SimpleNamespace(
        data={name: Path(path) for name, path in job.data.items()}, seed=job.seed, parameters=dict(job.parameters)
    )
    torch.manual_seed(job.seed)
    rows = checked(module.datasets(context), job.task)
    # Seeded again, so that the first weights do not depend on how the data were read.
    torch.manual_seed(job.seed)
    network = module.network(context)
    if not isinstance(network, nn.Module):
        raise TrainingFailure(f"network(context): expected a torch.nn.Module, got {type(network).__name__}")
    hook = getattr(module, "train", None)
    return Subject(network, rows, hook if callable(hook) else None)


def load(checkout: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(checkout))
    module = importlib.import_module(name)
    if not Path(module.__file__ or "/").resolve().is_relative_to(checkout.resolve()):
        raise TrainingFailure(f"code.module: {name} is a module of Python's, not of the repository")
    for function in ("network", "datasets"):
        if not callable(getattr(module, function, None)):
            raise TrainingFailure(f"code.module: {name} defines no {function}(context)")
    return module


def checked(found: Any, task: str) -> dict[str, Rows]:
    """Features as float32; answers as int64 for classes and float32 for the rest."""
    if not isinstance(found, dict) or not set(PARTS) <= set(found):
        raise TrainingFailure(f"datasets(context): expected a dict of {', '.join(PARTS)}")
    rows = {}
    for part in PARTS:
        try:
            features, answers = (torch.as_tensor(values) for values in found[part])
        except (TypeError, ValueError) as error:
            raise TrainingFailure(f"datasets(context): {part}: expected (features, answers), got {error}") from error
        if features.ndim < 2 or len(features) == 0 or len(answers) != len(features):
            shapes = f"{tuple(features.shape)} and {tuple(answers.shape)}"
            raise TrainingFailure(f"datasets(context): {part}: expected as many answers as rows, got {shapes}")
        answers = answers.to(torch.int64 if task == "multiclass" else torch.float32)
        rows[part] = (features.to(torch.float32).contiguous(), answers.contiguous())
    return rows


def train(course: Course, hook: Callable[[Course], object] | None) -> None:
    """Runs the course to its end. Raises TrainingFailure, for a loss that is no number for one."""
    if hook is None:
        train_by_the_table(course)
        return
    if hook(course) is not None:
        raise TrainingFailure("train(context): expected it to train context.network in place and to return nothing")
    if not course.history:
        raise TrainingFailure("train(context): told of no epoch; it calls context.epoch after each")


def train_by_the_table(course: Course) -> None:
    """What the [train] table says."""
    network, settings = course.network, course.settings
    loss_of = LOSSES[settings.loss]
    optimizer = optimizer_of(settings, network)
    generator = torch.Generator().manual_seed(course.seed)
    features, answers = course.rows["train"]
    for _ in range(course.resume(optimizer, generator), settings.epochs):
        network.train()
        total = torch.zeros(())
        order = torch.randperm(len(features), generator=generator)
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            optimizer.zero_grad()
            loss = loss_of(network(features[rows]), answers[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # Read once per epoch: a read per step costs more than the step.
            total += loss.detach() * len(rows)
        course.epoch(float(total) / len(features), validate(course, loss_of))


def validate(course: Course, loss_of: Callable[[Tensor, Tensor], Tensor]) -> float:
    course.network.eval()
    features, answers = course.rows["validation"]
    with torch.no_grad():
        return float(loss_of(course.network(features), answers))


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
    return functional.mse_loss(prediction, alike(answers, prediction))


def bce(prediction: Tensor, answers: Tensor) -> Tensor:
    """On probabilities: the network ends in a sigmoid, so that what serves answers with one."""
    return functional.binary_cross_entropy(prediction, alike(answers, prediction))


def cross_entropy(prediction: Tensor, answers: Tensor) -> Tensor:
    return functional.cross_entropy(prediction, answers.to(torch.int64))


def alike(answers: Tensor, prediction: Tensor) -> Tensor:
    if answers.numel() != prediction.numel():
        shapes = f"{tuple(prediction.shape)} for {tuple(answers.shape)}"
        raise TrainingFailure(f"network: expected one prediction per answer, got {shapes}")
    return answers.to(prediction.dtype).view_as(prediction)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "bce": bce, "cross_entropy": cross_entropy}
