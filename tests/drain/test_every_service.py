"""What all services have in common: health by service name, readiness, no calls until the log is read, and SIGTERM."""

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headgate.artifacts.store import open_store
from headgate.runtime.observability.metric import EVERY
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from tests.drain.builds import build
from tests.drain.processes import Installation
from tests.metrics.exposed import get, until
from tests.metrics.fleet import Fleet
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
GRACE_SECONDS = 10.0
NAMES = {
    "registry": ("headgate.v1.RegistryService", "headgate.v1.ReleaseService"),
    "trainer": ("headgate.v1.TrainerService",),
    "evaluator": ("headgate.v1.EvaluatorService",),
    "deployer": ("headgate.v1.DeployerService",),
    "gateway": ("inference.GRPCInferenceService",),
    "portal": (),
}


def call(service: str, channel: grpc.Channel) -> object:
    """Any call of the service. Raises grpc.RpcError."""
    match service:
        case "registry":
            return registry_service_grpc.RegistryServiceStub(channel).CreateModel(
                registry_service.CreateModelRequest(model="fraud"), timeout=PATIENCE_SECONDS
            )
        case "trainer":
            return worker_services_grpc.TrainerServiceStub(channel).ListAttempts(
                worker_services.ListAttemptsRequest(), timeout=PATIENCE_SECONDS
            )
        case "evaluator":
            return worker_services_grpc.EvaluatorServiceStub(channel).Evaluate(
                worker_services.EvaluateRequest(name="models/model/versions/1"), timeout=PATIENCE_SECONDS
            )
        case _:
            return worker_services_grpc.DeployerServiceStub(channel).ListPilots(
                worker_services.ListPilotsRequest(), timeout=PATIENCE_SECONDS
            )


def refusal(service: str, channel: grpc.Channel) -> grpc.RpcError | None:
    try:
        call(service, channel)
    except grpc.RpcError as error:
        return error
    return None


def test_every_service_reports_that_it_serves_and_exits_with_0_after_sigterm(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    with ExitStack() as stack:
        running = {service: stack.enter_context(installation.running(service)) for service in EVERY}
        for service, process in running.items():
            process.await_ready()
            assert [process.health(name) for name in ("", *NAMES[service])] == [SERVING] * (1 + len(NAMES[service]))
            assert get(process.metrics_port, "/livez") == (200, "alive\n")
        for process in running.values():
            process.terminate()
        for service, process in running.items():
            code, seconds = process.exit_code()
            assert (service, code, seconds < GRACE_SECONDS) == (service, 0, True)
            assert process.messages()[-2:] == ["stopping after SIGTERM", "stopped"]
    installation.log.close()


@pytest.mark.parametrize("service", [service for service in EVERY if service not in ("gateway", "portal")])
def test_while_the_log_is_read_health_answers_and_other_calls_are_refused(tmp_path: Path, service: str) -> None:
    installation, (metrics_port,) = Installation(tmp_path), free_ports(1)
    fleet = Fleet(open_store((tmp_path / "artifacts").as_uri()), installation.key)
    installation.log.append_all(list(fleet.messages("model", in_release=False)))
    built = build(service, installation, metrics_port)
    ports: list[int] = []
    start = threading.Thread(target=lambda: ports.append(built.start()))
    with built._parts.fold.lock:  # The fold stands still while the test holds its lock.
        start.start()
        server = built._server
        until(lambda: server.port, "the port")
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *NAMES[service]):
            assert (
                health.Check(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS).status
                == NOT_SERVING
            )
        assert get(metrics_port, "/readyz") == (503, "starting\n")
        assert get(metrics_port, "/livez") == (200, "alive\n")
        refused = refusal(service, channel)
        assert refused is not None
        assert (refused.code(), "still reading the log" in refused.details()) == (grpc.StatusCode.UNAVAILABLE, True)
    start.join(PATIENCE_SECONDS)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS).status == SERVING
    assert get(metrics_port, "/readyz") == (200, "ready\n")
    answered = refusal(service, channel)
    assert answered is None or answered.code() is not grpc.StatusCode.UNAVAILABLE
    channel.close()
    built.stop(GRACE_SECONDS)
    installation.log.close()


@pytest.mark.parametrize("service", ["trainer", "evaluator", "gateway"])
@pytest.mark.parametrize("url", ["foo://x", "nonsense"])
def test_a_wrong_artifact_store_is_a_settings_error_before_the_service_waits_for_the_log(
    tmp_path: Path, service: str, url: str
) -> None:
    environ = os.environ | {
        "HEADGATE_LOG": "kafka://127.0.0.1:1",
        "HEADGATE_KEYS": str(tmp_path),
        "HEADGATE_ARTIFACTS": url,
    }
    command = [sys.executable, "-m", f"services.{service}"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 78
    assert json.loads(line)["message"].startswith(
        f"HEADGATE_ARTIFACTS={url!r}: expected file:///directory, or a bucket"
    )
