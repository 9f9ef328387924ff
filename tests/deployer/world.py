"""A deployer and a registry on a log. The test sends what a trainer, an evaluator and a gateway would send."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.runtime.service import Service
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.deployer import app as deployer
from services.deployer import settings as deployer_settings
from services.registry import app as registry
from services.registry import settings as registry_settings
from tests.deployer.reports import evidence, status
from tests.waiting import PATIENCE_SECONDS

STREAM = "models/fraud"
REPORT_SECONDS = 0.1
LEASE_MS = 60_000
NO_METRICS: Mapping[str, float] = {}
POLICY = configuration.ReleasePolicy(
    steps=[configuration.Step(weight_bps=5_000, min_duration_ms=1, min_keys=100)], bake_ms=1
)


class World:
    """A log, a registry, a deployer, and a simulated gateway that follows every change at once."""

    def __init__(self, directory: Path, keys: Path | None = None) -> None:
        self.url = f"sqlite://{directory / 'log.db'}"
        self.log = open_log(self.url)
        self._keys = keys
        self.registry: Service = registry.build(registry_settings.Settings(log=self.url, port=0, keys=keys))
        self.deployer: Service = deployer.build(deployer_settings.Settings(log=self.url))
        self.fold = LifecycleFold(self.log)
        self.bad_versions: set[int] = set()
        self._telemetry = TelemetryWriter(self.log, "gateway-0")
        self._leaving = threading.Event()
        self._gateway = threading.Thread(target=self._report_until_stopped)

    def start(self) -> None:
        self.registry_port = self.registry.start()
        self.fold.start()
        assert self.fold.wait_caught_up(PATIENCE_SECONDS)
        self._gateway.start()
        self.port = self.deployer.start()

    def pilot(self) -> worker_services.Pilot:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = worker_services_grpc.DeployerServiceStub(channel)
            (pilot,) = stub.ListPilots(worker_services.ListPilotsRequest(), timeout=PATIENCE_SECONDS).pilots
        return pilot

    def stop_gateway(self) -> None:
        self._leaving.set()
        self._gateway.join()

    def stop(self) -> None:
        self.stop_gateway()
        self.deployer.stop(5)
        self.registry.stop(5)
        self.fold.close()
        self.log.close()

    def restart_registry(self) -> None:
        """Stops the registry and starts another one on the same port."""
        self.registry.stop(5)
        self.registry = registry.build(
            registry_settings.Settings(log=self.url, port=self.registry_port, keys=self._keys)
        )
        self.registry.start()

    def restart_deployer(self) -> None:
        self.deployer.stop(5)
        self.deployer = deployer.build(deployer_settings.Settings(log=self.url))
        self.port = self.deployer.start()

    def issue(self, step: str, stream: str = STREAM, **payload: Any) -> None:
        command = commands.Command(command_id=f"test/{step}", stream=stream, actor="test", **payload)
        self.log.append(Message(topics.COMMANDS, stream.encode(), command.SerializeToString()))

    def pass_gate(
        self,
        number: int,
        gate: configuration.GatePolicy | None = None,
        artifact: facts.Artifact | None = None,
        metrics: Mapping[str, float] = NO_METRICS,
    ) -> None:
        """Sends all commands that bring a version through the gate. Without `gate` the gate has no rules."""
        for field, payload in self._commands(number, gate, artifact, metrics):
            self.issue(f"{number}/{field}", **{field: payload})

    def begin_canary(self) -> None:
        """Makes version 1 live, and waits until all gateways serve the first step of the canary of version 2."""
        self.pass_gate(1)
        self.wait_for(phase_is(1, resources.PHASE_COMPLETED))
        self.pass_gate(2)
        self.wait_for(lambda state: 2 in state.releases and state.releases[2].applied_at_ms > 0)

    def train(self, number: int) -> None:
        """Sends the commands that bring a version into its training. `pass_gate` goes on from there."""
        for field, payload in self._commands(number, None, None)[:4]:
            self.issue(f"{number}/{field}", **{field: payload})

    def _commands(
        self,
        number: int,
        gate: configuration.GatePolicy | None,
        artifact: facts.Artifact | None,
        metrics: Mapping[str, float] = NO_METRICS,
    ) -> list[tuple[str, Any]]:
        requested = configuration.ReleaseWish(environment="production", strategy=configuration.STRATEGY_CANARY)
        tested = facts.CodeTested(version=number, attempt=1, passed=True)
        tested.configuration.CopyFrom(configuration.ModelConfiguration(model="fraud", release=requested, gate=gate))
        artifact = artifact or facts.Artifact(manifest_sha256="0" * 64)
        finished = facts.TrainingFinished(version=number, attempt=1, artifact=artifact)
        measured = [facts.Metric(name=name, value=value) for name, value in metrics.items()]
        report = facts.EvaluationReport(rows=1, metrics=measured)
        evaluated = facts.EvaluationFinished(version=number, attempt=1, report=report)
        claim = {"version": number, "attempt": 1, "worker": "test", "lease_ms": LEASE_MS}
        started = facts.TrainingStarted(version=number, attempt=1)
        return [
            ("create_version", commands.CreateVersion(repository="/here", commit=f"{number:040x}")),
            ("start_testing", commands.StartTesting(**claim)),
            ("report_code_tested", commands.ReportCodeTested(fact=tested)),
            ("report_training_started", commands.ReportTrainingStarted(fact=started)),
            ("report_training_finished", commands.ReportTrainingFinished(fact=finished)),
            ("start_evaluation", commands.StartEvaluation(**claim)),
            ("report_evaluation_finished", commands.ReportEvaluationFinished(fact=evaluated)),
            ("decide_gate", commands.DecideGate(version=number)),
        ]

    def wait_for(self, condition: Callable[[ModelState], bool]) -> None:
        while True:
            with self.fold.lock:
                revision = self.fold.revision
                state = self.fold.models.get("fraud")
                if state is not None and condition(state):
                    return
            assert self.fold.wait_change(revision, PATIENCE_SECONDS) != revision, (
                f"no change any more; the state is {state}"
            )

    def _report_until_stopped(self) -> None:
        revision = -1
        while not self._leaving.is_set():
            self._report()
            revision = self.fold.wait_change(revision, REPORT_SECONDS)

    def _report(self) -> None:
        with self.fold.lock:
            state = self.fold.models.get("fraud") or ModelState("fraud")
            newest = max(state.releases.values(), key=lambda release: release.release, default=resources.Release())
            ready, epoch, weights = list(state.versions), newest.epoch, list(newest.weights)
            release, candidate = newest.release, newest.candidate
        self._telemetry.send("environments/production", gateway_status=status(ready=ready, epoch=epoch).gateway_status)
        weight = next((each.weight_bps for each in weights if each.version == candidate), 0)
        if weight:
            bad = 200 if candidate in self.bad_versions else 0
            stable = 2_000 if len(weights) > 1 else 0
            counts = evidence((bad, 2_000), (0, stable), epoch=epoch, weight=weight, release=release).evidence
            self._telemetry.send(STREAM, evidence=counts)


def phase_is(release: int, phase: resources.Phase.ValueType) -> Callable[[ModelState], bool]:
    return lambda state: release in state.releases and state.releases[release].phase == phase
