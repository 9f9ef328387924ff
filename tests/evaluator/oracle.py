"""Compares metrics with scikit-learn's on the same rows. What scikit-learn calls ill-defined has to be undefined."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from services.evaluator.metrics.measure import Measured, Options, measure
from tests.late import Late

Oracle = Callable[[], float]

metrics, calibration, exceptions = Late("sklearn.metrics"), Late("sklearn.calibration"), Late("sklearn.exceptions")


def measured(task: str, predictions: object, answers: object, threshold: float = 0.5) -> Measured:
    return measure(task, np.asarray(predictions, np.float64), np.asarray(answers), Options(threshold))


def require_same(found: Measured, expected: dict[str, Oracle]) -> None:
    """Each metric has the oracle's value; each that is ill-defined for the oracle is undefined, with a reason."""
    assert found.scores.values.keys() | found.scores.undefined.keys() == expected.keys()
    for name, oracle in expected.items():
        value = defined(oracle)
        if value is None:
            assert found.scores.undefined[name], name
        else:
            assert found.scores.values[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def defined(oracle: Oracle) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", exceptions.UndefinedMetricWarning)
        try:
            return float(oracle())
        except exceptions.UndefinedMetricWarning:
            return None
