"""The curves are scikit-learn's, point by point; rows that can have no curve say why."""

import numpy as np
import pytest

from headgate.artifacts.plots.by_task import Plots, plots_of
from headgate.artifacts.plots.curves import MAX_POINTS
from tests.evaluator.oracle import calibration, metrics

CHANCE = np.random.RandomState(5)
ANSWERS = CHANCE.randint(0, 2, 300)
PROBABILITIES = np.round(np.clip(0.3 * ANSWERS + 0.7 * CHANCE.rand(300), 0, 1), 2)
CLASSES = CHANCE.randint(0, 3, 200)
LOGITS = CHANCE.randn(200, 3) + 2 * np.eye(3)[CLASSES]


def binary(probabilities: object = PROBABILITIES, answers: object = ANSWERS, threshold: float = 0.5) -> Plots:
    return plots_of("binary", np.asarray(probabilities, np.float64), np.asarray(answers), threshold)


def test_a_roc_curve_is_that_of_scikit_learn() -> None:
    (curve,) = binary().plots["roc"].series
    false, true, _ = metrics.roc_curve(ANSWERS, PROBABILITIES, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, false, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.y, true, rtol=0, atol=1e-12)


def test_a_precision_recall_curve_is_that_of_scikit_learn() -> None:
    (curve,) = binary().plots["precision_recall"].series
    precision, recall, _ = metrics.precision_recall_curve(ANSWERS, PROBABILITIES)
    # scikit-learn goes from the lowest threshold to the highest, and adds a point that no threshold has.
    np.testing.assert_allclose(curve.x, recall[-2::-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.y, precision[-2::-1], rtol=0, atol=1e-12)


def test_a_calibration_curve_is_that_of_scikit_learn() -> None:
    (curve,) = binary().plots["calibration"].series
    came_true, mean = calibration.calibration_curve(ANSWERS, PROBABILITIES, n_bins=10)
    np.testing.assert_allclose(curve.x, mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.y, came_true, rtol=0, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_a_confusion_uses_the_threshold(threshold: float) -> None:
    expected = metrics.confusion_matrix(ANSWERS, threshold <= PROBABILITIES)
    assert binary(threshold=threshold).plots["confusion"].cells == expected.tolist()


def test_each_class_has_a_curve_against_the_others() -> None:
    found = plots_of("multiclass", LOGITS, CLASSES, 0.5).plots
    odds = np.exp(LOGITS)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    for number, curve in enumerate(found["roc"].series):
        false, true, _ = metrics.roc_curve(number == CLASSES, probabilities[:, number], drop_intermediate=False)
        assert curve.name == f"class {number}"
        np.testing.assert_allclose(curve.x, false, rtol=0, atol=1e-12)
        np.testing.assert_allclose(curve.y, true, rtol=0, atol=1e-12)
    assert found["confusion"].cells == metrics.confusion_matrix(CLASSES, LOGITS.argmax(axis=1)).tolist()


def test_residuals_are_distances_from_the_answers() -> None:
    (cloud,) = plots_of("regression", np.array([[1.5], [2.0]]), np.array([1.0, 3.0]), 0.5).plots["residuals"].series
    assert (list(cloud.x), list(cloud.y)) == ([1.5, 2.0], [0.5, -1.0])


def test_a_long_curve_keeps_its_ends_and_some_of_its_points() -> None:
    many = np.random.RandomState(6)
    probabilities, answers = many.rand(20_000), many.randint(0, 2, 20_000)
    (curve,) = binary(probabilities, answers).plots["roc"].series
    false, true, _ = metrics.roc_curve(answers, probabilities, drop_intermediate=False)
    whole = set(zip(false.tolist(), true.tolist(), strict=True))
    assert len(curve.x) == MAX_POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert set(zip(curve.x, curve.y, strict=True)) <= whole


@pytest.mark.parametrize(("answer", "reason"), [(0, "no row is positive"), (1, "every row is positive")])
def test_rows_of_one_class_have_no_roc_curve(answer: int, reason: str) -> None:
    found = binary(answers=np.full(300, answer))
    assert "roc" not in found.plots
    assert found.undefined["roc"] == reason


def test_a_class_without_rows_has_no_curve_and_the_others_have() -> None:
    found = plots_of("multiclass", LOGITS[CLASSES != 1], CLASSES[CLASSES != 1], 0.5)
    assert [curve.name for curve in found.plots["roc"].series] == ["class 0", "class 2"]
    assert found.undefined["roc of class 1"] == "no row is positive"


def test_rows_without_a_finite_prediction_are_left_out_and_counted() -> None:
    some = PROBABILITIES.copy()
    some[:7] = np.nan
    found = binary(some)
    assert {plot.left_out_rows for plot in found.plots.values()} == {7}
    assert sum(sum(row) for row in found.plots["confusion"].cells) == 293
    assert binary(np.full(300, np.nan)).undefined["roc"] == "no prediction is a finite number"


def test_predictions_of_another_meaning_make_every_plot_undefined() -> None:
    found = binary(PROBABILITIES + 3)
    assert found.plots == {}
    assert set(found.undefined) == {"roc", "precision_recall", "calibration", "confusion"}
    assert "from 0 to 1" in found.undefined["roc"]


def test_the_ndcg_of_the_first_ranks_is_that_of_scikit_learn() -> None:
    sizes = CHANCE.randint(2, 30, 12)
    groups = CHANCE.permutation(np.repeat(np.arange(len(sizes)), sizes))
    relevance, scores = CHANCE.randint(0, 4, len(groups)), np.round(CHANCE.rand(len(groups)), 1)
    relevance[np.unique(groups, return_index=True)[1]] = 2
    (curve,) = plots_of("ranking", scores, np.stack([relevance, groups], axis=1), 0.5).plots["ndcg_at"].series
    assert list(curve.x) == list(range(1, 21))
    for ranks, found in zip(curve.x, curve.y, strict=True):
        of_groups = [
            metrics.ndcg_score([relevance[groups == each]], [scores[groups == each]], k=int(ranks))
            for each in range(len(sizes))
        ]
        assert found == pytest.approx(np.mean(of_groups), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "answers", "reason"),
    [
        ([0.1, 0.2, 0.3], [[1, 0], [0, 0], [1, 7]], "a group has only one row"),
        ([0.1, 0.2, 0.3, 0.4], [[1, 0], [0, 0], [0, 7], [0, 7]], "a group has no row with a relevance above 0"),
        ([0.1, np.nan], [[1, 0], [0, 0]], "the prediction of row 1 is not a finite number"),
    ],
)
def test_groups_that_cannot_be_ranked_have_no_curve(scores: object, answers: object, reason: str) -> None:
    found = plots_of("ranking", np.asarray(scores), np.asarray(answers), 0.5)
    assert found.plots == {}
    assert found.undefined == {"ndcg_at": reason}
