"""A prediction or an answer with another meaning than its task needs is refused with its row and its value."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from headgate.artifacts.answers import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    WrongMeaning,
    as_classes,
    as_logits,
    as_numbers,
    as_probabilities,
    check_predictions,
    from_probabilities,
)


def floats(values: object) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def refusal(task: str, predictions: npt.NDArray[np.generic]) -> str:
    with pytest.raises(WrongMeaning) as refused:
        check_predictions(task, predictions)
    return str(refused.value)


@pytest.mark.parametrize(("value", "row"), [(2.5, 1), (-0.01, 1), (1e30, 1)])
def test_a_logit_is_not_a_probability(value: float, row: int) -> None:
    assert f"the prediction of row {row} is {value:g}" in refusal("binary", floats([0.5, value]))


def test_a_class_is_not_a_probability() -> None:
    assert "datatype int64: expected floats, because each is a probability" in refusal("binary", np.array([0, 1]))
    assert "datatype bool" in refusal("binary", np.array([True, False]))


def test_two_columns_are_not_probabilities() -> None:
    assert "expected one prediction for each row" in refusal("binary", floats([[0.5, 0.5]]))


def test_a_probability_may_exceed_1_by_a_rounding_error() -> None:
    assert as_probabilities(floats([[0.0], [np.nextafter(np.float32(1), np.float32(2))]])).tolist()[0] == 0.0


def test_a_prediction_that_is_not_finite_is_accepted() -> None:
    assert math.isnan(as_probabilities(floats([math.nan, 0.5]))[0])
    assert math.isinf(as_logits(floats([[math.inf, 0.0]]))[0, 0])
    assert math.isinf(as_numbers(floats([-math.inf]), "prediction")[0])


def test_probabilities_are_not_logits() -> None:
    rows = np.random.RandomState(1).normal(size=(20, 5)).astype(np.float32)
    softmax = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    assert "they are probabilities" in refusal("multiclass", softmax)
    check_predictions("multiclass", rows)
    check_predictions("multiclass", np.log(softmax))


@pytest.mark.parametrize("classes", [np.array([0, 2]), floats([[1.0], [0.0]]), floats([0.0, 2.0])])
def test_a_class_is_not_a_row_of_logits(classes: npt.NDArray[np.generic]) -> None:
    assert "one logit for each class" in refusal("multiclass", classes)


def test_one_hot_classes_are_not_logits() -> None:
    assert "expected floats, because each is a row of logits" in refusal("multiclass", np.eye(3, dtype=np.int64))
    assert "they are probabilities" in refusal("multiclass", np.eye(3, dtype=np.float32))


def test_a_whole_number_that_a_double_cannot_hold_is_refused() -> None:
    assert refusal("regression", np.array([1, 2**53 + 1])) == (
        f"the prediction of row 1 is {2**53 + 1}, which a double cannot hold"
    )
    assert as_numbers(np.array([2**53, -(2**62)]), "prediction").tolist() == [2.0**53, -(2.0**62)]
    with pytest.raises(WrongMeaning, match=str(2**64 - 1)):
        as_numbers(np.array([2**64 - 1], np.uint64), "answer")


@pytest.mark.parametrize("text", [np.array(["1"]), np.array([1j]), np.array([object()])])
def test_a_value_that_is_not_a_number_is_refused(text: npt.NDArray[np.generic]) -> None:
    assert "expected numbers" in refusal("regression", text)


@pytest.mark.parametrize("answer", [-1.0, 2.0, 0.5, math.nan])
def test_an_answer_that_is_not_a_class_is_refused(answer: float) -> None:
    with pytest.raises(WrongMeaning, match="the answer of row 1 is"):
        as_classes(floats([0, answer]), 2)


def test_probabilities_of_both_classes_are_taken_as_that_of_the_second() -> None:
    predictions = np.array([[0.25, 0.75], [np.nan, 0.5], [1.0, 0.0]], np.float32)

    np.testing.assert_array_equal(from_probabilities(BINARY, predictions), predictions[:, 1])


def test_probabilities_of_classes_are_the_softmax_of_what_they_are_taken_as() -> None:
    predictions = np.array([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]])

    taken = np.exp(from_probabilities(MULTICLASS, predictions))

    np.testing.assert_allclose(taken / taken.sum(axis=1, keepdims=True), predictions, atol=1e-15)


@pytest.mark.parametrize("task", [REGRESSION, MULTICLASS, BINARY])
def test_predictions_that_are_no_probabilities_of_classes_stay_as_they_are(task: str) -> None:
    predictions = np.array([[3.0, -1.0], [0.5, 0.5]])

    assert from_probabilities(task, predictions) is predictions
