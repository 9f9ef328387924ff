"""Loads a repository's module and calls its functions. Whatever they raise becomes a failure that names their line."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from services.trainer.child.failure import ExportFailure, NotResumable, TrainingFailure, raised
from services.trainer.child.own_metrics import CALL, OwnMetrics
from services.trainer.job import Job


def load_module(checkout: Path, name: str, functions: Sequence[str]) -> ModuleType:
    """The repository's module, which defines these functions. Raises TrainingFailure."""
    sys.path.insert(0, str(checkout))
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise TrainingFailure(raised(f"code.module: {name} cannot be imported", error, str(checkout))) from error
    if module.__file__ is None:
        raise TrainingFailure(f"code.module: {name} is a folder without an __init__.py; name a module in it")
    if not Path(module.__file__).resolve().is_relative_to(checkout.resolve()):
        raise TrainingFailure(f"code.module: {name} is found outside the repository; rename the repository's module")
    for function in functions:
        if not callable(getattr(module, function, None)):
            raise TrainingFailure(f"code.module: {name} defines no {function}(context)")
    return module


def context_of(job: Job) -> SimpleNamespace:
    """What the repository's functions get: the path of each data file by name, the seed, the [parameters]."""
    return SimpleNamespace(
        data={name: Path(path) for name, path in job.data.items()}, seed=job.seed, parameters=dict(job.parameters)
    )


def function_of(module: ModuleType | SimpleNamespace, name: str) -> Callable[..., Any] | None:
    found = getattr(module, name, None)
    return found if callable(found) else None


def called(where: str, job: Job, function: Callable[..., Any], *arguments: object) -> Any:
    """What the repository's function returns. Raises TrainingFailure with the line that raised, and NotResumable."""
    try:
        return function(*arguments)
    except (TrainingFailure, ExportFailure, NotResumable):
        raise
    except Exception as error:
        raise TrainingFailure(raised(where, error, job.checkout)) from error


def own_metrics_of(module: ModuleType | SimpleNamespace, context: SimpleNamespace, job: Job) -> OwnMetrics | None:
    """None when headgate.toml declares none. Raises TrainingFailure."""
    if not job.own_metrics:
        return None
    function = function_of(module, "metrics")
    if function is None:
        needs = "which evaluate.own_metrics needs"
        raise TrainingFailure(f"code.module: {job.module} defines no {CALL}, {needs}")
    return OwnMetrics(function, context, tuple(job.own_metrics), job.checkout)
