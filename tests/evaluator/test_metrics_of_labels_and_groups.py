"""The metrics of multilabel and ranking tasks against scikit-learn's on the same rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.metrics.scores import Unmeasurable
from tests.evaluator.oracle import Oracle, measured, require_same
from tests.evaluator.oracle import metrics as sklearn_metrics

probability = st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0])
bit = st.sampled_from([0, 1])
label_rows = st.lists(st.tuples(st.tuples(probability, probability), st.tuples(bit, bit)), min_size=1, max_size=20)
score = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
group = st.lists(st.tuples(score, st.sampled_from([0, 1, 3])), min_size=2, max_size=8)
relevant_group = group.filter(lambda rows: any(relevance for _, relevance in rows))


@given(label_rows)
def test_multilabel_metrics_are_those_of_scikit_learn(
    rows: list[tuple[tuple[float, float], tuple[int, int]]],
) -> None:
    scores, answers = np.array([p for p, _ in rows]), np.array([y for _, y in rows])
    guesses = (scores >= 0.5).astype(int)
    expected: dict[str, Oracle] = {
        "accuracy": lambda: sklearn_metrics.accuracy_score(answers, guesses),
        "hamming_loss": lambda: sklearn_metrics.hamming_loss(answers, guesses),
        "recall": lambda: sklearn_metrics.recall_score(answers, guesses, average="macro"),
        "precision": lambda: sklearn_metrics.precision_score(answers, guesses, average="macro"),
        "f1": lambda: sklearn_metrics.f1_score(answers, guesses, average="macro"),
        "auc": lambda: float(
            np.mean([sklearn_metrics.roc_auc_score(answers[:, each], scores[:, each]) for each in (0, 1)])
        ),
    }
    require_same(measured("multilabel", scores, answers), expected)


@given(st.lists(relevant_group, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_ranking_metrics_are_the_means_of_scikit_learns_over_the_groups(
    groups: list[list[tuple[float, int]]], random: object
) -> None:
    rows = [(value, gain, number) for number, rows in enumerate(groups) for value, gain in rows]
    random.shuffle(rows)  # type: ignore[attr-defined]
    found = measured("ranking", [[value] for value, _, _ in rows], [[gain, number] for _, gain, number in rows])
    pairs = [tuple(np.array(column) for column in zip(*rows, strict=True)) for rows in groups]
    expected: dict[str, Oracle] = {
        "ndcg": lambda: float(np.mean([sklearn_metrics.ndcg_score([gains], [scores]) for scores, gains in pairs])),
        "map": lambda: float(
            np.mean([sklearn_metrics.average_precision_score(gains > 0, scores) for scores, gains in pairs])
        ),
    }
    require_same(found, expected)


def test_a_mean_over_labels_is_undefined_when_it_is_for_one_of_them() -> None:
    scores = measured("multilabel", [[0.9, 0.1], [0.1, 0.1]], [[1, 0], [0, 0]]).scores
    assert scores.undefined == {
        "auc": "label 1: no row is positive",
        "f1": "label 1: no row is positive and no row was predicted positive",
        "precision": "label 1: no row was predicted positive",
        "recall": "label 1: no row is positive",
    }
    assert scores.values == {"accuracy": 1.0, "hamming_loss": 0.0}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([[1, 7], [0, 7], [1, 9]], "group 9 has only one row"),
        ([[1, 7], [0, 7], [0, 9], [0, 9]], "group 9 has no row with a relevance above 0"),
    ],
)
def test_a_group_that_ranks_nothing_leaves_no_metric(answers: list[list[float]], reason: str) -> None:
    scores = measured("ranking", np.arange(len(answers)), answers).scores
    assert scores.undefined == {"ndcg": reason, "map": reason}


def test_a_score_that_is_not_finite_leaves_no_metric() -> None:
    scores = measured("ranking", [0.5, math.nan], [[1, 0], [0, 0]]).scores
    assert scores.undefined["ndcg"] == "the prediction of row 1 is not a finite number"


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "fault"),
    [
        ("multilabel", [0.5], [1], "must return one probability for each label of each row"),
        ("multilabel", [[0.5, 1.5]], [[1, 0]], "the prediction of row 0, label 1 is 1.5"),
        ("multilabel", [[0.5, 0.5]], [[1]], "expected a row of 2 labels for each row"),
        ("multilabel", [[0.5, 0.5]], [[1, 2]], "the answer of row 0, label 1 is 2, expected 0 or 1"),
        ("ranking", [0.5], [1], "expected two numbers for each row, its relevance and its group"),
        ("ranking", [0.5], [[-1, 0]], "the answer of row 0 is -1, which is no relevance of at least 0"),
        ("ranking", [0.5], [[1, 0.5]], "the answer of row 0 is 0.5, which is no whole number of a group"),
    ],
)
def test_rows_that_do_not_fit_the_task_are_refused(task: str, predictions: object, answers: object, fault: str) -> None:
    with pytest.raises(Unmeasurable, match=fault):
        measured(task, predictions, answers)
