"""Runs the repository's metrics(context, prediction, answers) on rows, and checks what it returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from services.trainer.child.failure import TrainingFailure, line_of_function, raised

CALL = "metrics(context, prediction, answers)"

MetricsFunction = Callable[[Any, Any, Any], object]


@dataclass(frozen=True, slots=True)
class OwnMetrics:
    """The function, what its first argument is, and the names that headgate.toml declares."""

    function: MetricsFunction
    context: SimpleNamespace
    names: tuple[str, ...]
    checkout: str


def measured_by_the_repository(own: OwnMetrics, prediction: object, answers: object) -> dict[str, float]:
    """The value of each declared metric. Raises TrainingFailure for one that is not a finite number."""
    values = numbers_of(own, prediction, answers)
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingFailure(f"{_where(own)}{name} is {value}, expected a finite number")
    return values


def numbers_of(own: OwnMetrics, prediction: object, answers: object) -> dict[str, float]:
    """What the function returns, which may be NaN: an untrained network may give nothing to divide by.

    Prediction and answers are one tensor or array, or several by name. Raises TrainingFailure when the function raises,
    returns other names than are declared, or something that is no number.
    """
    try:
        found = own.function(own.context, prediction, answers)
    except Exception as error:
        raise TrainingFailure(raised(CALL, error, own.checkout)) from error
    if not isinstance(found, Mapping) or {str(name) for name in found} != set(own.names):
        names = ", ".join(map(str, found)) or "none" if isinstance(found, Mapping) else type(found).__name__
        expected = f"a dict with the names of evaluate.own_metrics, {', '.join(own.names)}"
        raise TrainingFailure(f"{_where(own)}expected {expected}, got {names}")
    return {name: _number(own, name, found[name]) for name in own.names}


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
