"""Every metric against scikit-learn's on the same rows. What scikit-learn calls ill-defined is undefined."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.metrics.measure import Options, measure
from services.evaluator.metrics.scores import Unmeasurable
from tests.evaluator.oracle import Oracle, calibration, measured, require_same
from tests.evaluator.oracle import metrics as sklearn_metrics

# Few distinct values, so that ties, the threshold itself and the ends of the scale come up.
probabilities = st.sampled_from([0.0, 1e-20, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1 - 1e-12, 1.0])
binary_rows = st.lists(st.tuples(probabilities, st.sampled_from([0, 1])), min_size=1, max_size=30)
# No three of them that are not negative add up to 1, as probabilities do.
logit = st.sampled_from([-3.0, -1.0, 0.0, 0.7, 2.0, 50.0])
multiclass_rows = st.lists(st.tuples(st.tuples(logit, logit, logit), st.integers(0, 2)), min_size=1, max_size=30)
real = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.1, 1.0]))
regression_rows = st.lists(st.tuples(real, real), min_size=1, max_size=30)


@given(binary_rows, st.sampled_from([0.25, 0.5, 0.9]), st.sampled_from([np.float32, np.float64]))
def test_binary_metrics_are_those_of_scikit_learn(rows: Any, threshold: float, dtype: Any) -> None:
    scores, answers = np.array([p for p, _ in rows], dtype), np.array([y for _, y in rows])
    guesses = (scores.astype(np.float64) >= threshold).astype(int)
    found = measure("binary", scores.reshape(-1, 1), answers, Options(threshold))
    expected: dict[str, Oracle] = {
        "accuracy": lambda: sklearn_metrics.accuracy_score(answers, guesses),
        "recall": lambda: sklearn_metrics.recall_score(answers, guesses),
        "precision": lambda: sklearn_metrics.precision_score(answers, guesses),
        "f1": lambda: sklearn_metrics.f1_score(answers, guesses),
        "auc": lambda: sklearn_metrics.roc_auc_score(answers, scores),
        "log_loss": lambda: log_loss(answers, scores),
        "calibration_error": lambda: calibration_error(answers, scores),
    }
    require_same(found, expected)
    matrix = sklearn_metrics.confusion_matrix(answers, guesses, labels=[0, 1])
    assert found.confusion == {(str(a), str(g)): matrix[a, g] for a in (0, 1) for g in (0, 1)}


around_the_ends = st.sampled_from([-1e-6, -1e-7, -0.0, 0.0, 1e-30, 0.3, 1.0, 1 + 1e-7, 1 + 1e-6])


@given(st.lists(st.tuples(around_the_ends, st.sampled_from([0, 1])), max_size=20), st.sampled_from(["f4", "f8"]))
def test_the_area_is_that_of_scikit_learn_where_rounding_left_values_outside_of_0_to_1(rows: Any, dtype: str) -> None:
    scores = np.array([0.3, 0.0, *(p for p, _ in rows)], dtype)
    answers = np.array([0, 1, *(y for _, y in rows)])
    expected = sklearn_metrics.roc_auc_score(answers, scores)
    assert measured("binary", scores, answers).scores.values["auc"] == pytest.approx(expected, abs=1e-9)


def log_loss(answers: Any, scores: Any) -> float:
    """In doubles, and clipped as scikit-learn clips this datatype. Left alone, it rounds 1 - p to float32 as well."""
    eps = np.finfo(scores.dtype).eps
    return float(sklearn_metrics.log_loss(answers, np.clip(scores.astype(np.float64), eps, 1 - eps), labels=[0, 1]))


def calibration_error(came_true: Any, scores: Any) -> float:
    """The mean over the rows of the distances in scikit-learn's calibration curve."""
    scores = scores.astype(np.float64)
    shares, means = calibration.calibration_curve(came_true, scores, n_bins=10)
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores)
    weights = np.bincount(bins)
    return float(np.sum(np.abs(shares - means) * weights[weights > 0]) / len(scores))


@given(multiclass_rows)
def test_multiclass_metrics_are_those_of_scikit_learn(rows: list[tuple[tuple[float, ...], int]]) -> None:
    logits, answers = np.array([logits for logits, _ in rows]), np.array([y for _, y in rows])
    found = measured("multiclass", logits, answers)
    guesses = logits.argmax(axis=1)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected: dict[str, Oracle] = {
        "accuracy": lambda: sklearn_metrics.accuracy_score(answers, guesses),
        "recall": lambda: sklearn_metrics.recall_score(answers, guesses, average="macro"),
        "precision": lambda: sklearn_metrics.precision_score(answers, guesses, average="macro"),
        "f1": lambda: sklearn_metrics.f1_score(answers, guesses, average="macro"),
        "log_loss": lambda: sklearn_metrics.log_loss(answers, shares, labels=[0, 1, 2]),
        "calibration_error": lambda: calibration_error(guesses == answers, shares.max(axis=1)),
    }
    require_same(found, expected)
    matrix = sklearn_metrics.confusion_matrix(answers, guesses, labels=[0, 1, 2])
    cells = {(str(a), str(g)): matrix[a, g] for a, g in np.ndindex(3, 3) if matrix[a, g]}
    assert found.confusion == cells


@given(regression_rows)
def test_regression_metrics_are_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    predictions, answers = np.array([p for p, _ in rows]), np.array([y for _, y in rows])
    found = measured("regression", predictions.reshape(-1, 1), answers)
    assert found.scores.values["mse"] == pytest.approx(sklearn_metrics.mean_squared_error(answers, predictions))
    assert found.scores.values["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(answers, predictions))
    if len(set(answers)) == 1:
        assert "r2" in found.scores.undefined
    elif "r2" in found.scores.values:  # the spread of denormal numbers is 0
        expected = sklearn_metrics.r2_score(answers, predictions)
        assert found.scores.values["r2"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert not found.confusion


def test_metrics_of_several_numbers_for_each_row_are_means_over_them_as_in_scikit_learn() -> None:
    chance = np.random.RandomState(5)
    predictions, answers = chance.normal(size=(40, 3, 2)), chance.normal(size=(40, 6)) * np.arange(1, 7)
    found = measured("regression", predictions, answers).scores.values
    rows = predictions.reshape(40, 6)
    assert found["mse"] == pytest.approx(sklearn_metrics.mean_squared_error(answers, rows), rel=1e-12)
    assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(answers, rows), rel=1e-12)
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(answers, rows), rel=1e-12)


def test_r2_of_several_numbers_is_undefined_when_one_of_them_never_changes() -> None:
    answers = np.array([[1.0, 2.0], [2.0, 2.0]])
    found = measured("regression", answers, answers).scores
    assert found.undefined == {"r2": "number 1 of the answers is the same in every row"}


def test_another_number_of_predictions_than_of_answers_in_a_row_is_unmeasurable() -> None:
    with pytest.raises(Unmeasurable, match="the predictions have 2 for each row, and the answers have 3: expected as"):
        measured("regression", np.zeros((2, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "reasons"),
    [
        ("binary", [0.1, 0.9], [0, 0], {"recall": "no row is positive", "auc": "no row is positive"}),
        ("binary", [0.1, 0.9], [1, 1], {"auc": "every row is positive"}),
        ("binary", [0.1, 0.2], [0, 1], {"precision": "no row was predicted positive"}),
        (
            "binary",
            [0.1],
            [0],
            {
                "recall": "no row is positive",
                "precision": "no row was predicted positive",
                "f1": "no row is positive and no row was predicted positive",
                "auc": "no row is positive",
            },
        ),
        ("multiclass", [[9.0, 0, 0], [9, 0, 0]], [0, 2], {"precision": "class 2 was never predicted"}),
        ("multiclass", [[9.0, 0, 0], [0, 9, 0]], [0, 0], {"recall": "class 1 was predicted and no row is of it"}),
        ("regression", [1.0, 2.0], [0.1, 0.1], {"r2": "every answer is the same"}),
        ("regression", [1.0], [0.1], {"r2": "there is only one row"}),
        (
            "regression",
            [1e200, 1.0],
            [0.0, 1.0],
            {"mse": "its value is larger than a double can hold", "r2": "its value is larger than a double can hold"},
        ),
    ],
)
def test_an_undefined_metric_says_why(task: str, predictions: object, answers: object, reasons: dict[str, str]) -> None:
    scores = measured(task, predictions, answers).scores
    assert scores.undefined == reasons
    assert not scores.undefined.keys() & scores.values.keys()


@pytest.mark.parametrize("invalid", [math.nan, math.inf, -math.inf])
def test_an_invalid_probability_is_wrong_and_takes_auc_and_log_loss_with_it(invalid: float) -> None:
    found = measured("binary", [0.1, invalid, 0.9, invalid], [0, 1, 1, 0])
    assert found.scores.values == {"accuracy": 0.5, "recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3)}
    reason = "the prediction of row 1 (and those of 1 others) is not a finite number"
    assert found.scores.undefined == {"auc": reason, "log_loss": reason, "calibration_error": reason}
    assert found.confusion[("0", "invalid")] == found.confusion[("1", "invalid")] == 1


def test_an_invalid_logit_is_wrong_and_takes_log_loss_with_it() -> None:
    found = measured("multiclass", [[math.nan, 1], [0, 1]], [1, 1])
    assert found.scores.values == {"accuracy": 0.5, "recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3)}
    reason = "the prediction of row 0 is not a finite number"
    assert found.scores.undefined == {"log_loss": reason, "calibration_error": reason}
    assert found.confusion == {("1", "invalid"): 1, ("1", "1"): 1}


def test_an_invalid_regression_prediction_leaves_no_metric() -> None:
    scores = measured("regression", [1.0, math.nan], [1, 2]).scores
    assert scores.values == {}
    assert scores.undefined.keys() == {"mae", "mse", "r2"}


def test_huge_logits_do_not_overflow() -> None:
    assert measured("multiclass", [[1e4, -1e4]], [1]).scores.values["log_loss"] == -math.log(2.0**-52)


def test_a_confusion_too_large_for_a_record_is_left_out() -> None:
    classes = 2_100
    assert measured("multiclass", 9 * np.eye(classes), np.arange(classes)).confusion == {}


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "fault"),
    [
        ("binary", [], [], "no test rows"),
        ("binary", [0.5], [0, 1], "1 prediction for 2 rows"),
        ("binary", [[0.5, 0.5]], [1], r"the predictions have the shape \[1, 2\]: expected one prediction for each row"),
        ("binary", [0.5], [2], "the answer of row 0 is 2, which is not one of the classes 0 to 1"),
        ("binary", [0.5], [math.nan], "the answer of row 0 is nan"),
        ("multiclass", [[1.0]], [0], "one logit for each class"),
        ("multiclass", [[1.0, 2.0]], [0.5], "the answer of row 0 is 0.5, which is not one of the classes 0 to 1"),
        ("regression", [1.0, 2.0], [1, math.inf], "the answer of row 1 is inf, which is not a finite number"),
        ("poetry", [1.0], [1], "the task 'poetry' is not one of binary, multiclass, multilabel, regression, ranking"),
    ],
)
def test_rows_that_do_not_fit_the_task_are_refused(task: str, predictions: object, answers: object, fault: str) -> None:
    with pytest.raises(Unmeasurable, match=fault):
        measured(task, predictions, answers)
