"""Writes a log of many facts, as the registry would write them: every chain is intact, every transition is legal."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from headgate.domain.fact import Fact
from headgate.domain.names import model_stream
from headgate.lifecycle.stream import Stream, message_of, new_stream, record_of
from headgate.log import topics
from headgate.log.envelope import digest
from headgate.log.port import Message
from headgate.log.sqlite.log import SqliteLog
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts

MODELS = 1_000
BATCH = 5_000
LEASE_MS = 60_000
START_MS = 1_700_000_000_000
SHAPE = 1
"""Raise it when the facts below change. Then files with the older facts are not used any more."""


def history(folder: Path, facts: int, models: int = MODELS) -> Path:
    """The file of a log with this many facts of so many models. Writes it if it does not exist yet."""
    path = folder / f"history-{SHAPE}-{facts}-{models}.db"
    if not path.exists():
        partial = path.with_suffix(".partial")
        for leftover in folder.glob(f"{partial.name}*"):
            leftover.unlink()
        _write(partial, facts, models)
        partial.rename(path)
    return path


def _write(path: Path, facts: int, models: int) -> None:
    log = SqliteLog(path)
    log.create_topics(topics.TOPICS)
    batch: list[Message] = []
    for number, message in enumerate(_messages(facts, models), start=1):
        batch.append(message)
        if len(batch) == BATCH or number == facts:
            log.append_all(batch, timeout_seconds=60.0)
            batch = []
    log.close()


def _messages(facts: int, models: int) -> Iterator[Message]:
    streams = [_stream(number) for number in range(models)]
    written, version = 0, 0
    while True:
        version += 1
        for stream in streams:
            for at, fact in enumerate(_version(stream.state.name, version)):
                if written == facts:
                    return
                written += 1
                yield append(stream, fact, START_MS + version * 1_000_000 + at * 1_000)


def _stream(number: int) -> Stream:
    stream = new_stream(model_stream(f"model-{number:04d}"))
    assert stream is not None
    return stream


def append(stream: Stream, fact: Fact, at_ms: int) -> Message:
    """The record with this fact, and moves the stream's head to it."""
    command_id = f"{stream.name}/{stream.sequence + 1}"
    command = commands.Command(command_id=command_id, stream=stream.name, actor="trainer-0", correlation_id="push-1")
    message = message_of(record_of(command, fact, stream, at_ms))
    stream.sequence += 1
    stream.digest = digest(message.value or b"")
    return message


def _version(model: str, version: int) -> Iterator[Fact]:
    """The eight facts of a version from commit to gate. Every third version has only three, because its tests fail."""
    sha = hashlib.sha256(f"{model}/{version}".encode()).hexdigest()
    yield facts.VersionCreated(
        version=version,
        origin=facts.ORIGIN_COMMIT,
        repository=f"https://git.example/{model}.git",
        commit=sha[:40],
        commit_message="Weigh the rare class by its cost",
    )
    yield facts.TestingStarted(version=version, attempt=1, worker="trainer-0", lease_ms=LEASE_MS)
    if version % 3 == 0:
        yield facts.CodeTested(version=version, attempt=1, passed=False, exit_code=1, log_tail="1 failed, 12 passed")
        return
    yield facts.CodeTested(
        version=version, attempt=1, passed=True, duration_ms=900, configuration=_configuration(model)
    )
    yield facts.TrainingStarted(version=version, attempt=1, environment={"torch": "2.13.0", "python": "3.11.7"})
    files = [facts.ArtifactFile(name="model.onnx", sha256=sha, size_bytes=52_000)]
    artifact = facts.Artifact(manifest_sha256=sha, files=files)
    yield facts.TrainingFinished(
        version=version, attempt=1, artifact=artifact, epochs=20, train_loss=0.1, duration_ms=4_000
    )
    yield facts.EvaluationStarted(version=version, attempt=1, worker="evaluator-0", lease_ms=LEASE_MS)
    metrics = [facts.Metric(name="accuracy", value=0.97), facts.Metric(name="recall", value=0.95)]
    report = facts.EvaluationReport(rows=1_000, rows_sha256=sha, metrics=metrics, duration_ms=30)
    yield facts.EvaluationFinished(version=version, attempt=1, report=report)
    yield facts.GateDecided(version=version, passed=True, policy_sha256=sha, metrics=metrics)


def _configuration(model: str) -> configuration.ModelConfiguration:
    data = [configuration.DataFile(name="train", uri=f"file:///data/{model}.csv", sha256="ab" * 32)]
    code = configuration.CodeConfiguration(module="network", tests="pytest -q")
    return configuration.ModelConfiguration(
        model=model, task="binary", code=code, data=data, parameters_json='{"hidden":64}', digest=b"\x01" * 32
    )
