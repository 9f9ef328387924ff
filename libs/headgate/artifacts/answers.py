"""Checks that predictions and true answers have the meaning that their task needs. All others are refused.

- binary: a prediction is a probability of the class 1, and an answer is 0 or 1.
- multiclass: a prediction is a row of logits, one for each class, and an answer is the number of a class.
- multilabel: a prediction is a row of probabilities, one for each label, and an answer is a row of 0 and 1.
- regression: both are numbers, one for each row or several, such as one for each step.
- ranking: a prediction is a score. An answer is a row of two numbers: the relevance, of at least 0, and the number of
  the group of rows that are ranked together.
- custom: both are what the repository's own code takes them for.

Predictions that are not finite are accepted here. The evaluator counts their rows as wrong.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINARY = "binary"
MULTICLASS = "multiclass"
MULTILABEL = "multilabel"
REGRESSION = "regression"
RANKING = "ranking"
CUSTOM = "custom"
TASKS = (BINARY, MULTICLASS, MULTILABEL, REGRESSION, RANKING, CUSTOM)

SLACK = 1e-6
"""How far a float32 probability may be outside of 0 to 1 because of rounding."""
SUM_SLACK = 1e-4
"""How far the sum of a row of float32 probabilities may be from 1 because of rounding."""
EXACT = 2**53
"""A double can hold every whole number up to this size."""

_NO_CLASS = "which is not one of the classes"
ANY_CLASS = 2**31 - 1
"""How many classes there are before a network has said it."""


class WrongMeaning(Exception):
    """A prediction or an answer has another meaning than its task needs. The text names a row and its value."""


def check_predictions(task: str, predictions: Values) -> None:
    """Checks the predictions of a task. Raises WrongMeaning."""
    if task == BINARY:
        as_probabilities(predictions)
    elif task == MULTICLASS:
        as_logits(predictions)
    elif task == MULTILABEL:
        as_label_probabilities(predictions)
    elif task == REGRESSION:
        as_rows_of_numbers(predictions, "prediction")
    elif task != CUSTOM:
        as_numbers(predictions, "prediction")


def check_answers(task: str, answers: Values, columns: int) -> None:
    """Checks the answers of a task whose predictions have so many columns. Raises WrongMeaning."""
    if task == BINARY:
        as_classes(answers, 2)
    elif task == MULTICLASS:
        as_classes(answers, columns)
    elif task == MULTILABEL:
        as_labels(answers, columns)
    elif task == RANKING:
        as_relevance(answers)
    elif task != CUSTOM:
        as_true_numbers(answers)


def as_probabilities(predictions: Values) -> Floats:
    """One probability per row. Raises WrongMeaning."""
    _require_floats(predictions, "a probability")
    values = as_numbers(predictions, "prediction")
    wrong = np.isfinite(values) & ((values < -SLACK) | (values > 1 + SLACK))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise WrongMeaning(
            f"the prediction of row {row} is {values[row]:g}: a binary model must return a probability from 0 to 1"
            " (its network ends in a sigmoid)"
        )
    return values


def from_probabilities(task: str, predictions: Values) -> Values:
    """What a classifier of another framework predicts, as the task takes it. It answers a probability for each class.

    binary: that of the class 1. multiclass: their logarithms, whose softmax they are. All else stays as it is.
    """
    if task not in (BINARY, MULTICLASS) or predictions.ndim != 2 or predictions.dtype.kind != "f":
        return predictions
    values = predictions.astype(np.float64)
    finite = values[np.isfinite(values).all(axis=1)]
    if values.shape[1] < 2 or (finite < -SLACK).any() or not np.allclose(finite.sum(axis=1), 1, rtol=0, atol=SUM_SLACK):
        return predictions
    if task == BINARY:
        return predictions[:, 1] if values.shape[1] == 2 else predictions
    smallest = float(np.finfo(predictions.dtype).tiny)
    # NaN stays NaN: such a row counts as wrong.
    logits: Floats = np.log(np.maximum(values, smallest))
    return logits


def as_label_probabilities(predictions: Values) -> Floats:
    """A row of probabilities for each row. Raises WrongMeaning."""
    if predictions.ndim != 2 or predictions.shape[1] < 1:
        expected = "a multilabel model must return one probability for each label of each row"
        raise WrongMeaning(f"the predictions have the shape {list(predictions.shape)}: {expected}")
    _require_floats(predictions, "a probability")
    values = predictions.astype(np.float64)
    wrong = np.isfinite(values) & ((values < -SLACK) | (values > 1 + SLACK))
    if wrong.any():
        row, label = _first(wrong)
        raise WrongMeaning(
            f"the prediction of row {row}, label {label} is {values[row, label]:g}: a multilabel model must return"
            " probabilities from 0 to 1 (its network ends in a sigmoid)"
        )
    return values


def as_labels(answers: Values, labels: int) -> Integers:
    """A row of 0 and 1 for each row. Raises WrongMeaning."""
    if answers.ndim != 2 or answers.shape[1] != labels:
        expected = f"expected a row of {labels} labels for each row, each 0 or 1"
        raise WrongMeaning(f"the answers have the shape {list(answers.shape)}: {expected}")
    wrong = ~np.isin(answers, (0, 1))
    if wrong.any():
        row, label = _first(wrong)
        raise WrongMeaning(f"the answer of row {row}, label {label} is {answers[row, label]}, expected 0 or 1")
    return answers.astype(np.int64)


def as_relevance(answers: Values) -> tuple[Floats, Integers]:
    """The relevance and the group of each row. Raises WrongMeaning."""
    if answers.ndim != 2 or answers.shape[1] != 2:
        expected = "expected two numbers for each row, its relevance and its group"
        raise WrongMeaning(f"the answers have the shape {list(answers.shape)}: {expected}")
    relevance, groups = as_numbers(answers[:, 0], "relevance"), as_numbers(answers[:, 1], "group")
    _refuse(~(np.isfinite(relevance) & (relevance >= 0)), answers[:, 0], "which is no relevance of at least 0")
    whole = np.isfinite(groups) & (groups == np.floor(groups)) & (np.abs(groups) <= EXACT)
    _refuse(~whole, answers[:, 1], "which is no whole number of a group")
    return relevance, groups.astype(np.int64)


def as_logits(predictions: Values) -> Floats:
    """One row of logits for each row. Raises WrongMeaning."""
    if predictions.ndim != 2 or predictions.shape[1] < 2:
        expected = "a multiclass model must return one logit for each class of each row"
        raise WrongMeaning(f"the predictions have the shape {list(predictions.shape)}: {expected}")
    _require_floats(predictions, "a row of logits")
    values = predictions.astype(np.float64)
    if len(values) and np.all(values >= 0) and np.allclose(values.sum(axis=1), 1, rtol=0, atol=SUM_SLACK):
        raise WrongMeaning(
            "the predictions of every row add up to 1, so they are probabilities: a multiclass model must return logits"
            " (its network ends without a softmax)"
        )
    return values


def as_classes(answers: Values, classes: int) -> Integers:
    """The class of each row. Raises WrongMeaning."""
    values = as_numbers(answers, "answer")
    wrong = ~((values >= 0) & (values < classes) & (values == np.floor(values)))
    _refuse(wrong, answers, f"{_NO_CLASS}{', which begin at 0' if classes == ANY_CLASS else f' 0 to {classes - 1}'}")
    return values.astype(np.int64)


def as_true_numbers(answers: Values) -> Floats:
    """The true numbers of each row, which must be finite: an array of rows and columns. Raises WrongMeaning."""
    values = as_rows_of_numbers(answers, "answer")
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = _first(wrong)
        raise WrongMeaning(f"the answer of row {row} is {values[row, column]}, which is not a finite number")
    return values


def as_rows_of_numbers(values: Values, what: str) -> Floats:
    """The numbers of each row, as doubles of the same values: an array of rows and columns. Raises WrongMeaning."""
    columns = values.reshape(len(values), -1).T
    if len(columns) == 0:
        raise WrongMeaning(f"the {what}s have the shape {list(values.shape)}: expected at least one for each row")
    return np.stack([as_numbers(column, what) for column in columns], axis=1)


def require_as_many(predictions: Floats, answers: Floats) -> None:
    """Raises WrongMeaning when a row of predictions has another number of columns than one of answers."""
    if predictions.shape[1:] != answers.shape[1:]:
        found = f"{predictions.shape[1]} for each row, and the answers have {answers.shape[1]}"
        raise WrongMeaning(f"the predictions have {found}: expected as many")


def as_numbers(values: Values, what: str) -> Floats:
    """One number for each row, as a double of the same value. Raises WrongMeaning."""
    if values.size != len(values):
        raise WrongMeaning(f"the {what}s have the shape {list(values.shape)}: expected one {what} for each row")
    if values.dtype.kind not in "fiub":
        raise WrongMeaning(f"the {what}s have the datatype {values.dtype}: expected numbers")
    column = values.reshape(-1)
    doubles = column.astype(np.float64)
    if column.dtype.kind in "iu":
        # Compared as integers, because a comparison as doubles would round again.
        for row in np.flatnonzero((column > EXACT) | (column < -EXACT)):
            if int(doubles[row]) != int(column[row]):
                raise WrongMeaning(f"the {what} of row {row} is {column[row]}, which a double cannot hold")
    return doubles


def _first(wrong: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the first wrong one."""
    row, column = (int(place[0]) for place in np.nonzero(wrong))
    return row, column


def _refuse(wrong: npt.NDArray[np.bool_], answers: Values, why: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise WrongMeaning(f"the answer of row {row} is {answers.reshape(-1)[row]}, {why}")


def _require_floats(predictions: Values, meaning: str) -> None:
    if predictions.dtype.kind != "f":
        raise WrongMeaning(
            f"the predictions have the datatype {predictions.dtype}: expected floats, because each is {meaning}"
        )
