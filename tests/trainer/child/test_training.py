"""A commit becomes a signed artifact, with the same bytes each time, or a failure that says why."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy

from headgate.artifacts.manifest import unseal
from headgate.v1 import facts_pb2 as facts
from services.trainer.without_cuda import complete
from tests.trainer import cpu_environment
from tests.trainer.conftest import Trained, trial_in

# On a busy machine the start of torch alone takes a minute.
pytestmark = pytest.mark.timeout(300)


def file(trained: Trained, name: str) -> bytes:
    assert trained.trial.report is not None
    artifact = trained.trial.report.report_training_finished.fact.artifact
    store = trained.trial.tools.store
    return store.get(unseal(store, artifact, "models/tiny/versions/1", trained.trial.trusted)[name])


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
    assert history["environment"] == dict(trained.trial.sent[1].report_training_started.fact.environment)
    statement = json.loads(file(trained, "provenance.json"))
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["commit"] == trained.source[1]
    assert "model.onnx" in [subject["name"] for subject in statement["subject"]]


def test_the_same_job_gives_the_same_bytes(trained: Trained) -> None:
    assert trained.outcomes["same"] == []


def test_a_training_that_was_killed_and_resumed_gives_the_same_bytes(trained: Trained) -> None:
    assert trained.outcomes["killed"] == {"signal": 9, "resumed from": 3, "epochs reported": [4, 5], "differing": []}


def test_a_training_whose_checkpoint_does_not_fit_starts_from_the_beginning(trained: Trained) -> None:
    assert trained.outcomes["another network"] == {"resumed from": 0, "differing": []}


def test_a_repositorys_own_training_loop_makes_a_version(trained: Trained) -> None:
    finished = trained.outcomes["own loop"]["finished"]
    assert (finished["epochs"]["epoch"], finished["epochs"]["validation_loss"]) == (1, 0.5)


def test_no_file_names_a_directory_of_the_machine(trained: Trained) -> None:
    assert str(trained.trial.tools.scratch).encode() not in file(trained, "model.onnx")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("nan loss", "the loss is not a finite number in epoch 1"),
        ("no module", "network(context): expected a torch.nn.Module, got int"),
        ("raises", "RuntimeError: no idea"),
        ("no test part", "datasets(context): expected a dict of train, validation, test"),
        ("no epoch", "train(context): it reported no epoch; call context.epoch"),
        ("too many epochs", "train(context): context.epoch was called more often than train.epochs, which is 5"),
        ("returns", "train(context): expected it to train context.network in place"),
        ("own nan", "the loss is not a finite number in epoch 1: training nan"),
        ("unequal", "datasets(context): train: expected as many answers as rows"),
    ],
)
def test_a_training_that_cannot_become_a_version_fails_with_the_reason(
    trained: Trained, case: str, reason: str
) -> None:
    failed = trained.outcomes[case]["failed"]
    assert failed["stage"] == "TRAINING"
    assert failed["reason"].startswith(reason)


def test_a_graph_that_answers_differently_from_the_network_is_not_exported(trained: Trained) -> None:
    assert "differ by" in trained.outcomes["differs"]


def test_the_attempt_is_listed_with_its_epochs(trained: Trained) -> None:
    (listed,) = trained.trial.tools.attempts.listed()
    assert (listed.model, listed.version, listed.running, listed.stage) == ("tiny", 1, False, facts.STAGE_EXPORT)
    attempts = trained.trial.tools.attempts
    attempt = attempts.latest("models/tiny", 1)
    assert attempt is not None
    assert [epoch.epoch for epoch in attempts.follow_epochs(attempt, 1.0) if epoch] == [1, 2, 3, 4, 5]


def test_the_same_commit_becomes_the_same_artifact_without_cudas_libraries(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = str(cpu_environment.make(tmp_path / "environment"))
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode != 0
    assert "libcublas.so" in " ".join(complete(cpu_environment.site_of(tmp_path / "environment")))
    trial = trial_in(tmp_path)
    # The trainer starts the repository's tests with the Python that it runs on itself.
    monkeypatch.setattr(sys, "executable", python)
    report = trial.run(trained.source, child=(python, "-P", "-m", "services.trainer.child"))
    assert report is not None
    assert report.WhichOneof("command") == "report_training_finished", report
    again = Trained(trial, trained.source, {})
    for name in ("weights.safetensors", "model.onnx"):
        assert file(again, name) == file(trained, name)
