"""Repositories of the kinds that teams publish go from their own tensors to answers of the gateway."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from headgate.artifacts import layout
from headgate.artifacts.findings import Findings, findings_in
from headgate.artifacts.plots.by_task import PLOTS_OF
from headgate.artifacts.plots.png import SIGNATURE
from headgate.artifacts.rows_apart import shown_in
from headgate.v1 import configuration_pb2 as configuration
from services.evaluator.inference import load, predict
from services.evaluator.metrics.measure import Options
from services.evaluator.score import read_rows, score_on
from services.gateway.categories import unknown_category
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.onnx_errors import MODEL_ERRORS
from services.gateway.sessions import LoadedVersion
from services.trainer.job import ARTIFACT_DIRECTORY
from tests.late import Late
from tests.trainer.kinds import KINDS
from tests.trainer.measured_models import MEASURED, UNMEASURED

# On a busy machine the start of torch alone takes a minute.
pytestmark = pytest.mark.timeout(600)

ALL_KINDS = KINDS | MEASURED
class_weight = Late("sklearn.utils.class_weight")


@dataclass
class Kinds:
    directory: Path
    outcomes: dict[str, Any]
    printed: str

    def file(self, kind: str, name: str) -> bytes:
        assert "finished" in self.outcomes[kind], self.outcomes[kind]
        return (self.directory / f"model_{kind.replace(' ', '_')}" / ARTIFACT_DIRECTORY / name).read_bytes()

    def served(self, kind: str) -> LoadedVersion:
        return load_onnx("kind", 1, self.file(kind, layout.MODEL_FILE))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    directory = tmp_path_factory.mktemp("kinds")
    script = Path(__file__).parents[1] / "kinds_process.py"
    done = subprocess.run([sys.executable, "-P", str(script), str(directory)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Kinds(directory, json.loads((directory / "outcomes.json").read_text()), done.stdout + done.stderr)


def test_the_exporter_prints_no_warnings_of_its_own_code(kinds: Kinds) -> None:
    warnings = [line for line in kinds.printed.splitlines() if "Warning: " in line]
    assert [line for line in warnings if "export" in line or line.startswith("<eval")] == []


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_signature_has_the_names_the_datatypes_and_the_dimensions_that_vary(kinds: Kinds, kind: str) -> None:
    signature = json.loads(kinds.file(kind, layout.SIGNATURE_FILE))
    for side, expected in (("inputs", ALL_KINDS[kind].inputs), ("outputs", ALL_KINDS[kind].outputs)):
        assert {each["name"]: (each["datatype"], each["shape"]) for each in signature[side]} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_evaluator_measures_what_the_gateway_answers(kinds: Kinds, kind: str) -> None:
    rows = read_rows(kinds.file(kind, layout.TEST_ROWS_FILE), "", 4)
    session = load(kinds.file(kind, layout.MODEL_FILE))
    task = KINDS[kind].job.get("task", "binary")
    declared = configuration.ModelConfiguration(task=task)
    declared.network.measured = KINDS[kind].job.get("measured", "")
    report = score_on(session, declared, Options(), rows)
    assert (report.rows, len(report.metrics) > 0) == (9, True)
    served = kinds.served(kind)
    assert {name: (spec.datatype, spec.wire_shape) for name, spec in served.inputs.items()} == KINDS[kind].inputs
    assert {spec.name: (spec.datatype, spec.wire_shape) for spec in served.outputs} == KINDS[kind].outputs
    answers = served.predict(rows.features, [spec.name for spec in served.outputs])
    measured = predict(session, rows.features, 9)
    for spec, array in zip(served.outputs, answers, strict=True):
        np.testing.assert_array_equal(array, measured[spec.name])


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_has_the_plots_of_its_task(kinds: Kinds, kind: str) -> None:
    expected = {"learning_curve", *PLOTS_OF[KINDS[kind].job.get("task", "binary")]}
    assert set(json.loads(kinds.file(kind, layout.PLOTS_FILE))["plots"]) == expected
    for plot in expected:
        assert kinds.file(kind, layout.plot_file(plot)).startswith(SIGNATURE)


def test_token_numbers_reach_the_graph_as_they_are(kinds: Kinds) -> None:
    rows = read_rows(kinds.file("tokens", layout.TEST_ROWS_FILE), "", 4)
    assert rows.features["features"].dtype == np.int64
    assert rows.features["features"].min() >= 16_777_217


def test_a_model_answers_rows_of_other_lengths_than_it_was_trained_on(kinds: Kinds) -> None:
    served = kinds.served("lengths")
    assert [spec.shape for spec in served.inputs.values()] == [("batch", "length"), ("batch", "length")]
    tokens = np.arange(24).reshape(2, 12)
    one, steps = served.predict({"tokens": tokens, "mask": np.ones((2, 12), np.bool_)}, ["prediction", "steps"])
    assert (one.shape, steps.shape) == ((2, 1), (2, 12, 4))


LOOKED_UP = {
    "embedded": np.array([0, 1]),
    "selected": np.array([0, 1], np.float32),
    "column": np.array([0, 1], np.float32),
    "bracketed": np.array([0, 1]),
}


@pytest.mark.parametrize(
    ("name", "index", "rule"),
    [
        ("embedded", -1, "input 'embedded': the model knows no category -1; expected a whole number from 0 to 4"),
        ("embedded", -(2**63), "input 'embedded': the model knows no category"),
        ("embedded", 2**63 - 1, "input 'embedded': the model knows no category"),
        ("embedded", 5, "input 'embedded': the model knows no category 5; expected a whole number from 0 to 4"),
        ("selected", -5, "input 'selected': the model knows no category -5.0; expected a whole number from 0 to 4"),
        ("column", -1, ""),
    ],
)
def test_an_index_below_0_finds_nothing_as_in_torch(kinds: Kinds, name: str, index: int, rule: str) -> None:
    served = kinds.served("lookups")
    wrong = LOOKED_UP | {name: np.array([0, index], LOOKED_UP[name].dtype)}
    with pytest.raises(MODEL_ERRORS) as caught:
        served.predict(wrong, ["prediction"])
    found = unknown_category(caught.value, wrong, lambda tried: served.predict(tried, ["prediction"]))
    assert found.startswith(rule)
    assert bool(found) == bool(rule)


def test_an_index_in_brackets_counts_from_the_end_as_in_torch(kinds: Kinds) -> None:
    served = kinds.served("lookups")
    of_last, of_minus_one = (
        served.predict(LOOKED_UP | {"bracketed": np.array([0, index])}, ["prediction"])[0] for index in (4, -1)
    )
    np.testing.assert_array_equal(of_last, of_minus_one)


@pytest.mark.parametrize("kind", ["logits", "two logits", "labels"])
def test_a_network_of_logits_serves_probabilities(kinds: Kinds, kind: str) -> None:
    served = kinds.served(kind)
    (answers,) = served.predict({"features": np.array([[50, 50, 50], [-50, -50, -50]], np.float32)}, ["prediction"])
    assert answers.min() >= 0
    assert answers.max() <= 1
    weights = safetensors.numpy.load(kinds.file(kind, layout.WEIGHTS_FILE))
    logits = np.array([[50, 50, 50], [-50, -50, -50]], np.float32) @ weights["weight"].T + weights["bias"]
    expected = 1 / (1 + np.exp(-(logits[:, 1:] - logits[:, :1] if kind == "two logits" else logits)))
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6)


def test_balanced_weights_of_labels_are_those_of_scikit_learn_for_each_column(kinds: Kinds) -> None:
    rows = read_rows(kinds.file("labels", layout.TEST_ROWS_FILE), "", 4)  # those of the training too
    answers = next(iter(rows.answers.values()))
    trained = safetensors.numpy.load(kinds.file("labels", layout.WEIGHTS_FILE))
    logits = rows.features["features"] @ trained["weight"].T + trained["bias"]
    losses = np.logaddexp(0, np.where(answers > 0, -logits, logits))
    weights = [
        class_weight.compute_class_weight("balanced", classes=np.array([0, 1]), y=column) for column in answers.T
    ]
    weighted = [pair[column] for pair, column in zip(weights, answers.T, strict=True)]
    last = json.loads(kinds.file("labels", layout.TRAINING_FILE))["epochs"][-1]
    assert last["validation_loss"] == pytest.approx(np.mean(losses * np.transpose(weighted)), rel=1e-5)


@pytest.mark.parametrize("kind", ["a dataset", "a loader", "two heads"])
def test_a_training_that_goes_on_from_a_checkpoint_gives_the_same_bytes(kinds: Kinds, kind: str) -> None:
    assert kinds.outcomes[kind]["differing after a kill"] == []


def findings(kinds: Kinds, kind: str) -> Findings:
    return findings_in(kinds.file(kind, layout.TRAINING_FILE))


@pytest.mark.parametrize(("kind", "metrics"), [("two labels", {"accuracy", "f1"}), ("ranked", {"ndcg", "map"})])
def test_other_tasks_are_measured_by_their_metrics(kinds: Kinds, kind: str, metrics: set[str]) -> None:
    rows = read_rows(kinds.file(kind, layout.TEST_ROWS_FILE), "", 4)
    declared = configuration.ModelConfiguration(task=MEASURED[kind].job["task"])
    report = score_on(load(kinds.file(kind, layout.MODEL_FILE)), declared, Options(), rows)
    assert metrics <= {metric.name for metric in (*report.metrics, *report.undefined)}


def test_the_code_of_a_repository_measures_the_test_rows(kinds: Kinds) -> None:
    found = findings(kinds, "costs")
    assert (found.own_metrics["rows"], found.own_metrics["seed"]) == (9, 7)
    assert found.own_metrics["cost"] % 5 == 0
    assert findings(kinds, "encoded").own_metrics["distance"] > 0


def test_own_metrics_get_as_many_boxes_as_each_row_has_and_requests_for_boxes_run_alone(kinds: Kinds) -> None:
    found = findings(kinds, "boxes").own_metrics
    assert (found["sizes"] > 1, found["lowest"] > 0.5) == (True, True)
    shown = {kind: shown_in(kinds.file(kind, layout.TRAINING_FILE)) for kind in ("boxes", "costs", "strides")}
    assert shown == {"boxes": False, "costs": True, "strides": True}
    rows = read_rows(kinds.file("boxes", layout.TEST_ROWS_FILE), "", 1)
    declared = configuration.ModelConfiguration(task="custom")
    assert score_on(load(kinds.file("boxes", layout.MODEL_FILE)), declared, Options(), rows).rows == 9


def test_a_threshold_is_chosen_on_the_validation_rows(kinds: Kinds) -> None:
    found = findings(kinds, "costs").threshold
    assert found is not None
    assert 0 < found < 1
    assert findings(kinds, "two labels").threshold is None


def test_test_rows_that_stand_in_training_are_counted(kinds: Kinds) -> None:
    assert findings(kinds, "costs").leaked_rows == 9
    assert findings(kinds, "two inputs").leaked_rows == 9
    assert findings(kinds, "a loader").leaked_rows == 9
    assert findings(kinds, "encoded").leaked_rows == 0


@pytest.mark.parametrize("case", UNMEASURED)
def test_what_cannot_be_measured_fails_with_the_line_or_the_setting(kinds: Kinds, case: str) -> None:
    expected, found = UNMEASURED[case], kinds.outcomes[case]
    assert "failed" in found, found
    assert found["failed"]["reason"].startswith(expected.reason), found["failed"]["reason"]
    assert found["epochs"] == expected.epochs
