"""A commit becomes a signed artifact, with the same bytes each time, or a failure that says why."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy

from headgate.artifacts.rows_apart import shown_in
from headgate.v1 import facts_pb2 as facts
from services.trainer.without_cuda import complete
from tests.trainer import cpu_environment
from tests.trainer.conftest import Trained, trial_in
from tests.trainer.failing_models import FAILING
from tests.trainer.row_cases import BENT, KEPT

# On a busy machine the start of torch alone takes a minute.
pytestmark = pytest.mark.timeout(600)


def file(trained: Trained, name: str) -> bytes:
    assert trained.trial.report is not None
    artifact = trained.trial.report.report_training_finished.fact.artifact
    store = trained.trial.tools.store
    return store.get(next(each.sha256 for each in artifact.files if each.name == name))


def test_the_reports_come_in_order_and_have_ids_of_their_own(trained: Trained) -> None:
    sent = [*trained.trial.sent, trained.trial.report]
    assert [command.WhichOneof("command") for command in sent] == [
        "report_code_tested",
        "report_training_started",
        "report_training_finished",
    ]
    prefix = "models/tiny/versions/1/attempts/1"
    assert [command.command_id for command in sent] == [
        f"{prefix}/{what}" for what in ("tested", "training", "finished")
    ]
    assert {(command.stream, command.correlation_id) for command in sent} == {("models/tiny", trained.source[1])}


def test_every_epoch_is_measured_as_it_happens(trained: Trained) -> None:
    measured = [
        measurement["epoch_measured"]
        for _, measurement in trained.trial.telemetry.sent
        if "epoch_measured" in measurement
    ]
    assert [(epoch.epoch, epoch.epochs) for epoch in measured] == [(number, 5) for number in range(1, 6)]
    assert measured[-1].train_loss < measured[0].train_loss
    assert any("work_heartbeat" in measurement for _, measurement in trained.trial.telemetry.sent)


def test_an_artifact_has_these_files_and_no_others(trained: Trained) -> None:
    assert trained.trial.report is not None
    names = {file.name for file in trained.trial.report.report_training_finished.fact.artifact.files}
    assert names == {
        "model.onnx",
        "weights.safetensors",
        "signature.json",
        "training.json",
        "test.safetensors",
        "provenance.json",
        "plots.json",
        "plot.roc.png",
        "plot.precision_recall.png",
        "plot.calibration.png",
        "plot.confusion.png",
        "plot.learning_curve.png",
    }


def test_the_artifact_predicts_with_onnx_runtime_alone(trained: Trained) -> None:
    rows = safetensors.numpy.load(file(trained, "test.safetensors"))
    assert (rows["X"].shape, rows["X"].dtype, rows["y"].shape) == ((16, 3), np.float32, (16,))
    session = onnxruntime.InferenceSession(file(trained, "model.onnx"), providers=["CPUExecutionProvider"])
    (whole,) = session.run(["prediction"], {"features": rows["X"]})
    (one,) = session.run(["prediction"], {"features": rows["X"][:1]})
    assert whole.shape == (16, 1)
    np.testing.assert_allclose(one[0], whole[0], rtol=1e-6)
    assert trained.trial.report.report_training_finished.fact.export_difference <= 1e-4


def test_the_artifact_says_what_it_takes_and_what_it_was_made_from(trained: Trained) -> None:
    assert json.loads(file(trained, "signature.json")) == {
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}],
    }
    history = json.loads(file(trained, "training.json"))
    assert (history["seed"], len(history["epochs"]), history["threads"]) == (7, 5, 1)
    assert history["export"] == {"relative_tolerance": 1e-4, "absolute_tolerance": 1e-5}
    assert history["rows_apart"]["rows"] >= 2, "a gateway may run its requests together"
    assert shown_in(json.dumps(history).encode())
    assert history["environment"] == dict(trained.trial.sent[1].report_training_started.fact.environment)
    statement = json.loads(file(trained, "provenance.json"))
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["commit"] == trained.source[1]
    assert "model.onnx" in [subject["name"] for subject in statement["subject"]]


def test_the_same_job_gives_the_same_bytes(trained: Trained) -> None:
    assert trained.outcomes["same"] == []


def test_the_exporter_reads_no_operator_again_and_imports_nothing_for_a_cache_that_nobody_uses(
    trained: Trained,
) -> None:
    assert trained.outcomes["second export"] == {
        "operators read": 0,
        "operators searched for": 0,
        "redis imported": False,
    }


def test_a_training_that_was_killed_and_resumed_gives_the_same_bytes(trained: Trained) -> None:
    assert trained.outcomes["killed"] == {"signal": 9, "resumed from": 3, "epochs reported": [4, 5], "differing": []}


def test_a_training_whose_checkpoint_does_not_fit_starts_from_the_beginning(trained: Trained) -> None:
    assert trained.outcomes["another network"] == {"resumed from": 0, "differing": []}


def test_a_repositorys_own_training_loop_makes_a_version(trained: Trained) -> None:
    finished = trained.outcomes["own loop"]["finished"]
    assert (finished["epochs"]["epoch"], finished["epochs"]["validation_loss"]) == (1, 0.5)


def test_a_trial_ends_a_loop_that_knows_its_epochs_itself(trained: Trained) -> None:
    assert trained.outcomes["a trial of a loop"]["finished"]["epochs"]["epoch"] == 1


def test_no_file_names_a_directory_of_the_machine(trained: Trained) -> None:
    assert trained.trial.report is not None
    directories = [str(trained.trial.tools.scratch), str(Path(trained.source[0]).parent), sys.prefix]
    for named in trained.trial.report.report_training_finished.fact.artifact.files:
        content = file(trained, named.name)
        assert [each for each in directories if each.encode() in content] == [], named.name


@pytest.mark.parametrize("case", FAILING)
def test_a_training_that_cannot_become_a_version_fails_with_the_reason(trained: Trained, case: str) -> None:
    expected, found = FAILING[case], trained.outcomes[case]
    assert "failed" in found, found
    assert found["failed"]["reason"].startswith(expected.reason), found["failed"]["reason"]
    assert expected.advice in found["failed"]["reason"]
    assert (found["failed"]["stage"], found["epochs"]) == (expected.stage, expected.epochs)


@pytest.mark.parametrize("case", KEPT)
def test_rows_keep_their_datatype(trained: Trained, case: str) -> None:
    assert trained.outcomes["rows"][case] == ""


@pytest.mark.parametrize("case", BENT)
def test_rows_that_cannot_be_taken_as_they_are_are_refused_with_their_place_and_value(
    trained: Trained, case: str
) -> None:
    fault = trained.outcomes["rows"][case]
    assert fault.startswith("datasets(context): ")
    assert BENT[case].fault in fault


def test_the_last_row_of_an_epoch_is_not_alone_and_large_answers_may_differ_by_their_rounding(trained: Trained) -> None:
    finished = trained.outcomes["prices"]["finished"]
    assert finished["epochs"]["epoch"] == 5
    assert finished["export_difference"] < 35


def test_validation_and_export_run_a_bounded_number_of_rows_at_once(trained: Trained) -> None:
    assert "finished" in trained.outcomes["bounded"], trained.outcomes["bounded"]


def test_a_graph_with_graphs_in_it_has_the_same_bytes_at_another_place_and_names_none(trained: Trained) -> None:
    assert trained.outcomes["branches"] == {"differing": [], "naming a directory": []}


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ("350000.0 and 350000.125", ""),
        ("0.5 and 0.50004", ""),
        ("0.5 and 0.501", "fault: 0.5 here, 0.500999987 there; the limit is a difference of 6e-05"),
        ("0.0 and 9e-06", ""),
        ("0.0 and 0.001", "fault: 0 here, 0.00100000005 there; the limit is a difference of 1e-05"),
        ("1e-06 and 0.001", "fault: 9.99999997e-07 here, 0.00100000005 there; the limit is a difference of 1e-05"),
    ],
)
def test_answers_are_compared_by_their_size_with_a_floor(trained: Trained, answers: str, fault: str) -> None:
    assert trained.outcomes["tolerances"][answers] == fault


def test_the_attempt_is_listed_with_its_epochs(trained: Trained) -> None:
    (listed,) = trained.trial.tools.attempts.listed()
    assert (listed.model, listed.version, listed.running, listed.stage) == ("tiny", 1, False, facts.STAGE_EXPORT)
    attempts = trained.trial.tools.attempts
    attempt = attempts.latest("models/tiny", 1)
    assert attempt is not None
    assert [epoch.epoch for epoch in attempts.follow_epochs(attempt, 1.0) if epoch] == [1, 2, 3, 4, 5]


def test_the_same_commit_becomes_the_same_artifact_in_a_jail_and_without_cudas_libraries(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = str(cpu_environment.make(tmp_path / "environment"))
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode != 0
    assert "libcublas.so" in " ".join(complete(cpu_environment.site_of(tmp_path / "environment")))
    trial = trial_in(tmp_path)
    # The trainer starts the repository's tests with the Python that it runs on itself.
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    report = trial.run(trained.source, child=(python, "-P", "-m", "services.trainer.child"))
    assert report is not None
    assert report.WhichOneof("command") == "report_training_finished", report
    again = Trained(trial, trained.source, {})
    for name in ("weights.safetensors", "model.onnx"):
        assert file(again, name) == file(trained, name)
