"""Measures a model's predictions against the true answers, by arithmetic on arrays alone, as scikit-learn defines it.

A row whose prediction is not finite counts as wrong: in the confusion it was predicted INVALID. The metrics that need
every prediction (auc, log_loss, mse, mae, r2, ndcg, map) are undefined as soon as one row is invalid. A custom task has
no metrics of Headgate's.

headgate.artifacts.answers says what predictions and answers mean, and refuses what means something else.
"""

from dataclasses import dataclass, field

import numpy as np

from headgate.artifacts.answers import (
    BINARY,
    MULTICLASS,
    MULTILABEL,
    RANKING,
    REGRESSION,
    Values,
    WrongMeaning,
    as_classes,
    as_label_probabilities,
    as_labels,
    as_logits,
    as_numbers,
    as_probabilities,
    as_relevance,
    as_true_numbers,
)
from services.evaluator.metrics.binary import BinaryRows
from services.evaluator.metrics.multiclass import MulticlassRows
from services.evaluator.metrics.multilabel import MultilabelRows
from services.evaluator.metrics.ranking import RankingRows
from services.evaluator.metrics.regression import RegressionRows
from services.evaluator.metrics.scores import Cells, Rows, Scores, Unmeasurable

MEASURED_TASKS = (BINARY, MULTICLASS, MULTILABEL, REGRESSION, RANKING)


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics, and counts by (actual, predicted)."""

    scores: Scores
    confusion: Cells = field(default_factory=dict)


def measure(task: str, predictions: Values, answers: Values, threshold: float) -> Measured:
    """The metrics of one model on its rows; only a binary task uses `threshold`. Raises Unmeasurable."""
    with np.errstate(all="ignore"):
        rows = rows_of(task, predictions, answers, threshold)
        return Measured(rows.scores(np.ones(rows.units, np.int64)), rows.confusion())


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
    if task == MULTILABEL:
        labels = as_label_probabilities(predictions)
        resolution = float(np.finfo(predictions.dtype).eps)
        return MultilabelRows(labels, as_labels(answers, labels.shape[1]), threshold, resolution)
    if task == RANKING:
        return RankingRows(as_numbers(predictions, "prediction"), *as_relevance(answers))
    raise Unmeasurable(f"the task {task!r} is not one of {', '.join(MEASURED_TASKS)}")
