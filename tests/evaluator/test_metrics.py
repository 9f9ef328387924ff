"""Every metric against its definition, counted row by row, and the edges where it is not defined."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.metrics import RESOLUTION, Measured, Unmeasurable, measure

# Few distinct values, so that ties, the threshold itself and the ends of the scale come up.
probabilities = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0])
binary_rows = st.lists(st.tuples(probabilities, st.sampled_from([0, 1])), min_size=1, max_size=30)
# No three of them that are not negative add up to 1, as probabilities do.
logit = st.sampled_from([-3.0, -1.0, 0.0, 0.7, 2.0, 50.0])
multiclass_rows = st.lists(st.tuples(st.tuples(logit, logit, logit), st.integers(0, 2)), min_size=1, max_size=30)
real = st.floats(-1e3, 1e3)
regression_rows = st.lists(st.tuples(real, real), min_size=1, max_size=30)


def measured(task: str, predictions: object, answers: object, threshold: float = 0.5) -> Measured:
    return measure(task, np.asarray(predictions, np.float64), np.asarray(answers), threshold)


@given(binary_rows, st.sampled_from([0.25, 0.5, 0.9]))
def test_binary_metrics_are_their_definitions(rows: list[tuple[float, int]], threshold: float) -> None:
    found = measured("binary", [[p] for p, _ in rows], [y for _, y in rows], threshold)
    cells = {(a, g): sum(1 for p, y in rows if (y, int(p >= threshold)) == (a, g)) for a, g in product((0, 1), (0, 1))}
    hits, alarms, missed, rest = cells[1, 1], cells[0, 1], cells[1, 0], cells[0, 0]
    expected = {"accuracy": (hits + rest) / len(rows)}
    if hits + missed:
        expected["recall"] = hits / (hits + missed)
    if hits + alarms:
        expected["precision"] = hits / (hits + alarms)
    if hits + alarms + missed:
        expected["f1"] = 2 * hits / (2 * hits + alarms + missed)
    pairs = [(p, q) for (p, y), (q, z) in product(rows, rows) if (y, z) == (1, 0)]
    if pairs:
        expected["auc"] = sum(1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs) / len(pairs)
    truths = [min(max(p if y else 1 - p, RESOLUTION), 1 - RESOLUTION) for p, y in rows]
    expected["log_loss"] = -sum(math.log(truth) for truth in truths) / len(rows)
    assert found.metrics == pytest.approx(expected)
    assert found.confusion == {(str(a), str(g)): count for (a, g), count in cells.items()}


@given(multiclass_rows)
def test_multiclass_metrics_are_their_definitions(rows: list[tuple[tuple[float, ...], int]]) -> None:
    found = measured("multiclass", [logits for logits, _ in rows], [y for _, y in rows])
    pairs = [(y, logits.index(max(logits))) for logits, y in rows]
    recalls, precisions, f1s = [], [], []
    for each in {y for y, _ in pairs}:
        hits = sum(1 for pair in pairs if pair == (each, each))
        actual = sum(1 for y, _ in pairs if y == each)
        claimed = sum(1 for _, guess in pairs if guess == each)
        recalls.append(hits / actual)
        precisions.append(hits / claimed if claimed else 0)
        f1s.append(2 * hits / (actual + claimed))
    losses = [math.log(sum(math.exp(x) for x in logits)) - logits[y] for logits, y in rows]
    assert found.metrics == pytest.approx(
        {
            "accuracy": sum(1 for y, guess in pairs if y == guess) / len(rows),
            "recall": sum(recalls) / len(recalls),
            "precision": sum(precisions) / len(precisions),
            "f1": sum(f1s) / len(f1s),
            "log_loss": sum(losses) / len(rows),
        }
    )
    assert found.confusion == {(str(y), str(guess)): pairs.count((y, guess)) for y, guess in pairs}


@given(regression_rows)
def test_regression_metrics_are_their_definitions(rows: list[tuple[float, float]]) -> None:
    found = measured("regression", [[p] for p, _ in rows], [y for _, y in rows])
    mse = sum((p - y) ** 2 for p, y in rows) / len(rows)
    assert found.metrics["mse"] == pytest.approx(mse)
    assert found.metrics["mae"] == pytest.approx(sum(abs(p - y) for p, y in rows) / len(rows))
    mean = sum(y for _, y in rows) / len(rows)
    spread = sum((y - mean) ** 2 for _, y in rows) / len(rows)
    if spread > 1e-6:
        assert found.metrics["r2"] == pytest.approx(1 - mse / spread, rel=1e-6, abs=1e-6)
    assert not found.confusion


def test_without_a_positive_row_recall_and_auc_are_absent() -> None:
    assert measured("binary", [0.1, 0.9], [0, 0]).metrics.keys() == {"accuracy", "precision", "f1", "log_loss"}


def test_without_a_positive_prediction_precision_is_absent_and_f1_is_zero() -> None:
    metrics = measured("binary", [0.1, 0.2], [0, 1]).metrics
    assert "precision" not in metrics
    assert metrics["f1"] == 0


def test_with_nothing_positive_at_all_f1_is_absent() -> None:
    assert measured("binary", [0.1], [0]).metrics.keys() == {"accuracy", "log_loss"}


@pytest.mark.parametrize("invalid", [math.nan, math.inf, -math.inf])
def test_an_invalid_probability_is_wrong_and_takes_auc_and_log_loss_with_it(invalid: float) -> None:
    found = measured("binary", [invalid, invalid, 0.9, 0.1], [0, 1, 1, 0])
    assert found.metrics == {"accuracy": 0.5, "recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3)}
    assert found.confusion[("0", "invalid")] == found.confusion[("1", "invalid")] == 1


def test_an_invalid_logit_is_wrong_and_takes_log_loss_with_it() -> None:
    found = measured("multiclass", [[math.nan, 1], [0, 1]], [1, 1])
    assert found.metrics == {"accuracy": 0.5, "recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3)}
    assert found.confusion == {("1", "invalid"): 1, ("1", "1"): 1}


def test_an_invalid_regression_prediction_leaves_no_metric() -> None:
    assert measured("regression", [1.0, math.nan], [1, 2]).metrics == {}


def test_a_constant_answer_has_no_r2() -> None:
    assert measured("regression", [1.0, 2.0], [0.1, 0.1]).metrics.keys() == {"mse", "mae"}


def test_huge_logits_do_not_overflow() -> None:
    assert measured("multiclass", [[1e4, -1e4]], [1]).metrics["log_loss"] == pytest.approx(2e4)


def test_a_confusion_too_large_for_a_record_is_left_out() -> None:
    classes = 2_100
    assert measured("multiclass", 9 * np.eye(classes), np.arange(classes)).confusion == {}


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "fault"),
    [
        ("binary", [], [], "no test rows"),
        ("binary", [0.5], [0, 1], "1 predictions for 2 rows"),
        ("binary", [[0.5, 0.5]], [1], r"the predictions have the shape \[1, 2\]: expected one prediction for each row"),
        ("binary", [0.5], [2], "the answer of row 0 is 2, which is not one of the classes 0 to 1"),
        ("binary", [0.5], [math.nan], "the answer of row 0 is nan"),
        ("multiclass", [[1.0]], [0], "one logit for each class"),
        ("multiclass", [[1.0, 2.0]], [0.5], "the answer of row 0 is 0.5, which is not one of the classes 0 to 1"),
        ("regression", [1.0, 2.0], [1, math.inf], "the answer of row 1 is inf, which is not a finite number"),
        ("ranking", [1.0], [1], "the task 'ranking'"),
    ],
)
def test_rows_that_do_not_fit_the_task_are_refused(task: str, predictions: object, answers: object, fault: str) -> None:
    with pytest.raises(Unmeasurable, match=fault):
        measured(task, predictions, answers)
