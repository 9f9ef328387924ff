"""Measures a model's predictions against the true answers, by arithmetic on arrays alone, as scikit-learn defines it.

A row whose prediction is not finite counts as wrong: in the confusion it was predicted INVALID. The metrics that need
every prediction (auc, log_loss, mse, mae, r2, ndcg, map) are undefined as soon as one row is invalid. A custom task has
no metrics of Headgate's.

headgate.artifacts.answers says what predictions and answers mean, and refuses what means something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

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
    as_rows_of_numbers,
    as_true_numbers,
    require_as_many,
)
from headgate.domain.words import counted
from headgate.evaluation_tables import DEFAULT_THRESHOLD
from services.evaluator.metrics.binary import BinaryRows
from services.evaluator.metrics.intervals import Intervals, intervals
from services.evaluator.metrics.multiclass import MulticlassRows
from services.evaluator.metrics.multilabel import MultilabelRows
from services.evaluator.metrics.ranking import RankingRows
from services.evaluator.metrics.regression import RegressionRows
from services.evaluator.metrics.scores import Cells, Interval, Rows, Scores, Unmeasurable

EMPTY_SLICE = "no test row is in the slice"
MEASURED_TASKS = (BINARY, MULTICLASS, MULTILABEL, REGRESSION, RANKING)


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are measured: the threshold of probabilities, the confidence of intervals, and the slices.

    A slice says of each row whether it belongs to it. Without a confidence there are no intervals.
    """

    threshold: float = DEFAULT_THRESHOLD
    confidence: float | None = None
    slices: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics with their intervals or the reasons why there is none, counts by (actual, predicted), and slices.

    A slice has the same for its rows.
    """

    rows: int
    scores: Scores
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    without_interval: Mapping[str, str] = field(default_factory=dict)
    confusion: Cells = field(default_factory=dict)
    slices: Mapping[str, "Measured"] = field(default_factory=dict)


def measure(task: str, predictions: Values, answers: Values, options: Options) -> Measured:
    """The metrics of one model on its rows. Raises Unmeasurable."""
    with np.errstate(all="ignore"):
        rows = rows_of(task, predictions, answers, options.threshold)
        whole = _measured(rows, len(answers), options)
        slices = {name: _slice(rows, whole, mask, options) for name, mask in options.slices.items()}
        return replace(whole, confusion=rows.confusion(), slices=slices)


def _slice(rows: Rows, whole: Measured, mask: npt.NDArray[np.bool_], options: Options) -> Measured:
    numbers = np.flatnonzero(mask)
    if len(numbers) == 0:
        names = whole.scores.values.keys() | whole.scores.undefined.keys()
        return Measured(0, Scores(undefined=dict.fromkeys(names, EMPTY_SLICE)))
    return _measured(rows.part(numbers), len(numbers), options)


def _measured(rows: Rows, count: int, options: Options) -> Measured:
    scores = rows.scores()
    found = intervals(rows, scores, options.confidence) if options.confidence is not None else Intervals()
    return Measured(count, scores, found.found, found.missing)


def rows_of(task: str, predictions: Values, answers: Values, threshold: float) -> Rows:
    """Predictions and answers as their task takes them. Raises Unmeasurable."""
    if len(answers) == 0:
        raise Unmeasurable("there are no test rows")
    if len(predictions) != len(answers):
        raise Unmeasurable(f"{counted(len(predictions), 'prediction')} for {counted(len(answers), 'row')}")
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
        numbers, true_numbers = as_rows_of_numbers(predictions, "prediction"), as_true_numbers(answers)
        require_as_many(numbers, true_numbers)
        return RegressionRows(numbers, true_numbers)
    if task == MULTILABEL:
        labels = as_label_probabilities(predictions)
        resolution = float(np.finfo(predictions.dtype).eps)
        return MultilabelRows(labels, as_labels(answers, labels.shape[1]), threshold, resolution)
    if task == RANKING:
        return RankingRows(as_numbers(predictions, "prediction"), *as_relevance(answers))
    raise Unmeasurable(f"the task {task!r} is not one of {', '.join(MEASURED_TASKS)}")
