"""The whole evaluator on a log with a registry: from a trained version to its verdict, and its gRPC service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from headgate.cli import main as command_line
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog, Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.evaluator import app as evaluator
from services.evaluator import settings as evaluator_settings
from services.registry import app as registry
from services.registry import settings as registry_settings
from tests.evaluator.material import artifacts_in, files_of, logistic, rows_of, sealed_files, separable
from tests.waiting import PATIENCE_SECONDS, until

STREAM = "models/fraud"
GATE = configuration.GatePolicy(rules=[configuration.GateRule(metric="accuracy", min=0.9, max_drop=0.01)])
ROWS = rows_of(*separable())


class World:
    """A log with a registry and an evaluator. The test sends the commands of the trainer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.artifacts = artifacts_in(directory)
        url = f"sqlite://{directory / 'log.db'}"
        self.log: EventLog = open_log(url)
        self.registry = registry.build(registry_settings.Settings(log=url, port=0))
        self.evaluator = evaluator.build(
            evaluator_settings.Settings(
                log=url, artifacts=(directory / "store").as_uri(), keys=directory / "keys", name="evaluator-0"
            )
        )
        self.fold = LifecycleFold(self.log)

    def start_registry(self) -> None:
        self.registry_port = self.registry.start()
        self.fold.start()
        assert self.fold.wait_caught_up(PATIENCE_SECONDS)

    def start_evaluator(self) -> None:
        self.port = self.evaluator.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.stub = worker_services_grpc.EvaluatorServiceStub(self.channel)

    def stop(self) -> None:
        self.channel.close()
        self.evaluator.stop(5)
        self.registry.stop(5)
        self.fold.close()
        self.log.close()

    def issue(self, number: int, what: str, **fields: object) -> None:
        command = commands.Command(command_id=f"test/{number}/{what}", stream=STREAM, actor="test", **fields)  # type: ignore[arg-type]
        self.log.append(Message(topics.COMMANDS, STREAM.encode(), command.SerializeToString()))

    def create(self, number: int) -> None:
        create = commands.CreateVersion(repository="/here", commit=f"{number:040x}")
        self.issue(number, "create", create_version=create)

    def train(self, number: int, model: bytes, rows: bytes = ROWS) -> None:
        self.create(number)
        files = files_of(model, rows)
        artifact = sealed_files(self.artifacts, self.directory, number, files).artifact
        claim = commands.StartTesting(version=number, attempt=1, worker="trainer-0", lease_ms=60_000)
        tested = facts.CodeTested(version=number, attempt=1, passed=True)
        tested.configuration.CopyFrom(configuration.ModelConfiguration(model="fraud", task="binary", gate=GATE))
        started = facts.TrainingStarted(version=number, attempt=1)
        finished = facts.TrainingFinished(version=number, attempt=1, artifact=artifact)
        self.issue(number, "claim", start_testing=claim)
        self.issue(number, "tested", report_code_tested=commands.ReportCodeTested(fact=tested))
        self.issue(number, "started", report_training_started=commands.ReportTrainingStarted(fact=started))
        self.issue(number, "finished", report_training_finished=commands.ReportTrainingFinished(fact=finished))

    def release(self, number: int) -> None:
        """The commands of a deployer that has a gateway: the version goes live beside nothing."""
        start = commands.StartRelease(environment="production", candidate=number)
        self.issue(number, "release", start_release=start)
        self.issue(number, "begin", begin_release=commands.BeginRelease(release=1))
        ready = commands.ReportCandidateReady(release=1, gateways=["gateway-0"])
        self.issue(number, "ready", report_candidate_ready=ready)
        self.issue(number, "promote", promote_release=commands.PromoteRelease(release=1, reason="the first"))
        epoch = self.wait_for_state(lambda state: state.releases[1].epoch if 1 in state.releases else 0)
        applied = commands.ReportWeightsApplied(release=1, epoch=epoch, gateways=["gateway-0"])
        self.issue(number, "applied", report_weights_applied=applied)
        self.issue(number, "complete", complete_release=commands.CompleteRelease(release=1))
        assert self.wait_for_state(lambda state: state.model.live.get("production", 0)) == number

    def wait_for_state(self, found: Callable[[ModelState], int]) -> int:
        """Waits until there is something to be found in the model's state, and returns it."""
        while True:
            with self.fold.lock:
                revision = self.fold.revision
                value = found(self.fold.models["fraud"])
            if value:
                return value
            assert self.fold.wait_change(revision, PATIENCE_SECONDS) != revision, "the state stays as it is"

    def wait_for(self, number: int, condition: Callable[[resources.Version], bool]) -> resources.Version:
        while True:
            with self.fold.lock:
                revision = self.fold.revision
                state = self.fold.models.get("fraud")
                found = state.versions.get(number) if state is not None else None
                if found is not None and condition(found):
                    return found
            assert self.fold.wait_change(revision, PATIENCE_SECONDS) != revision, f"version {number} stays at {found}"

    def refused(self, name: str) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as refusal:
            self.stub.Evaluate(worker_services.EvaluateRequest(name=name), timeout=PATIENCE_SECONDS)
        code: grpc.StatusCode = refusal.value.code()
        return code


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start_registry()
    yield world
    world.stop()


def is_judged(version: resources.Version) -> bool:
    return version.HasField("gate")


def test_a_trained_version_is_evaluated_and_judged(world: World) -> None:
    world.start_evaluator()
    world.train(1, logistic([5.0, 0.0]))
    judged = world.wait_for(1, is_judged)
    assert judged.build == resources.BUILD_STATE_EVALUATED
    assert judged.gate.passed
    assert judged.gate.results[0].explanation.startswith("accuracy 1.0000 meets the minimum 0.9000")
    on_demand = world.stub.Evaluate(worker_services.EvaluateRequest(name=judged.name), timeout=PATIENCE_SECONDS)
    assert on_demand.metrics == judged.report.metrics
    assert on_demand.rows_sha256 == judged.report.rows_sha256


def test_the_command_line_asks_for_an_evaluation(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.start_evaluator()
    world.train(1, logistic([5.0, 0.0]))
    world.wait_for(1, is_judged)
    addresses = ["--registry", f"127.0.0.1:{world.registry_port}", "--evaluator", f"127.0.0.1:{world.port}"]
    monkeypatch.setattr("sys.argv", ["headgate", *addresses, "version", "evaluate", "fraud/1"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    printed = capsys.readouterr()
    assert ended.value.code in (None, 0), printed.err
    assert "models/fraud/versions/1" in printed.out
    assert "accuracy 1.0000" in printed.out


def test_a_bad_version_fails_its_gate_and_an_unusable_one_its_evaluation(world: World) -> None:
    world.start_evaluator()
    world.train(1, logistic([-5.0, 0.0]))
    assert world.wait_for(1, is_judged).verdict == resources.VERDICT_STATE_FAILED
    world.train(2, b"not a model")
    ended = world.wait_for(2, lambda version: version.build == resources.BUILD_STATE_EVALUATION_FAILED)
    assert "it is no ONNX file" in ended.failure
    assert world.refused("models/fraud/versions/2") == grpc.StatusCode.FAILED_PRECONDITION


def test_a_version_that_cannot_be_compared_with_the_live_one_fails_the_rule_that_compares(world: World) -> None:
    world.start_evaluator()
    world.train(1, logistic([5.0, 0.0]))
    assert world.wait_for(1, is_judged).gate.passed
    world.release(1)
    features, answers = separable()
    wider = np.concatenate([features, features], axis=1)
    world.train(2, logistic([5.0, 0.0, 0.0, 0.0]), rows_of(wider, answers))
    judged = world.wait_for(2, is_judged)
    assert judged.verdict == resources.VERDICT_STATE_FAILED
    assert judged.gate.results[0].explanation == (
        "accuracy cannot be compared with version 1, which is live: "
        "the model takes rows of the shape [2], and these have [4]"
    )
    assert judged.gate.signature_change == "the input is features float [n, 4]; version 1 has features float [n, 2]"


def test_the_command_line_ends_with_not_found_for_a_version_without_an_artifact(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.start_evaluator()
    world.create(1)
    until(lambda: world.refused("models/fraud/versions/1") != grpc.StatusCode.NOT_FOUND, "the version to be known")
    addresses = ["--registry", f"127.0.0.1:{world.registry_port}", "--evaluator", f"127.0.0.1:{world.port}"]
    monkeypatch.setattr("sys.argv", ["headgate", *addresses, "version", "evaluate", "fraud/1"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert (ended.value.code, "has no artifact to measure" in capsys.readouterr().err) == (3, True)


def test_a_version_that_cannot_be_evaluated_is_refused_with_the_reason(world: World) -> None:
    world.start_evaluator()
    world.create(1)
    # The evaluator has a fold of its own, which may learn of the version a little later.
    until(lambda: world.refused("models/fraud/versions/1") != grpc.StatusCode.NOT_FOUND, "the version to be known")
    assert world.refused("models/fraud/versions/1") == grpc.StatusCode.FAILED_PRECONDITION
    assert world.refused("models/fraud/versions/2") == grpc.StatusCode.NOT_FOUND
    assert world.refused("models/none/versions/1") == grpc.StatusCode.NOT_FOUND
    assert world.refused("fraud") == grpc.StatusCode.INVALID_ARGUMENT


def test_the_attempt_of_a_lost_evaluator_is_taken_over_and_finished(world: World) -> None:
    world.train(1, logistic([5.0, 0.0]))
    claim = commands.StartEvaluation(version=1, attempt=1, worker="lost", lease_ms=1)
    world.issue(1, "lost", start_evaluation=claim)
    world.wait_for(1, lambda version: version.lease.worker == "lost")
    world.start_evaluator()
    assert world.wait_for(1, is_judged).attempt == 2
