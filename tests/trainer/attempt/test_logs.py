"""What an attempt prints is kept in bounds and without credentials, and can be read while it is printed."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from obstore.store import MemoryStore

from headgate.artifacts.store import ArtifactError, ArtifactStore, open_store
from headgate.runtime.errors import RpcRefused
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.leases import Claim
from services.trainer.attempt import logs
from services.trainer.attempt.logs import Growing, bounded, end_of_log, keep_log
from services.trainer.attempts import MAX_ENDS_KEPT, Attempts
from services.trainer.log_reading import LogReading
from tests.model_states import with_versions
from tests.trainer.attempt.test_work import FILES, FINISH, child
from tests.trainer.conftest import Trial
from tests.trainer.repositories import repository


def test_a_log_without_end_keeps_its_begin_and_its_end_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 4_000)
    monkeypatch.setattr(logs, "BEGIN_BYTES", 1_000)
    # Of which bytes a cut goes through, every one is tried.
    for shift in range(60):
        line = "clone https://reader:secret@git.example.com/fraud\n"
        (tmp_path / "log").write_text("first\n" + "x" * shift + "\n" + line * 400 + "last")
        text, left_out_bytes = bounded(tmp_path / "log")
        size = (tmp_path / "log").stat().st_size
        assert len(text) <= 4_000 + 60
        assert b"secret" not in text
        assert b"reader:" not in text
        assert text.startswith(b"first\n")
        assert text.endswith(b"last")
        assert f"[{left_out_bytes} bytes are left out here]".encode() in text
        assert size - 4_000 <= left_out_bytes <= size


def test_of_a_cancelled_stage_the_last_lines_are_kept_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "END_BYTES", 1_000)
    line = "clone https://reader:secret@git.example.com/fraud"
    for shift in range(60):
        for end in ("\n", " "):
            (tmp_path / "log").write_text("x" * shift + end + (line + end) * 40 + "last")
            text = end_of_log(tmp_path / "log")
            assert text.startswith("[the lines before are not kept]\n")
            assert text.endswith("last")
            assert "secret" not in text
    (tmp_path / "log").write_text(f"{line}\nlast")
    assert end_of_log(tmp_path / "log") == "clone https://***@git.example.com/fraud\nlast"
    assert end_of_log(tmp_path / "none") == ""


def test_the_last_lines_of_few_attempts_without_a_report_are_remembered() -> None:
    attempts = Attempts()
    begun = [attempts.begin(Claim("models/tiny", number, 1), 0) for number in range(1, MAX_ENDS_KEPT + 3)]
    for attempt in begun:
        attempts.keep_ends(attempt, [(facts.STAGE_TESTS, "last")])
    assert [bool(attempt.ends) for attempt in begun] == [False] * 2 + [True] * MAX_ENDS_KEPT


def test_a_short_log_is_kept_whole_and_an_empty_one_takes_no_place(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "tests.log").write_bytes(b"\xffprinted\0\n")
    kept = keep_log(trial.tools.store, tmp_path, 2, facts.STAGE_TESTS)
    assert kept is not None
    assert (kept.attempt, kept.stage, kept.left_out_bytes) == (2, facts.STAGE_TESTS, 0)
    assert trial.tools.store.get(kept.sha256).decode() == "\N{REPLACEMENT CHARACTER}printed\n"
    (tmp_path / "training.log").touch()
    assert keep_log(trial.tools.store, tmp_path, 1, facts.STAGE_EXPORT) == facts.StageLog(
        attempt=1, stage=facts.STAGE_TRAINING
    )
    assert keep_log(trial.tools.store, tmp_path, 1, facts.STAGE_CHECKOUT) is None


def test_an_attempt_goes_on_when_its_log_cannot_be_kept(tmp_path: Path) -> None:
    class Full(ArtifactStore):
        def put(self, data: bytes) -> str:
            raise ArtifactError("the disk is full")

    (tmp_path / "tests.log").write_text("printed")
    assert keep_log(Full(MemoryStore()), tmp_path, 1, facts.STAGE_TESTS) is None
    assert keep_log(unavailable(tmp_path / "store"), tmp_path, 1, facts.STAGE_TESTS) is None


def test_a_reader_of_a_log_learns_that_the_store_is_unavailable(tmp_path: Path) -> None:
    log = facts.StageLog(attempt=1, stage=facts.STAGE_TESTS, sha256="ab" * 32)
    tiny = with_versions("tiny", resources.Version(name="models/tiny/versions/1", version=1, logs=[log]))
    fold: Any = SimpleNamespace(lock=threading.Lock(), models={"tiny": tiny})
    reading = LogReading(fold, unavailable(tmp_path / "store"), Attempts())
    with pytest.raises(RpcRefused, match="cannot be read from the artifact store") as refused:
        list(reading.read("tiny", 1, follow=False))
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE


def unavailable(folder: Path) -> ArtifactStore:
    """A store whose folder of blobs is a file, so that it neither gives nor takes one."""
    folder.mkdir()
    (folder / "blobs").write_text("no directory")
    return open_store(folder.as_uri())


def test_the_facts_of_an_attempt_name_what_its_tests_and_its_training_printed(trial: Trial, tmp_path: Path) -> None:
    source = repository(tmp_path / "tiny", tests="python -c 'print(1 + 1)'")
    (tmp_path / "out").mkdir()
    resume = '(directory / "resume.safetensors").write_text("no")\n'
    report = trial.run(source, child=child("print('epoch 1 of 1', flush=True)\n" + resume + FILES + FINISH))
    assert report is not None
    tested = trial.sent[0].report_code_tested.fact.log
    finished = report.report_training_finished.fact.log
    assert (tested.stage, trial.tools.store.get(tested.sha256)) == (facts.STAGE_TESTS, b"2\n")
    assert (finished.stage, trial.tools.store.get(finished.sha256)) == (facts.STAGE_TRAINING, b"epoch 1 of 1\n")


def test_a_failed_attempt_names_the_log_of_the_stage_that_failed(trial: Trial, tmp_path: Path) -> None:
    crash = child("print('ouch', flush=True); os.kill(os.getpid(), 11)")
    report = trial.run(repository(tmp_path / "tiny"), child=crash)
    assert report is not None
    log = report.report_training_failed.fact.log
    assert (log.stage, trial.tools.store.get(log.sha256)) == (facts.STAGE_TRAINING, b"ouch\n")


def test_a_log_is_read_line_by_line_while_it_is_written(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "log")
    assert list(growing.new_text(False)) == []
    with (tmp_path / "log").open("w", buffering=1) as log:
        log.write("one\ntw")
        log.flush()
        assert list(growing.new_text(False)) == ["one\n"]
        log.write("o https://reader:secret@git.example.com\nthr")
        log.flush()
        assert list(growing.new_text(False)) == ["two https://***@git.example.com\n"]
        assert list(growing.new_text(False)) == []
    (tmp_path / "log").unlink()
    assert list(growing.new_text(True)) == ["thr"]
    assert list(growing.new_text(True)) == []
    growing.close()
