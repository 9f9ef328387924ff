"""What a task takes predictions and true answers for. Whatever means something else is refused, and never scored.

- binary: a prediction is a probability of the class 1, and an answer is 0 or 1.
- multiclass: a prediction is a row of logits, one for each class, and an answer is the number of a class.
- regression: both are numbers.

A prediction that is not finite means nothing in every task; whoever measures counts its row as wrong.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINARY = "binary"
MULTICLASS = "multiclass"
REGRESSION = "regression"

SLACK = 1e-6
"""Of a float32 probability: a sum of probabilities may end this far beyond 1."""
SUM_SLACK = 1e-4
"""Of the sum of a row of float32 probabilities."""
EXACT = 2**53
"""Up to this size a double holds every whole number."""

_NO_CLASS = "which is not one of the classes 0 to {}"


class WrongMeaning(Exception):
    """A prediction or an answer is not what its task takes it for. The text names a row and its value."""


def check_predictions(task: str, predictions: Values) -> None:
    """Raises WrongMeaning."""
    if task == BINARY:
        as_probabilities(predictions)
    elif task == MULTICLASS:
        as_logits(predictions)
    else:
        as_numbers(predictions, "prediction")


def as_probabilities(predictions: Values) -> Floats:
    """One probability per row. Raises WrongMeaning."""
    _require_floats(predictions, "a probability")
    values = as_numbers(predictions, "prediction")
    wrong = np.isfinite(values) & ((values < -SLACK) | (values > 1 + SLACK))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise WrongMeaning(
            f"the prediction of row {row} is {values[row]:g}, and a binary model answers with a probability from 0 to 1"
            " (a network gets there by ending in a sigmoid)"
        )
    return values


def as_logits(predictions: Values) -> Floats:
    """A row of logits per row. Raises WrongMeaning."""
    if predictions.ndim != 2 or predictions.shape[1] < 2:
        expected = "a multiclass model answers each row with one logit for each class"
        raise WrongMeaning(f"{expected}, and these predictions have the shape {list(predictions.shape)}")
    _require_floats(predictions, "a row of logits")
    values = predictions.astype(np.float64)
    if len(values) and np.all(values >= 0) and np.allclose(values.sum(axis=1), 1, rtol=0, atol=SUM_SLACK):
        raise WrongMeaning(
            "the predictions of every row add up to 1, so they are probabilities, and a multiclass model answers with"
            " logits (its network ends without a softmax)"
        )
    return values


def as_classes(answers: Values, classes: int) -> Integers:
    """The class of each row. Raises WrongMeaning."""
    values = as_numbers(answers, "answer")
    _refuse(
        ~((values >= 0) & (values < classes) & (values == np.floor(values))), answers, _NO_CLASS.format(classes - 1)
    )
    return values.astype(np.int64)


def as_true_numbers(answers: Values) -> Floats:
    """The finite number that each row should be answered with. Raises WrongMeaning."""
    values = as_numbers(answers, "answer")
    _refuse(~np.isfinite(values), answers, "which is not a finite number")
    return values


def as_numbers(values: Values, what: str) -> Floats:
    """One number per row, as a double that is equal to it. Raises WrongMeaning."""
    if values.size != len(values):
        raise WrongMeaning(f"expected one {what} for each row, and these have the shape {list(values.shape)}")
    if values.dtype.kind not in "fiub":
        raise WrongMeaning(f"expected numbers, and the {what}s are of the datatype {values.dtype}")
    column = values.reshape(-1)
    doubles = column.astype(np.float64)
    if column.dtype.kind in "iu":
        # Compared as integers, because a comparison as doubles would round again.
        for row in np.flatnonzero((column > EXACT) | (column < -EXACT)):
            if int(doubles[row]) != int(column[row]):
                raise WrongMeaning(f"the {what} of row {row} is {column[row]}, which a double cannot hold")
    return doubles


def _refuse(wrong: npt.NDArray[np.bool_], answers: Values, why: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise WrongMeaning(f"the answer of row {row} is {answers.reshape(-1)[row]}, {why}")


def _require_floats(predictions: Values, meaning: str) -> None:
    if predictions.dtype.kind != "f":
        raise WrongMeaning(f"the predictions are of the datatype {predictions.dtype}, and none of it is {meaning}")
