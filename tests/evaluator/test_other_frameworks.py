"""Versions of other frameworks are measured as scikit-learn measures the same rows: trees, text, classes by number."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, helper

from headgate.artifacts.row_file import rows_as_bytes
from headgate.configuration import ONNX
from headgate.v1 import facts_pb2 as facts
from services.evaluator.score import compare, score
from tests.artifacts.graph_material import floats, model, tokenizer, tree
from tests.evaluator.material import artifacts_in, files_of, logistic, rows_of, sealed_files
from tests.evaluator.oracle import metrics as oracle

ROWS = np.random.default_rng(3).random((200, 2), np.float32)
YES = (ROWS[:, 0] + 0.2 * ROWS[:, 1] > 0.6).astype(np.int64)


def version_of(directory: Path, made: ModelProto, task: str, rows: dict[str, npt.NDArray[Any]]) -> Any:
    artifacts = artifacts_in(directory)
    version = sealed_files(artifacts, directory, 1, files_of(made.SerializeToString(), rows_as_bytes(rows)))
    version.configuration.code.kind, version.configuration.task = ONNX, task
    return artifacts, version


def metrics_of(report: facts.EvaluationReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def test_boosted_trees_are_measured_by_the_probability_of_the_second_class(tmp_path: Path) -> None:
    artifacts, version = version_of(tmp_path, tree(), "binary", {"X.input": ROWS, "y": YES})
    predicted = np.where(ROWS[:, 0] <= 0.5, np.float32(0.1), np.float32(0.9))

    found = metrics_of(score(artifacts, version).report)

    assert found["auc"] == pytest.approx(oracle.roc_auc_score(YES, predicted), abs=1e-12)
    assert found["accuracy"] == oracle.accuracy_score(YES, predicted >= 0.5)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(YES, predicted), abs=1e-6)


def test_probabilities_of_classes_are_measured_as_they_are(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["x"], ["probabilities"])
    made = model([node], [floats("x", None, 3)], [floats("probabilities", None, 3)])
    logits = np.random.default_rng(4).normal(size=(90, 3)).astype(np.float32)
    answers = np.arange(90, dtype=np.int64) % 3
    artifacts, version = version_of(tmp_path, made, "multiclass", {"X.x": logits, "y": answers})
    exact = np.exp(logits.astype(np.float64))

    found = metrics_of(score(artifacts, version).report)

    assert found["log_loss"] == pytest.approx(oracle.log_loss(answers, exact / exact.sum(1, keepdims=True)), abs=1e-6)
    assert found["accuracy"] == oracle.accuracy_score(answers, logits.argmax(1))


def test_text_goes_into_the_operators_that_read_it(tmp_path: Path) -> None:
    texts = np.array(["", "one", "fünf", "😀"], object)
    rows = {"X.text": texts, "y": np.array([0.0, 3.0, 4.0, 1.0])}
    artifacts, version = version_of(tmp_path, tokenizer(), "regression", rows)

    assert metrics_of(score(artifacts, version).report)["r2"] == 1


def test_trees_are_compared_with_a_live_network_that_takes_another_input_by_reason(tmp_path: Path) -> None:
    artifacts, version = version_of(tmp_path, tree(), "binary", {"X.input": ROWS, "y": YES})
    live = sealed_files(artifacts, tmp_path, 2, files_of(logistic([1.0, 0.0]), rows_of(ROWS, YES)))

    found = compare(artifacts, score(artifacts, version), live)

    assert "the model takes the input features, and these rows have input" in found.failure
    assert "the input is input float [n, 2]" in found.signature_change


def test_trees_that_take_what_a_live_network_takes_are_compared_with_it_on_the_same_rows(tmp_path: Path) -> None:
    artifacts, version = version_of(tmp_path, tree(taken="features"), "binary", {"X": ROWS, "y": YES})
    live = sealed_files(artifacts, tmp_path, 2, files_of(logistic([1.0, 0.0]), rows_of(ROWS, YES)))

    found = compare(artifacts, score(artifacts, version), live)

    assert found.failure == ""
    assert found.report is not None
    assert metrics_of(found.report)["auc"] == pytest.approx(oracle.roc_auc_score(YES, ROWS[:, 0]), abs=1e-12)


def test_a_test_row_of_text_is_no_number_for_a_network(tmp_path: Path) -> None:
    rows = {"X.input": np.array([["a", "b"]], object), "y": np.array([1])}
    artifacts, version = version_of(tmp_path, tree(), "binary", rows)

    with pytest.raises(Exception, match="the model takes rows of float32, and these are of object"):
        score(artifacts, version)
