"""Measures a model's predictions against the true answers, by arithmetic on arrays alone.

A metric that is not defined on these rows is absent; no other value takes its place, so the gate fails its rule.
A row whose prediction is not finite counts as wrong: in the confusion it was predicted INVALID. The metrics that need
every prediction (auc, log_loss, mse, mae, r2) are absent as soon as one row is invalid.

- binary: precision is absent when nothing was predicted positive, recall without a positive row, f1 without either,
  auc with one class only.
- multiclass: recall, precision and f1 are means over the classes that occur among the answers, and a class that was
  never predicted has precision 0. The first of equal logits wins.
- regression: r2 is absent when every answer is the same.

headgate.artifacts.answers says what predictions and answers mean, and refuses what means something else.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    Floats,
    Integers,
    Values,
    WrongMeaning,
    as_classes,
    as_logits,
    as_numbers,
    as_probabilities,
    as_true_numbers,
)

Cells = Mapping[tuple[str, str], int]

INVALID = "invalid"
RESOLUTION = 2.0**-23
"""Of a float32 probability. In log_loss a probability closer to 0 or 1 counts as this far from it."""
NO_COUNTS = {("0", "0"): 0, ("0", "1"): 0, ("1", "0"): 0, ("1", "1"): 0}
MAX_CELLS = 2_000
"""Cells of a confusion. A larger one is left out, because the report has to fit into one record."""


class Unmeasurable(Exception):
    """The rows or the predictions do not fit the task."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Defined metrics by name, and counts by (actual, predicted)."""

    metrics: Mapping[str, float]
    confusion: Cells = field(default_factory=dict)


def measure(task: str, predictions: Values, answers: Values, threshold: float) -> Measured:
    """The metrics of one model on its rows; only a binary task uses `threshold`. Raises Unmeasurable."""
    if len(answers) == 0:
        raise Unmeasurable("there are no test rows")
    if len(predictions) != len(answers):
        raise Unmeasurable(f"{len(predictions)} predictions for {len(answers)} rows")
    try:
        with np.errstate(all="ignore"):
            return _measure(task, predictions, answers, threshold)
    except WrongMeaning as error:
        raise Unmeasurable(str(error)) from error


def _measure(task: str, predictions: Values, answers: Values, threshold: float) -> Measured:
    if task == BINARY:
        return binary(as_probabilities(predictions), as_classes(answers, 2), threshold)
    if task == MULTICLASS:
        logits = as_logits(predictions)
        return multiclass(logits, as_classes(answers, logits.shape[1]))
    if task == REGRESSION:
        return regression(as_numbers(predictions, "prediction"), as_true_numbers(answers))
    raise Unmeasurable(f"the task {task!r} is not one of {BINARY}, {MULTICLASS}, {REGRESSION}")


def binary(probabilities: Floats, answers: Integers, threshold: float) -> Measured:
    """A probability at or above the threshold predicts 1."""
    valid = np.isfinite(probabilities)
    positive = valid & (probabilities >= threshold)
    actual = answers == 1
    hits = int(np.sum(positive & actual))
    false_alarms = int(np.sum(positive & ~actual))
    positives = int(np.sum(actual))
    correct = hits + int(np.sum(valid & ~positive & ~actual))
    metrics = {"accuracy": correct / len(answers)}
    if positives:
        metrics["recall"] = hits / positives
    if hits + false_alarms:
        metrics["precision"] = hits / (hits + false_alarms)
    if positives + hits + false_alarms:
        metrics["f1"] = 2 * hits / (positives + hits + false_alarms)
    if valid.all():
        if 0 < positives < len(answers):
            metrics["auc"] = auc(probabilities, actual)
        metrics["log_loss"] = _log_loss(np.where(actual, probabilities, 1 - probabilities))
    predicted = np.where(valid, positive.astype(np.int64), -1)
    return Measured(metrics, NO_COUNTS | confusion(answers, predicted))


def auc(scores: Floats, actual: npt.NDArray[np.bool_]) -> float:
    """The probability that a positive row scores above a negative one; a tie counts half (Mann-Whitney)."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = ((ends - counts + 1 + ends) / 2)[place]
    positives = int(np.sum(actual))
    negatives = len(actual) - positives
    above = float(np.sum(ranks[actual])) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def multiclass(logits: Floats, answers: Integers) -> Measured:
    """The largest logit of a row is its prediction."""
    valid = np.isfinite(logits).all(axis=1)
    predicted = np.where(valid, np.argmax(logits, axis=1), -1)
    classes = np.unique(answers)
    hits = np.array([np.sum((answers == each) & (predicted == each)) for each in classes])
    actual = np.array([np.sum(answers == each) for each in classes])
    claimed = np.array([np.sum(predicted == each) for each in classes])
    metrics = {
        "accuracy": float(np.mean(predicted == answers)),
        "recall": float(np.mean(hits / actual)),
        "precision": float(np.mean(np.where(claimed > 0, hits / np.maximum(claimed, 1), 0.0))),
        "f1": float(np.mean(2 * hits / (actual + claimed))),
    }
    if valid.all():
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        metrics["log_loss"] = float(-np.mean(log_probabilities[np.arange(len(answers)), answers]))
    return Measured(metrics, confusion(answers, predicted))


def regression(predictions: Floats, answers: Floats) -> Measured:
    """Errors of real-valued predictions; a metric that overflows is absent."""
    errors = predictions - answers
    metrics = {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
    spread = float(np.mean((answers - np.mean(answers)) ** 2))
    if answers.min() < answers.max() and spread > 0:
        metrics["r2"] = 1 - metrics["mse"] / spread
    return Measured({name: value for name, value in metrics.items() if np.isfinite(value)})


def confusion(answers: Integers, predicted: Integers) -> dict[tuple[str, str], int]:
    """Counts by (actual, predicted), of the pairs that occur; a negative prediction is INVALID."""
    counts = Counter(zip(answers.tolist(), predicted.tolist(), strict=True))
    if len(counts) > MAX_CELLS:
        return {}
    return {
        (str(actual), str(guess) if guess >= 0 else INVALID): count for (actual, guess), count in sorted(counts.items())
    }


def _log_loss(probability_of_truth: Floats) -> float:
    return float(-np.mean(np.log(np.clip(probability_of_truth, RESOLUTION, 1 - RESOLUTION))))
