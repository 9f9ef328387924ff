"""Measures a model's predictions against the true answers, by arithmetic on arrays alone, as scikit-learn defines it.

A row whose prediction is not finite counts as wrong: in the confusion it was predicted INVALID. The metrics that need
every prediction (auc, log_loss, mse, mae, r2) are undefined as soon as one row is invalid.

headgate.artifacts.answers says what predictions and answers mean, and refuses what means something else.
"""

from dataclasses import dataclass, field

import numpy as np

from headgate.artifacts.answers import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    Values,
    WrongMeaning,
    as_classes,
    as_logits,
    as_numbers,
    as_probabilities,
    as_true_numbers,
)
from services.evaluator.metrics.binary import BinaryRows
from services.evaluator.metrics.multiclass import MulticlassRows
from services.evaluator.metrics.regression import RegressionRows
from services.evaluator.metrics.scores import Cells, Rows, Scores, Unmeasurable


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics, and counts by (actual, predicted)."""

    scores: Scores
    confusion: Cells = field(default_factory=dict)


def measure(task: str, predictions: Values, answers: Values, threshold: float) -> Measured:
    """The metrics of one model on its rows; only a binary task uses `threshold`. Raises Unmeasurable."""
    with np.errstate(all="ignore"):
        rows = rows_of(task, predictions, answers, threshold)
        return Measured(rows.scores(np.ones(len(answers), np.int64)), rows.confusion())


def rows_of(task: str, predictions: Values, answers: Values, threshold: float) -> Rows:
    """Predictions and answers as their task takes them. Raises Unmeasurable."""
    if len(answers) == 0:
        raise Unmeasurable("there are no test rows")
    if len(predictions) != len(answers):
        raise Unmeasurable(f"{len(predictions)} predictions for {len(answers)} rows")
    try:
        return _rows_of(task, predictions, answers, threshold)
    except WrongMeaning as error:
        raise Unmeasurable(str(error)) from error


def _rows_of(task: str, predictions: Values, answers: Values, threshold: float) -> Rows:
    if task == BINARY:
        probabilities = as_probabilities(predictions)
        resolution = float(np.finfo(predictions.dtype).eps)
        return BinaryRows(probabilities, as_classes(answers, 2), threshold, resolution)
    if task == MULTICLASS:
        logits = as_logits(predictions)
        return MulticlassRows(logits, as_classes(answers, logits.shape[1]))
    if task == REGRESSION:
        return RegressionRows(as_numbers(predictions, "prediction"), as_true_numbers(answers))
    raise Unmeasurable(f"the task {task!r} is not one of {BINARY}, {MULTICLASS}, {REGRESSION}")
