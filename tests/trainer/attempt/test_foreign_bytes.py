"""What a training process wrote and what lies in the artifact store is read with care."""

from pathlib import Path

import pytest

from headgate.artifacts.checkpoint_keys import CheckpointKey, new_checkpoint_key
from headgate.artifacts.store import ArtifactStore, open_store
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.checkpoints import (
    DOMAIN,
    Checkpoint,
    Origin,
    find_checkpoint,
    path,
    store_checkpoint,
)
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.progress import Progress

ORIGIN = Origin("models/fraud/versions/1", "f" * 64)
NESTED = "[" * 100_000


EPOCH = '{"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0}'
WRONG = [
    NESTED,
    "no JSON",
    "1" * 10_000,
    "{}",
    '{"epoch": {"epoch": -1, "train_loss": 1.0, "validation_loss": 1.0}}',
    '{"epoch": {"epoch": 1000000, "train_loss": 1.0, "validation_loss": 1.0}}',
    '{"epoch": {"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0, "duration_ms": "long"}}',
    f'{{"epoch": {EPOCH}}}\n{{"epoch": {EPOCH}}}',
    '{"checkpoint": 1' + "0" * 30 + "}",
    '{"checkpoint": true}',
    '{"finished": {"epochs": {}, "export_difference": 0.0, "resumed_from": 0}}',
    f'{{"finished": {{"epochs": {EPOCH}, "export_difference": 0.0, "resumed_from": -1}}}}',
    '{"finished": {"epochs": {"epoch": "x", "train_loss": 1.0, "validation_loss": 1.0}, "export_difference": 0.0,'
    ' "resumed_from": 0}}',
]


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_is_no_progress_report_fails_the_attempt(tmp_path: Path, line: str) -> None:
    file = tmp_path / "progress"
    file.write_text(line + "\n")
    with pytest.raises(AttemptFailed, match="not a progress report"):
        Progress(file, 60.0, lambda epoch: None, lambda epoch: None).read()


def test_many_checkpoints_at_once_are_stored_once(tmp_path: Path) -> None:
    file, stored = tmp_path / "progress", list[int]()
    file.write_text("".join(f'{{"checkpoint": {epoch}}}\n' for epoch in range(10_000)))
    Progress(file, 60.0, lambda epoch: None, stored.append).read()
    assert stored == [9_999]


def test_a_reason_with_half_a_character_stands_in_a_fact(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    file.write_text('{"failed": {"stage": "TRAINING", "reason": "half \\ud800"}}\n')
    progress = Progress(file, 60.0, lambda epoch: None, lambda epoch: None)
    progress.read()
    assert progress.failed is not None
    assert facts.TrainingFailed(reason=progress.failed.reason).reason == "half ?"


def signed(store: ArtifactStore, key: CheckpointKey, head: str) -> None:
    payload = head.encode() + b"\nstate"
    store.replace(path(ORIGIN.version), key.key_id.encode() + key.sign(DOMAIN + payload) + payload)


@pytest.mark.parametrize("head", [NESTED, "", "[]", "{}", "1" * 10_000])
def test_a_signed_checkpoint_with_a_head_of_another_form_is_not_used(
    head: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, key = open_store("memory:///"), new_checkpoint_key()
    signed(store, key, head)
    assert find_checkpoint(store, key, ORIGIN) is None
    assert "checkpoint cannot be read" in caplog.text


def test_a_checkpoint_is_found_by_the_training_that_it_belongs_to_and_by_no_other(tmp_path: Path) -> None:
    store, key = open_store("memory:///"), new_checkpoint_key()
    (tmp_path / "state").write_bytes(b"weights")
    store_checkpoint(store, key, ORIGIN, 2, 3, tmp_path / "state")
    assert find_checkpoint(store, key, ORIGIN) == Checkpoint(2, 3, b"weights")
    assert find_checkpoint(store, key, Origin(ORIGIN.version, "another")) is None
