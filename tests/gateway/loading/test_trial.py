"""The side process that a model meets before the gateway."""

import pytest

from services.gateway.loading import trial as trial_module
from services.gateway.loading.trial import Trial
from services.gateway.sessions import ModelUnusable
from tests.gateway import networks


@pytest.fixture
def trial():
    trial = Trial()
    yield trial
    trial.close()


def test_models_that_answer_pass_and_share_one_side_process(trial):
    trial(networks.affine())
    process = trial._process
    trial(networks.recurrent())
    assert trial._process is process


@pytest.mark.parametrize("idle", [True, False])
def test_the_next_model_gets_a_new_side_process_when_the_last_one_ended(trial, idle):
    trial(networks.affine())
    assert trial._process is not None
    if idle:
        trial._process.stdin.close()
        assert trial._process.wait(20) == 0
    else:
        trial._process.kill()
        trial._process.wait(20)
    trial(networks.affine())


def test_a_model_that_kills_its_process_is_refused_with_the_signal_and_the_next_one_passes(trial):
    with pytest.raises(ModelUnusable, match="ended a side process with SIGABRT"):
        trial(networks.recurrent(rows=0))
    trial(networks.affine())


def test_a_model_that_a_callers_value_can_kill_is_refused_and_the_next_one_passes(trial):
    with pytest.raises(ModelUnusable, match="ended a side process with SIGFPE on extreme values of its inputs"):
        trial(networks.dividing(-1))
    trial(networks.dividing(3))


def test_an_error_of_the_model_on_extreme_values_is_no_reason_to_refuse_it(trial):
    trial(networks.categorical())
    trial(networks.mixed())


def test_a_model_that_takes_long_on_extreme_values_passes(trial, monkeypatch):
    monkeypatch.setattr(trial_module, "EXTREMES_SECONDS", 0.0)
    trial(networks.affine())
    assert trial._process is None, "the process that did not answer is ended"
    trial(networks.affine())


def test_an_empty_file_is_refused(trial):
    with pytest.raises(ModelUnusable, match="empty"):
        trial(b"")


def test_a_model_that_cannot_be_read_is_refused_with_what_is_wrong(trial):
    with pytest.raises(ModelUnusable, match="INVALID_PROTOBUF"):
        trial(b"no model")


def test_a_model_that_takes_too_long_is_refused_and_its_process_is_ended():
    trial = Trial(timeout_seconds=0.0)
    with pytest.raises(ModelUnusable, match="took longer than 0 s"):
        trial(networks.affine())
    assert trial._process is None


def test_a_side_process_that_does_not_read_its_model_is_ended(tmp_path, monkeypatch):
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 600\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(trial_module.sys, "executable", str(deaf))
    trial = Trial(timeout_seconds=0.1)
    with pytest.raises(ModelUnusable, match=r"took longer than 0\.1 s"):
        trial(bytes(1 << 20))


def test_the_idle_time_ends_the_side_process(trial, monkeypatch):
    monkeypatch.setattr(trial_module, "IDLE_SECONDS", 0.01)
    assert trial._running().wait(60) == 0
