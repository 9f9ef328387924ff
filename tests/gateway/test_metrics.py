"""The metrics of predictions, counted by the gateway's real server."""

import grpc
import pytest

from headgate.v1 import resources_pb2 as resources
from tests.gateway import networks
from tests.gateway.harness import canary, infer_request, running_gateway, until
from tests.metrics.exposed import parsed, text_of

EVERYTHING = 10_000
RPC = {"rpc_service": "inference.GRPCInferenceService", "method": "ModelInfer"}


@pytest.fixture
def gateway():
    with running_gateway(
        {("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.root(), ("other", 1): networks.root()}
    ) as running:
        yield running


def shown(gateway):
    return parsed(text_of(gateway.metrics))


def code_of(gateway, request):
    try:
        gateway.infer(request)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_predictions_are_counted_by_model_arm_and_outcome(gateway):
    gateway.serve(live=1)
    codes = [
        code_of(gateway, request)
        for request in (infer_request([[1, 1, 1]]), infer_request([[1, 1]]), infer_request([[1, 1, 1]], model="none"))
    ]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND]
    gateway.infer(infer_request([[1, 1, 1]], model_version="1"))
    found = shown(gateway)
    for arm, outcome in (("stable", "ok"), ("stable", "refused"), ("pinned", "ok")):
        assert found.value("headgate_predictions_total", model="fraud", arm=arm, outcome=outcome) == 1
    assert found.total("headgate_predictions_total") == 3, "a model that does not exist has no series"
    assert found.value("headgate_prediction_duration_seconds_count", model="fraud", arm="stable") == 1
    assert found.value("headgate_rpc_requests_total", **RPC, code="OK") == 2
    assert found.value("headgate_rpc_requests_total", **RPC, code="NOT_FOUND") == 1
    assert found.value("headgate_rpc_duration_seconds_count", **RPC) == 2


def test_the_candidate_has_series_while_its_release_lasts(gateway):
    gateway.serve(live=1, release=canary(EVERYTHING, epoch=5))
    gateway.infer(infer_request([[-1, 1, 1]], key="k"))
    assert shown(gateway).value("headgate_predictions_total", model="fraud", arm="candidate", outcome="bad") == 1
    gateway.serve(live=2, release=canary(EVERYTHING, epoch=5, phase=resources.PHASE_COMPLETED))
    until(lambda: not gateway.follower.table.entries["fraud"].route.release, "the end of the release")
    assert shown(gateway).total("headgate_predictions_total", arm="candidate") == 0
    assert shown(gateway).total("headgate_prediction_duration_seconds_count", arm="candidate") == 0


def test_a_model_without_a_route_has_no_series(gateway):
    gateway.serve(live=1)
    gateway.serve("other", live=1)
    gateway.infer(infer_request([[1, 1, 1]]))
    gateway.infer(infer_request([[1, 1, 1]], model="other"))
    del gateway.fold.models["other"]
    gateway.serve(live=1)
    until(lambda: "other" not in gateway.follower.table.entries, "the table without it")
    found = shown(gateway)
    assert found.total("headgate_predictions_total", model="other") == 0
    assert found.total("headgate_predictions_total", model="fraud") == 1
