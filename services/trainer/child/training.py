"""Loads a repository's code and trains its network. The same commit, data and seed give the same weights."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from headgate.artifacts.batches import batches, rows_at_once
from services.trainer.child.context import TrainingContext, TrialEnded
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.loading import called, context_of, function_of, load_module, own_metrics_of
from services.trainer.child.losses import OWN, Loss, loss_of
from services.trainer.child.own_metrics import OwnMetrics
from services.trainer.child.rows import checked_rows
from services.trainer.child.streams import Stream, in_memory, read_streams
from services.trainer.child.tensors import Rows, caller, count_rows, part_of, row_bytes
from services.trainer.job import Job

TrainFunction = Callable[[TrainingContext], object]
FUNCTIONS = ("network", "datasets")
OWN_LOSS = "loss(context, prediction, answers)"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a repository defines: its network, its rows, its loss or that of [train], its own train(context) if any."""

    network: nn.Module
    rows: dict[str, Rows]
    stream: Stream | None
    """The training rows, where they are read batch by batch. `rows` then has the first batch."""
    train_function: TrainFunction | None
    loss: Loss | None
    """None where the repository's own train(context) has its own."""
    own_metrics: OwnMetrics | None = None


def make_deterministic() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def load_model(job: Job) -> LoadedModel:
    """Runs the repository's network(context) and datasets(context). Raises TrainingFailure."""
    module = load_module(Path(job.checkout), job.module, FUNCTIONS)
    context = context_of(job)
    torch.manual_seed(job.seed)
    rows, stream = called("datasets(context)", job, read_datasets, module, context, job)
    # The seed is set again, so that the first weights do not depend on how the data were read.
    torch.manual_seed(job.seed)
    network = called("network(context)", job, module.network, context)
    if not isinstance(network, nn.Module):
        raise TrainingFailure(f"network(context): expected a torch.nn.Module, got {type(network).__name__}")
    train_function = function_of(module, "train")
    own = own_loss(module, job, context)
    needed = train_function is None or own is not None
    loss = loss_of(job, own, None if stream else rows["train"][1]) if needed else None
    return LoadedModel(network, rows, stream, train_function, loss, own_metrics_of(module, context, job))


def read_datasets(module: ModuleType, context: object, job: Job) -> tuple[dict[str, Rows], Stream | None]:
    """The rows of each split, and the stream of the training rows, whose first batch then stands for them."""
    found, stream = read_streams(module.datasets(context), job)
    return checked_rows(found, job.task, job.measured, job.dimensions), stream


def own_loss(module: ModuleType, job: Job, context: object) -> Callable[[Any, Any], Any] | None:
    """The repository's loss(context, prediction, answers). Raises TrainingFailure when [train] names another one."""
    function = function_of(module, "loss")
    if function is None:
        return None
    if job.loss == OWN:
        return lambda prediction, answers: called(OWN_LOSS, job, function, context, prediction, answers)
    if next(iter(inspect.signature(function).parameters), "") == "context" and not function_of(module, "train"):
        raise TrainingFailure(
            f"train.loss: it is {job.loss}, and {job.module} defines {OWN_LOSS};"
            f' write loss = "{OWN}" to use it, or give the function another name'
        )
    return None


def train(context: TrainingContext, model: LoadedModel, job: Job) -> None:
    """Trains to the end, with the repository's own loop if it has one. Raises TrainingFailure."""
    if model.train_function is None:
        assert model.loss is not None
        train_by_settings(context, model.loss, model.stream)
        return
    returned = None
    with suppress(TrialEnded):
        returned = called("train(context)", job, model.train_function, context)
    if returned is not None:
        raise TrainingFailure("train(context): expected it to train context.network in place and to return nothing")
    if not context.history:
        call = "context.epoch(train_loss, validation_loss)"
        raise TrainingFailure(f"train(context): it reported no epoch; call {call} after each epoch")


def train_by_settings(context: TrainingContext, loss_of: Loss, stream: Stream | None) -> None:
    """Headgate's own loop, as the [train] table says."""
    network, settings = context.network, context.settings
    weights = list(network.parameters())
    optimizer = optimizer_of(settings, network)
    generator = torch.Generator().manual_seed(context.seed)
    read = stream.batches if stream else in_memory(context.rows["train"], settings.batch_size)
    call = caller(network, context.rows["validation"][0])
    changing = (optimizer, generator, *(stream.generators() if stream else ()))
    for _ in range(context.resume(*changing), settings.epochs):
        network.train()
        total, count = torch.zeros(()), 0
        for features, answers in read(generator):
            rows = count_rows(features)
            # As optimizer.zero_grad() does, without its records for a profiler.
            for weight in weights:
                weight.grad = None
            loss = loss_of(call(features), answers)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # The loss is read once per epoch, because reading it at each step costs more than the step.
            total += loss.detach() * rows
            count += rows
        if not count:
            raise TrainingFailure("datasets(context): train: it gave rows before, and none in this epoch")
        context.epoch(float(total) / count, validate(context, loss_of))


def validate(context: TrainingContext, loss_of: Loss) -> float:
    """The mean loss over the validation rows, a bounded number of them at a time."""
    context.network.eval()
    features, answers = context.rows["validation"]
    call, rows, total = caller(context.network, features), count_rows(features), 0.0
    with torch.no_grad():
        for part in batches(rows, rows_at_once(row_bytes(features), context.settings.batch_size)):
            loss = loss_of(call(part_of(features, part)), part_of(answers, part))
            total += float(loss) * (part.stop - part.start)
    return total / rows


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
