"""A fleet of many models as facts: a version live, and for some another in a canary; their artifacts can serve."""

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.artifacts.keys import SigningKey
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import ArtifactStore
from headgate.domain.fact import Fact
from headgate.domain.names import model_stream
from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.log.port import Message
from headgate.runtime.clock import now_ms
from headgate.v1 import commands_pb2 as k
from headgate.v1 import facts_pb2 as f
from tests.gateway import networks

METRICS = ("accuracy", "auc", "f1", "log_loss", "precision", "recall")
NETWORK = networks.root()
STABLE_BPS, CANDIDATE_BPS = 5_000, 5_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Seals the artifacts and answers the messages of each model in order."""

    store: ArtifactStore
    key: SigningKey

    def messages(self, model: str, in_release: bool) -> Iterator[Message]:
        stream = new_stream(model_stream(model))
        assert stream is not None
        for at, fact in enumerate(self._facts(model, in_release)):
            command = k.Command(command_id=f"{model}/{at}", stream=stream.name, actor="test")
            message = message_of(record_of(command, fact, stream, now_ms()))
            yield message
            record = f.LifecycleRecord.FromString(message.value or b"")
            assert stream.accept(record, message.value or b"", 0, at)

    def _facts(self, model: str, in_release: bool) -> Iterator[Fact]:
        yield from self._version(model, 1)
        everything = [f.Weight(version=1, weight_bps=10_000)]
        yield f.ReleaseRequested(release=1, environment="production", candidate=1, salt="s")
        yield f.ReleaseStarted(release=1)
        yield f.CandidateReady(release=1)
        yield f.PromotionStarted(release=1, weights=everything)
        yield f.WeightsApplied(release=1, epoch=12)
        yield f.ReleaseCompleted(release=1, judgement=f.Judgement(verdict=f.VERDICT_PASS))
        if in_release:
            yield from self._version(model, 2)
            yield from self._canary()

    def _canary(self) -> Iterator[Fact]:
        split = [f.Weight(version=1, weight_bps=STABLE_BPS), f.Weight(version=2, weight_bps=CANDIDATE_BPS)]
        yield f.ReleaseRequested(release=2, environment="production", candidate=2, salt="s")
        yield f.ReleaseStarted(release=2, stable=1)
        yield f.CandidateReady(release=2)
        yield f.WeightsSet(release=2, weights=split)
        yield f.WeightsApplied(release=2, epoch=26)
        # Paused, so that nobody is asked to move it while it is looked at.
        yield f.ReleasePaused(release=2, reason="to be looked at")

    def _version(self, model: str, version: int) -> Iterator[Fact]:
        artifact = seal(self.store, {"model.onnx": NETWORK}, f"models/{model}/versions/{version}", self.key)
        report = f.EvaluationReport(rows=1, metrics=[f.Metric(name=name, value=version / 3) for name in METRICS])
        which = {"version": version, "attempt": 1}
        yield f.VersionCreated(version=version, origin=f.ORIGIN_COMMIT, repository=model, commit=f"{version:040x}")
        yield f.TestingStarted(**which, worker="trainer-0", lease_ms=60_000)
        yield f.CodeTested(**which, passed=True)
        yield f.TrainingStarted(**which)
        yield f.TrainingFinished(**which, artifact=artifact, epochs=1)
        yield f.EvaluationStarted(**which, worker="evaluator-0", lease_ms=60_000)
        yield f.EvaluationFinished(**which, report=report)
        yield f.GateDecided(version=version, passed=True)
