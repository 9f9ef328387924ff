"""A gateway that gets SIGTERM under traffic reports that it drains, answers every request, and reports all counts."""

from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from headgate.artifacts.store import open_store
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.log import topics
from headgate.v1 import telemetry_pb2 as telemetry
from tests.drain.processes import Installation
from tests.gateway.harness import infer_request
from tests.metrics.exposed import until
from tests.metrics.fleet import Fleet

CALLS = 100


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    found = Installation(tmp_path)
    fleet = Fleet(open_store((tmp_path / "artifacts").as_uri()), found.key)
    found.log.append_all(list(fleet.messages("fraud", in_release=True)))
    return found


def evidence(installation: Installation) -> int:
    """The number of requests in the newest report."""
    reports = [
        telemetry.TelemetryRecord.FromString(record.value or b"").evidence
        for partition in installation.log.end(topics.TELEMETRY)
        for record in installation.log.read(topics.TELEMETRY, partition, 0)
    ]
    return sum(arm.requests for arm in [report for report in reports if report.arms][-1].arms)


def test_no_accepted_request_fails_and_every_one_is_counted(installation: Installation) -> None:
    with installation.running("gateway") as gateway:
        stub = inference_grpc.GRPCInferenceServiceStub(gateway.await_ready().channel)
        calls = [stub.ModelInfer.future(infer_request([[1, 1, 1]], key=f"k{n}")) for n in range(CALLS)]
        calls[0].result()
        gateway.terminate()
        until(lambda: gateway.readiness() == (503, "draining"), "the drain")
        assert gateway.health() == health_pb2.HealthCheckResponse.NOT_SERVING
        assert stub.ModelInfer(infer_request([[1, 1, 1]], key="late"), timeout=5).model_name == "fraud"
        assert [call.exception() for call in calls] == [None] * CALLS
        assert gateway.exit_code()[0] == 0
    assert evidence(installation) == CALLS + 1
    installation.log.close()
