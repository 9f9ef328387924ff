"""The facts of many models. Each has a live version, and some have another one in a canary. All can be served."""

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.artifacts.keys import SigningKey
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import ArtifactStore
from headgate.domain.fact import Fact
from headgate.domain.names import model_stream
from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.log.port import Message
from headgate.runtime.clock import now_ms
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.gateway import networks

METRICS = ("accuracy", "auc", "f1", "log_loss", "precision", "recall")
NETWORK = networks.root()
STABLE_BPS, CANDIDATE_BPS = 5_000, 5_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Seals the artifacts, and makes the messages of each model in order."""

    store: ArtifactStore
    key: SigningKey

    def messages(self, model: str, in_release: bool) -> Iterator[Message]:
        stream = new_stream(model_stream(model))
        assert stream is not None
        for at, fact in enumerate(self._facts(model, in_release)):
            command = commands.Command(command_id=f"{model}/{at}", stream=stream.name, actor="test")
            message = message_of(record_of(command, fact, stream, now_ms()))
            yield message
            record = facts.LifecycleRecord.FromString(message.value or b"")
            assert stream.accept(record, message.value or b"", 0, at)

    def _facts(self, model: str, in_release: bool) -> Iterator[Fact]:
        yield from self._version(model, 1)
        all_traffic = [facts.Weight(version=1, weight_bps=10_000)]
        yield facts.ReleaseRequested(release=1, environment="production", candidate=1, salt="s")
        yield facts.ReleaseStarted(release=1)
        yield facts.CandidateReady(release=1)
        yield facts.PromotionStarted(release=1, weights=all_traffic)
        yield facts.WeightsApplied(release=1, epoch=12)
        yield facts.ReleaseCompleted(release=1, judgement=facts.Judgement(verdict=facts.VERDICT_PASS))
        if in_release:
            yield from self._version(model, 2)
            yield from self._canary()

    def _canary(self) -> Iterator[Fact]:
        split = [facts.Weight(version=1, weight_bps=STABLE_BPS), facts.Weight(version=2, weight_bps=CANDIDATE_BPS)]
        yield facts.ReleaseRequested(release=2, environment="production", candidate=2, salt="s")
        yield facts.ReleaseStarted(release=2, stable=1)
        yield facts.CandidateReady(release=2)
        yield facts.WeightsSet(release=2, weights=split)
        yield facts.WeightsApplied(release=2, epoch=26)
        # Paused, so that the deployer does not move it during the test.
        yield facts.ReleasePaused(release=2, reason="for the test")

    def _version(self, model: str, version: int) -> Iterator[Fact]:
        artifact = seal(self.store, {MODEL_FILE: NETWORK}, f"models/{model}/versions/{version}", self.key)
        report = facts.EvaluationReport(
            rows=1, metrics=[facts.Metric(name=name, value=version / 3) for name in METRICS]
        )
        which = {"version": version, "attempt": 1}
        yield facts.VersionCreated(
            version=version, origin=facts.ORIGIN_COMMIT, repository=model, commit=f"{version:040x}"
        )
        yield facts.TestingStarted(**which, worker="trainer-0", lease_ms=60_000)
        yield facts.CodeTested(**which, passed=True)
        yield facts.TrainingStarted(**which)
        yield facts.TrainingFinished(**which, artifact=artifact, epochs=1)
        yield facts.EvaluationStarted(**which, worker="evaluator-0", lease_ms=60_000)
        yield facts.EvaluationFinished(**which, report=report)
        yield facts.GateDecided(version=version, passed=True)
