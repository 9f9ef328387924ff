"""What a training finds out comes back from training.json as it was, and thresholds are the best there are."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.artifacts.findings import FINDINGS, Findings, WrongFindings, findings_in
from headgate.artifacts.thresholds import NoThreshold, choose
from headgate.v1 import configuration_pb2 as configuration

probability = st.sampled_from([0.0, 0.1, 0.3, 0.30001, 0.7, 1.0])
rows = st.lists(st.tuples(probability, st.sampled_from([0, 1])), min_size=1, max_size=20)
some_positive = rows.filter(lambda found: any(answer for _, answer in found))


def shares(scores: Any, answers: Any, threshold: float) -> dict[str, float]:
    guesses = scores >= threshold
    hits, claimed, positives = int((guesses & (answers == 1)).sum()), int(guesses.sum()), int(answers.sum())
    return {
        "f1": 2 * hits / (claimed + positives),
        "accuracy": float(np.mean(guesses == answers)),
        "recall": hits / positives,
        "precision": hits / claimed if claimed else math.nan,
    }


@given(some_positive, st.sampled_from(["f1", "accuracy"]))
def test_no_other_threshold_is_better(found: list[tuple[float, int]], best: str) -> None:
    scores, answers = (np.array(column) for column in zip(*found, strict=True))
    chosen = choose(configuration.ThresholdChoice(best=best), scores, answers)
    reached = shares(scores, answers, chosen)[best]
    assert reached == pytest.approx(max(shares(scores, answers, each)[best] for each in scores))


@given(some_positive, st.sampled_from(["recall", "precision"]), st.sampled_from([0.0, 0.4, 0.8, 1.0]))
def test_a_threshold_reaches_what_is_asked_or_none_does(
    found: list[tuple[float, int]], name: str, least: float
) -> None:
    scores, answers = (np.array(column) for column in zip(*found, strict=True))
    enough = [each for each in scores if shares(scores, answers, each)[name] >= least]
    choice = configuration.ThresholdChoice(**{name: least})
    if not enough:
        with pytest.raises(NoThreshold, match=f"no threshold reaches a {name} of {least:g}; the best reaches 0."):
            choose(choice, scores, answers)
        return
    wanted = max(enough) if name == "recall" else min(enough)
    assert np.array_equal(scores >= choose(choice, scores, answers), scores >= wanted)


def test_a_threshold_lies_between_two_probabilities() -> None:
    """A rounding error of another runtime must not change an answer."""
    chosen = choose(configuration.ThresholdChoice(best="f1"), np.array([0.2, 0.6]), np.array([0, 1]))
    assert chosen == pytest.approx(0.4)


def test_rows_that_can_choose_no_threshold_say_why() -> None:
    choice = configuration.ThresholdChoice(best="f1")
    with pytest.raises(NoThreshold, match="no validation row is positive"):
        choose(choice, np.array([0.2]), np.array([0]))
    with pytest.raises(NoThreshold, match="not a finite number"):
        choose(choice, np.array([math.nan]), np.array([1]))


@pytest.mark.parametrize(
    "found", [Findings(), Findings({"cost": 1.5, "profit": -2.0}, 0.25, 3), Findings(leaked_rows=0)]
)
def test_findings_come_back_as_they_were(found: Findings) -> None:
    assert findings_in(json.dumps({FINDINGS: found.as_json(), "seed": 7}).encode()) == found


def test_a_file_of_an_older_trainer_has_no_findings() -> None:
    assert findings_in(b"{}") == Findings()


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"findings": 3}',
        '{"findings": {"own_metrics": {"cost": NaN}}}',
        '{"findings": {"own_metrics": {"cost": "dear"}}}',
        '{"findings": {"own_metrics": 3}}',
        '{"findings": {"threshold": true}}',
        '{"findings": {"leaked_rows": -1}}',
        "[" * 100_000,
    ],
)
def test_findings_that_the_training_process_cannot_have_written_are_refused(text: str) -> None:
    with pytest.raises(WrongFindings, match=r"training\.json: findings cannot be read"):
        findings_in(text.encode())
