"""An attempt that cannot succeed ends with a report that names the stage and the reason. Nothing here starts torch."""

import os
import sys
import threading
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from headgate.artifacts.checkpoint_keys import new_checkpoint_key
from headgate.artifacts.layout import EXPORTED_FILES, MODEL_FILE
from headgate.artifacts.store import ArtifactStore, StoreUnavailable
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.data_files import verified_data
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.tools import Limits
from services.trainer.attempt.work import why_tests_failed
from services.trainer.attempts import Attempts
from services.trainer.programs.launch import SIGNALLED
from services.trainer.programs.processes import LOG_TAIL_BYTES, Exit
from tests.trainer.beside import is_running
from tests.trainer.conftest import CLAIM, Trial
from tests.trainer.remote import no_downloads
from tests.trainer.repositories import git, repository
from tests.waiting import PATIENCE_SECONDS, until

CHECKPOINT_PATH = "checkpoints/models/tiny/versions/1"
CHILD = """
import json, os, pathlib, sys, time
if input() != "train":
    sys.exit()
directory = pathlib.Path(sys.argv[1])
progress = directory / "progress.jsonl"
os.chdir(json.loads((directory / "job.json").read_text())["checkout"])
"""


FINISH = """
epochs = {"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0}
resumed_from = int((directory / "resume.safetensors").exists())
finished = {"epochs": epochs, "export_difference": 0.0, "resumed_from": resumed_from}
progress.write_text(json.dumps({"finished": finished}) + "\\n")
"""
FILES = f"""
(directory / "files").mkdir()
for name in {EXPORTED_FILES}:
    (directory / "files" / name).write_text("resumed from " + (directory / "resume.safetensors").read_text())
"""
CHECKPOINT = """
(directory / "checkpoint.safetensors").write_text("epoch 1")
progress.write_text('{"checkpoint": 1}\\n')
time.sleep(600)
"""


def child(text: str) -> tuple[str, ...]:
    """The command of a training process that does what the text says; argv[1] is the job's directory."""
    return (sys.executable, "-c", CHILD + text)


def failure(trial: Trial, source: tuple[str, str], **changes: object) -> facts.TrainingFailed:
    report = trial.run(source, **changes)
    assert report is not None
    assert report.WhichOneof("command") == "report_training_failed"
    return report.report_training_failed.fact


def test_a_missing_repository_is_named(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, (str(tmp_path / "nowhere"), "a" * 40))
    assert (failed.stage, failed.version, failed.attempt) == (facts.STAGE_CHECKOUT, 1, 1)
    assert failed.reason == f"the repository {tmp_path / 'nowhere'} does not exist on the trainer's machine"


def test_a_directory_that_is_no_repository_cannot_be_read(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, (str(tmp_path), "a" * 40))
    assert failed.reason.startswith(f"the repository {tmp_path} cannot be read")


@pytest.mark.parametrize("source", ["ext::sh -c true", "--upload-pack=true", "relative/path", ""])
def test_a_repository_that_is_neither_a_path_nor_a_known_url_is_refused(trial: Trial, source: str) -> None:
    assert "expected an absolute path as the trainer sees it" in failure(trial, (source, "a" * 40)).reason


def test_a_missing_commit_is_named(trial: Trial, tmp_path: Path) -> None:
    path, _ = repository(tmp_path / "tiny")
    assert failure(trial, (path, "a" * 40)).reason.startswith(f"the repository {path} has no commit {'a' * 40}")
    assert not list(trial.tools.scratch.iterdir())


def test_a_commit_that_is_not_the_newest_is_checked_out(trial: Trial, tmp_path: Path) -> None:
    path, commit = repository(tmp_path / "tiny", tests="python -c 'import sys; sys.exit(5)'")
    (tmp_path / "tiny" / "headgate.toml").write_text("")
    git(tmp_path / "tiny", "commit", "-q", "-a", "-m", "Second")
    report = trial.run((path, commit))
    assert report is not None
    assert report.report_code_tested.fact.exit_code == 5


def test_every_wrong_key_of_the_configuration_is_named(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, repository(tmp_path / "tiny", loss="vibes", learning_rate="-1"))
    assert failed.stage == facts.STAGE_CONFIGURATION
    assert [line.partition(":")[0] for line in failed.reason.splitlines()] == ["train.loss", "train.learning_rate"]


def test_the_configuration_of_another_model_is_refused(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, repository(tmp_path / "tiny", name="other"))
    assert (failed.stage, failed.reason) == (
        facts.STAGE_CONFIGURATION,
        "model.name: expected tiny, whose version this is, got other",
    )


def test_data_with_another_digest_than_the_commit_names_are_refused(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, repository(tmp_path / "tiny", sha256="0" * 64))
    assert failed.stage == facts.STAGE_DATA
    assert f"not {'0' * 64}. Commit the file that you mean" in failed.reason


@pytest.mark.parametrize("uri", ["file://host/rows.csv", "file:///rows.csv#2"])
def test_a_data_url_that_names_no_path_is_refused_with_the_reason(tmp_path: Path, uri: str) -> None:
    parsed = configuration.ModelConfiguration(data=[configuration.DataFile(name="train", uri=uri)])
    with pytest.raises(AttemptFailed, match=f"data.train: {uri}: (the path of a file URL|in the path of a URL)"):
        verified_data(tmp_path, parsed, no_downloads(tmp_path))


def test_failing_tests_are_reported_with_the_end_of_their_output(trial: Trial, tmp_path: Path) -> None:
    tests = """python -c 'print("x" * 20000); print("last words"); raise SystemExit(3)'"""
    report = trial.run(repository(tmp_path / "tiny", tests=tests))
    assert report is not None
    tested = report.report_code_tested.fact
    assert (tested.passed, tested.exit_code) == (False, 3)
    assert tested.log_tail.endswith("last words\n")
    assert len(tested.log_tail.encode()) == LOG_TAIL_BYTES
    assert trial.sent == []


def test_a_test_command_that_does_not_exist_fails_like_a_test(trial: Trial, tmp_path: Path) -> None:
    report = trial.run(repository(tmp_path / "tiny", tests="no-such-command"))
    assert report is not None
    assert report.report_code_tested.fact.exit_code == 127


def test_the_tests_see_nothing_of_the_trainers_settings(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_KEYS", "/keys")
    tests = """python -c 'import os, sys; sys.exit(len([n for n in os.environ if n.startswith("HEADGATE")]))'"""
    report = trial.run(repository(tmp_path / "tiny", tests=tests), child=child("sys.exit(1)"))
    assert report is not None
    assert trial.sent[0].report_code_tested.fact.passed


def test_files_that_the_tests_write_do_not_reach_the_training(trial: Trial, tmp_path: Path) -> None:
    tests = """python -c 'open("model.py", "w").write("spoilt")'"""
    failed = failure(
        trial,
        repository(tmp_path / "tiny", tests=tests),
        child=child(
            "print('spoilt' if pathlib.Path('model.py').read_text() == 'spoilt' else 'as committed'); sys.exit(1)"
        ),
    )
    assert failed.log_tail == "as committed\n"


def test_tests_that_hang_are_ended_at_their_limit_and_have_failed(trial: Trial, tmp_path: Path) -> None:
    tests = """python -c 'import time; print("waiting", flush=True); time.sleep(600)'"""
    report = trial.run(repository(tmp_path / "tiny", tests=tests), limits=Limits(tests_seconds=0.5))
    assert report is not None
    tested = report.report_code_tested.fact
    assert (tested.passed, tested.reason) == (False, "the tests took longer than 0.5 s")


def test_tests_that_a_signal_ends_tell_which_and_why() -> None:
    killed = why_tests_failed(Exit(SIGNALLED + 9, 1, ""))
    assert killed.startswith("the process of the tests was ended by signal 9 (SIGKILL)")
    assert "memory" in killed
    assert why_tests_failed(Exit(1, 1, "")) == ""


def test_a_training_that_crashes_is_a_failed_attempt(trial: Trial, tmp_path: Path) -> None:
    failed = failure(
        trial, repository(tmp_path / "tiny"), child=child("print('ouch', flush=True); os.kill(os.getpid(), 11)")
    )
    assert (failed.stage, failed.reason) == (
        facts.STAGE_TRAINING,
        "the training process was ended by signal 11 (SIGSEGV): native code that it called has crashed",
    )
    assert failed.log_tail == "ouch\n"


def test_a_training_that_reports_no_epoch_is_taken_to_hang(trial: Trial, tmp_path: Path) -> None:
    limits = Limits(epoch_seconds=0.3)
    failed = failure(trial, repository(tmp_path / "tiny"), child=child("time.sleep(600)"), limits=limits)
    assert failed.reason == "the training reported no progress for 0.3 s"


def test_a_training_that_writes_an_unknown_line_is_a_failed_attempt(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, repository(tmp_path / "tiny"), child=child("progress.write_text('{}\\n')"))
    assert failed.reason.startswith("the training process wrote a line that is not a progress report: b'{}'")


def test_a_training_that_claims_success_without_files_is_a_failed_attempt(trial: Trial, tmp_path: Path) -> None:
    failed = failure(trial, repository(tmp_path / "tiny"), child=child(FINISH))
    assert (failed.stage, failed.reason.partition(" ")[0]) == (facts.STAGE_EXPORT, "model.onnx")


def test_a_stopped_trainer_ends_the_attempt_without_a_report_and_without_processes(
    trial: Trial, tmp_path: Path
) -> None:
    known = f"600.{os.getpid()}"
    sleeper = f"import subprocess, time; subprocess.Popen(['sleep', '{known}']); time.sleep(600)"
    source = repository(tmp_path / "tiny", tests=f'python -c "{sleeper}"')
    thread = threading.Thread(target=trial.run, args=(source,))
    thread.start()
    until(lambda: is_running(known), "the process that the tests start")
    trial.tools.attempts.close(20)
    thread.join(PATIENCE_SECONDS)
    assert (trial.report, trial.sent) == (None, [])
    assert not is_running(known)


def is_alive(pid: int) -> bool:
    """A killed orphan is a zombie until its new parent has reaped it; that counts as ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_an_attempt_that_has_ended_is_reported_again_and_not_run_again(trial: Trial, tmp_path: Path) -> None:
    first = trial.run((str(tmp_path / "nowhere"), "a" * 40))
    assert trial.run(("elsewhere", "b" * 40)) is first
    assert trial.tools.attempts.outcome(CLAIM) is first


def lost_after_its_checkpoint(trial: Trial, source: tuple[str, str]) -> None:
    """Runs an attempt until its first checkpoint is stored; then the trainer stops."""
    thread = threading.Thread(target=trial.run, args=(source,), kwargs={"child": child(CHECKPOINT)})
    thread.start()
    pause = threading.Event()
    for _ in range(600):
        if trial.tools.store.latest(CHECKPOINT_PATH) is not None:
            break
        pause.wait(0.05)
    trial.tools.attempts.close(20)
    thread.join(PATIENCE_SECONDS)
    assert trial.report is None


def test_the_next_attempt_goes_on_from_the_checkpoint_of_a_lost_one_and_the_fact_names_it(
    trial: Trial, tmp_path: Path
) -> None:
    source = repository(tmp_path / "tiny")
    lost_after_its_checkpoint(trial, source)
    report = trial.run(source, child=child(FILES + FINISH), attempts=Attempts())
    assert report is not None
    finished = report.report_training_finished.fact
    assert (finished.resumed_from_epoch, finished.resumed_from_attempt) == (1, 1)
    files = {file.name: file.sha256 for file in finished.artifact.files}
    assert trial.tools.store.get(files[MODEL_FILE]) == b"resumed from epoch 1"
    assert trial.tools.store.latest(CHECKPOINT_PATH) is None


@pytest.mark.parametrize("strange", ["another key", "another library", "other bytes"])
def test_a_checkpoint_of_another_training_is_not_used(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strange: str
) -> None:
    source = repository(tmp_path / "tiny")
    lost_after_its_checkpoint(trial, source)
    key = trial.tools.checkpoint_key
    if strange == "another key":
        key = new_checkpoint_key()
    elif strange == "another library":
        monkeypatch.setattr("services.trainer.attempt.work.training_environment", lambda: {"torch": "1.0"})
    else:
        trial.tools.store.replace(CHECKPOINT_PATH, (trial.tools.store.latest(CHECKPOINT_PATH) or b"")[:-1] + b"2")
    failed = failure(trial, source, child=child(FINISH), attempts=Attempts(), checkpoint_key=key)
    assert failed.reason.startswith("model.onnx is missing")
    assert trial.tools.store.latest(CHECKPOINT_PATH) is None


def test_a_training_goes_on_while_the_store_cannot_be_reached(trial: Trial, tmp_path: Path) -> None:
    class Away(ArtifactStore):
        def latest(self, name: str) -> bytes:
            raise StoreUnavailable("away")

        def remove(self, name: str) -> None:
            raise StoreUnavailable("away")

    away = Away(MemoryStore())
    failed = failure(trial, repository(tmp_path / "tiny"), child=child("os.kill(os.getpid(), 11)"), store=away)
    assert failed.reason.startswith("the training process was ended by signal 11 (SIGSEGV)")
