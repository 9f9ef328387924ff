"""An evaluation from the signed artifact to the report, on real ONNX models."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from headgate.artifacts.findings import FINDINGS, Findings
from headgate.artifacts.layout import INPUT, MODEL_FILE, OUTPUT, TEST_ROWS_FILE, TRAINING_FILE
from headgate.artifacts.store import StoreUnavailable
from headgate.log import topics
from headgate.log.port import EventLog
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from services.evaluator import inference, work
from services.evaluator import score as score_module
from services.evaluator.due import Assignment
from services.evaluator.measuring import NotHeld, always
from services.evaluator.score import Artifacts, evaluated, score
from tests.artifacts.graph_material import beside
from tests.evaluator.material import artifacts_in, files_of, linear, logistic, rows_of, sealed_files, separable
from tests.registry.conftest import read_all

RIGHT, WRONG = logistic([5.0, 0.0]), logistic([-5.0, 0.0])


def evaluate(
    artifacts: Artifacts, writer: TelemetryWriter, assignment: Assignment, is_held: Callable[[], bool] = always
) -> commands.Command:
    """As the evaluator does it, in this process."""
    return work.evaluate(partial(evaluated, artifacts), writer, assignment, is_held)


@pytest.fixture
def writer(log: EventLog) -> TelemetryWriter:
    return TelemetryWriter(log, "evaluator-0")


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return artifacts_in(tmp_path)


def test_an_evaluation_reports_metrics_confusion_and_the_digest_of_the_rows(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    features, answers = separable()
    files = files_of(RIGHT, rows_of(features, answers))
    version = sealed_files(artifacts, tmp_path, 1, files)
    command = evaluate(artifacts, writer, Assignment("fraud", version, None))
    assert command.command_id == "models/fraud/versions/1/evaluations/1/finished"
    finished = command.report_evaluation_finished.fact
    report = finished.report
    metrics = {metric.name: metric.value for metric in report.metrics}
    assert [metric.name for metric in report.metrics] == sorted(metrics)
    assert (metrics["accuracy"], metrics["recall"], metrics["auc"]) == (1, 1, 1)
    assert report.rows == sum(cell.count for cell in report.confusion) == 40
    assert report.rows_sha256 == hashlib.sha256(files[TEST_ROWS_FILE]).hexdigest()
    assert finished.baseline_version == 0
    assert not finished.HasField("baseline_report")


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_an_evaluation_ends_at_the_next_batch_once_it_is_not_held_any_more(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter, batches: int
) -> None:
    features, answers = separable()
    version = sealed_files(artifacts, tmp_path, 1, files_of(RIGHT, rows_of(features, answers)))
    version.configuration.train.batch_size = 10
    asked = iter([True] * batches + [False])
    with pytest.raises(NotHeld):
        evaluate(artifacts, writer, Assignment("fraud", version, None), lambda: next(asked))
    assert list(asked) == []


def test_an_undefined_metric_is_reported_with_its_reason(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    features, answers = separable()
    files = files_of(RIGHT, rows_of(features, np.zeros_like(answers)))
    version = sealed_files(artifacts, tmp_path, 1, files)
    report = evaluate(artifacts, writer, Assignment("fraud", version, None)).report_evaluation_finished.fact.report
    reason = "no row is positive"
    assert {metric.name: metric.reason for metric in report.undefined} == {"auc": reason, "recall": reason}
    assert not {"auc", "recall"} & {metric.name for metric in report.metrics}


def test_the_baseline_is_measured_on_the_rows_of_the_candidate(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    features, answers = separable()
    candidate = sealed_files(artifacts, tmp_path, 2, files_of(RIGHT, rows_of(features, answers)))
    live = sealed_files(artifacts, tmp_path, 1, files_of(WRONG, rows_of(features[:3], answers[:3])))
    finished = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    assert finished.baseline_version == 1
    assert finished.baseline_report.rows_sha256 == finished.report.rows_sha256
    assert {metric.name: metric.value for metric in finished.baseline_report.metrics}["accuracy"] == 0


def test_candidate_and_live_version_are_measured_on_the_slices_of_the_candidate(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    files = files_of(RIGHT, rows_of(*separable()))
    candidate = sealed_files(artifacts, tmp_path, 2, files)
    live = sealed_files(artifacts, tmp_path, 1, files_of(WRONG, rows_of(*separable())))
    candidate.configuration.evaluate.slices.add(name="north", column=1, min=0)
    candidate.configuration.evaluate.confidence = 0.9
    finished = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    for report, accuracy in ((finished.report, 1), (finished.baseline_report, 0)):
        (north,) = report.slices
        assert (north.slice, 0 < north.rows < report.rows) == ("north", True)
        (found,) = [metric for metric in north.metrics if metric.name == "accuracy"]
        assert (found.value, found.interval.confidence) == (accuracy, 0.9)


def test_a_slice_that_the_rows_do_not_have_fails_the_evaluation(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, files_of(RIGHT, rows_of(*separable())))
    version.configuration.evaluate.slices.add(name="north", column=2, min=0)
    fact = evaluate(artifacts, writer, Assignment("fraud", version, None)).report_evaluation_failed.fact
    assert fact.reason == "evaluate.slices.north.column: expected a column from 0 to 1, which the rows have, got 2"


def test_a_live_version_with_other_features_is_no_baseline_and_the_report_says_why(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    files = files_of(RIGHT, rows_of(*separable()))
    candidate = sealed_files(artifacts, tmp_path, 2, files)
    live = sealed_files(artifacts, tmp_path, 1, {MODEL_FILE: logistic([1.0, 2.0, 3.0])})
    finished = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    assert finished.baseline_version == 1
    assert not finished.HasField("baseline_report")
    assert finished.baseline_failure == "the model takes rows of the shape [3], and these have [2]"
    assert finished.signature_change == "the input is features float [n, 2]; version 1 has features float [n, 3]"


def test_a_live_version_of_another_task_is_no_baseline(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    files = files_of(RIGHT, rows_of(*separable()))
    candidate, live = (sealed_files(artifacts, tmp_path, number, files) for number in (2, 1))
    live.configuration.task = "regression"
    finished = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    assert not finished.HasField("baseline_report")
    assert finished.baseline_failure == "its task is regression, and the candidate's is binary"
    assert finished.signature_change == ""


def test_a_live_version_whose_artifact_is_gone_is_no_baseline(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    candidate = sealed_files(artifacts, tmp_path, 2, files_of(RIGHT, rows_of(*separable())))
    live = sealed_files(artifacts, tmp_path, 1, {})
    finished = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    assert not finished.HasField("baseline_report")
    assert finished.baseline_failure == "the artifact of version 1 of fraud has no model.onnx"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({MODEL_FILE: RIGHT}, "has no test.safetensors"),
        ({TEST_ROWS_FILE: rows_of(*separable())}, "has no model.onnx"),
        (files_of(RIGHT, b"not tensors"), "test.safetensors: there are no tensors that can be read"),
        (
            files_of(RIGHT, rows_of(separable()[0].astype(np.int64), separable()[1])),
            "takes rows of float32, and these are",
        ),
        (
            files_of(RIGHT, save({"X.other": separable()[0], "y": separable()[1]})),
            "takes the input features, and these",
        ),
        (files_of(RIGHT, save({"y": separable()[1]})), "holds no tensors X and y"),
        (
            files_of(RIGHT, save({"X": separable()[0], "y.a": separable()[1], "y.b": separable()[1]})),
            "the answers a, b",
        ),
        (files_of(b"not a model", rows_of(*separable())), "model.onnx: it is no ONNX file"),
        (files_of(beside().SerializeToString(), rows_of(*separable())), "its tensor weights lies in a file beside it"),
        (files_of(logistic([1.0]), rows_of(*separable())), "the model takes rows of the shape [1], and these have [2]"),
        (files_of(RIGHT, rows_of(*separable(0))), "test.safetensors: there are no test rows"),
        (files_of(linear([9.0, 0.0]), rows_of(*separable())), "a binary model must return a probability from 0 to 1"),
        (files_of(RIGHT, rows_of(separable()[0], 1 + separable()[1])), "which is not one of the classes 0 to 1"),
    ],
)
def test_an_artifact_that_cannot_be_scored_is_reported_as_failed(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter, files: dict[str, bytes], reason: str
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, files)
    command = evaluate(artifacts, writer, Assignment("fraud", version, None))
    assert command.command_id == "models/fraud/versions/1/evaluations/1/failed"
    assert reason in command.report_evaluation_failed.fact.reason
    assert "Traceback" in command.report_evaluation_failed.fact.log_tail


def test_a_store_that_is_unavailable_for_a_while_fails_no_version(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, files_of(RIGHT, rows_of(*separable())))

    def refuse(*_: object) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr("headgate.artifacts.store.obstore.get", refuse)
    with pytest.raises(StoreUnavailable, match="denied"):
        evaluate(artifacts, writer, Assignment("fraud", version, None))


def test_an_artifact_signed_for_another_version_is_not_run(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    files = files_of(RIGHT, rows_of(*separable()))
    stolen = sealed_files(artifacts, tmp_path, 1, files)
    stolen.name = "models/fraud/versions/2"
    fact = evaluate(artifacts, writer, Assignment("fraud", stolen, None)).report_evaluation_failed.fact
    assert "signed for" in fact.reason


def test_an_evaluation_sends_heartbeats(
    artifacts: Artifacts, tmp_path: Path, log: EventLog, writer: TelemetryWriter
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, {})
    evaluate(artifacts, writer, Assignment("fraud", version, None))
    record = telemetry.TelemetryRecord.FromString(read_all(log, topics.TELEMETRY)[0].value or b"")
    expected = telemetry.WorkHeartbeat(stream="models/fraud", version=1, attempt=1, work="evaluation")
    assert record.work_heartbeat == expected


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    features, _ = separable(50)
    session = inference.load(RIGHT)
    whole = inference.predict(session, {INPUT: features}, 50)[OUTPUT]
    assert np.array_equal(inference.predict(session, {INPUT: features}, 7)[OUTPUT], whole)


def test_rows_are_measured_in_batches_no_larger_than_those_of_the_training(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(score_module, "load", lambda model: Counted(inference.load(model), sizes))
    version = sealed_files(artifacts, tmp_path, 1, files_of(RIGHT, rows_of(*separable(33))))
    version.configuration.train.batch_size = 8
    score(artifacts, version)
    assert sizes == [8, 8, 8, 9]


def test_large_rows_are_measured_in_batches_of_bounded_bytes(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(score_module, "load", lambda model: Counted(inference.load(model), sizes))
    features = np.ones((6, 2**19), np.float32)
    model = logistic([0.0] * 2**19)
    version = sealed_files(artifacts, tmp_path, 1, files_of(model, rows_of(features, np.zeros(6, np.float32))))
    version.configuration.train.batch_size = 1_000
    score(artifacts, version)
    assert sizes == [2, 2, 2]


@dataclass
class Counted:
    """A session that notes how many rows each run gets."""

    session: Any
    sizes: list[int]

    def run(self, outputs: list[str], inputs: dict[str, Any], options: Any) -> Any:
        self.sizes.append(len(inputs[INPUT]))
        return self.session.run(outputs, inputs, options)

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def get_outputs(self) -> Any:
        return self.session.get_outputs()


@pytest.mark.parametrize(("threshold", "recall"), [(None, 1), (0.5, 1), (0.6, 0)])
def test_the_threshold_of_the_version_decides_what_is_positive(
    artifacts: Artifacts, tmp_path: Path, threshold: float | None, recall: float
) -> None:
    assert recall_at(artifacts, tmp_path, logistic([0.0, 0.0]), threshold) == recall


def test_a_threshold_of_0_is_0(artifacts: Artifacts, tmp_path: Path) -> None:
    """Each row scores 0.27: it is a yes at the threshold 0, and a no at the default."""
    model = logistic([0.0, 0.0], bias=-1.0)
    assert recall_at(artifacts, tmp_path, model, None) == 0
    assert recall_at(artifacts, tmp_path, model, 0.0) == 1


def recall_at(artifacts: Artifacts, directory: Path, model: bytes, threshold: float | None) -> float:
    version = sealed_files(artifacts, directory, 1, files_of(model, rows_of(*separable())))
    if threshold is not None:
        version.configuration.evaluate.threshold = threshold
    return {metric.name: metric.value for metric in score(artifacts, version).report.metrics}["recall"]


def with_findings(found: Findings, rows: int = 40) -> dict[str, bytes]:
    findings = {TRAINING_FILE: json.dumps({FINDINGS: found.as_json()}).encode()}
    return files_of(RIGHT, rows_of(*separable(rows))) | findings


def values(report: facts.EvaluationReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def test_what_the_training_found_out_stands_in_the_report(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, with_findings(Findings({"cost": 2.5}, 1.0, 10)))
    version.configuration.evaluate.threshold_choice.best = "f1"
    report = evaluate(artifacts, writer, Assignment("fraud", version, None)).report_evaluation_finished.fact.report
    assert (values(report)["cost"], values(report)["leakage"], report.threshold) == (2.5, 0.25, 1.0)
    assert values(report)["recall"] < 1
    assert [metric.name for metric in report.metrics] == sorted(values(report))
    reasons = {metric.name: metric.no_interval for metric in report.metrics if metric.no_interval}
    assert reasons.keys() == {"calibration_error", "cost", "leakage"}
    assert all(metric.HasField("interval") != bool(metric.no_interval) for metric in report.metrics)


def test_a_chosen_threshold_that_is_not_there_fails_the_evaluation(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    version = sealed_files(artifacts, tmp_path, 1, files_of(RIGHT, rows_of(*separable())))
    version.configuration.evaluate.threshold_choice.best = "f1"
    fact = evaluate(artifacts, writer, Assignment("fraud", version, None)).report_evaluation_failed.fact
    assert fact.reason == "training.json has no threshold, and evaluate.threshold asks for a chosen one"


def test_own_metrics_of_the_live_version_count_on_the_same_rows_only(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    candidate = sealed_files(artifacts, tmp_path, 2, with_findings(Findings({"cost": 2.0})))
    elsewhere = sealed_files(artifacts, tmp_path, 1, with_findings(Findings({"cost": 3.0}, None, 4), rows=41))
    other = evaluate(artifacts, writer, Assignment("fraud", candidate, elsewhere)).report_evaluation_finished.fact
    (undefined,) = other.baseline_report.undefined
    assert undefined.name == "cost"
    assert undefined.reason == "only the code of that version measures it, and it did so on other test rows"
    live = sealed_files(artifacts, tmp_path, 1, with_findings(Findings({"cost": 3.0}, None, 4)))
    same = evaluate(artifacts, writer, Assignment("fraud", candidate, live)).report_evaluation_finished.fact
    assert values(same.baseline_report)["cost"] == 3.0
    assert "leakage" not in values(same.baseline_report)


def test_a_custom_task_is_run_on_its_rows_and_measured_by_its_own_metrics(
    artifacts: Artifacts, tmp_path: Path, writer: TelemetryWriter
) -> None:
    for number, model in enumerate((RIGHT, logistic([1.0])), start=1):
        files = with_findings(Findings({"cost": 2.0})) | {MODEL_FILE: model}
        version = sealed_files(artifacts, tmp_path, number, files)
        version.configuration.task = "custom"
        command = evaluate(artifacts, writer, Assignment("fraud", version, None))
        if model is RIGHT:
            report = command.report_evaluation_finished.fact.report
            assert (report.rows, values(report)) == (40, {"cost": 2.0})
        else:
            assert "rows of the shape [1]" in command.report_evaluation_failed.fact.reason
