"""Runs the repository's metrics(context, prediction, answers) on the test rows, and checks what it returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from headgate.artifacts.batches import rows_at_once
from headgate.artifacts.layout import OUTPUT
from services.trainer.child.agreement import run_in_batches, torch_run
from services.trainer.child.failure import TrainingFailure, line_of_function, raised
from services.trainer.child.losses import form_of
from services.trainer.child.tensors import Rows, Tensors, row_bytes
from services.trainer.job import Job

CALL = "metrics(context, prediction, answers)"

MetricsFunction = Callable[[Any, Tensors, Tensors], object]


@dataclass(frozen=True, slots=True)
class OwnMetrics:
    """The function, what its first argument is, and the names that headgate.toml declares."""

    function: MetricsFunction
    context: SimpleNamespace
    names: tuple[str, ...]
    checkout: str


def measured_by_the_repository(own: OwnMetrics, network: nn.Module, rows: Rows, job: Job) -> dict[str, float]:
    """The value of each declared metric on the rows. Raises TrainingFailure for one that is not a finite number."""
    values = numbers_of(own, network, rows, job)
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingFailure(f"{_where(own)}{name} is {value}, expected a finite number")
    return values


def numbers_of(own: OwnMetrics, network: nn.Module, rows: Rows, job: Job) -> dict[str, float]:
    """What the function returns, which may be NaN: an untrained network may give nothing to divide by.

    Raises TrainingFailure when it raises, returns other names than are declared, or something that is no number.
    """
    features, answers = rows
    prediction = predictions_of(network, features, job)
    try:
        with torch.no_grad():
            found = own.function(own.context, prediction, answers)
    except Exception as error:
        raise TrainingFailure(raised(CALL, error, own.checkout)) from error
    if not isinstance(found, Mapping) or {str(name) for name in found} != set(own.names):
        names = ", ".join(map(str, found)) or "none" if isinstance(found, Mapping) else type(found).__name__
        expected = f"a dict with the names of evaluate.own_metrics, {', '.join(own.names)}"
        raise TrainingFailure(f"{_where(own)}expected {expected}, got {names}")
    return {name: _number(own, name, found[name]) for name in own.names}


def predictions_of(network: nn.Module, features: Tensors, job: Job) -> Tensors:
    """What is served for the rows: one tensor, or several by name."""
    at_once = rows_at_once(row_bytes(features), job.batch_size)
    found = run_in_batches(torch_run(network, features, form_of(job)), features, at_once)
    tensors = {name: torch.from_numpy(array) for name, array in found.items()}
    return tensors[OUTPUT] if list(tensors) == [OUTPUT] else tensors


def _number(own: OwnMetrics, name: str, value: Any) -> float:
    try:
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(type(value).__name__)
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TrainingFailure(f"{_where(own)}{name}: expected a number, got {error}") from error


def _where(own: OwnMetrics) -> str:
    return f"{CALL}{line_of_function(own.function, own.checkout)}: "
