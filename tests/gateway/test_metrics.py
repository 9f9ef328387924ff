"""What the gateway shows of its predictions, over its real door."""

import grpc
import pytest

from headgate.v1 import resources_pb2 as resources
from tests.gateway import networks
from tests.gateway.stage import ask, canary, stage, until
from tests.metrics.exposed import parsed, text_of

EVERYTHING = 10_000
RPC = {"rpc_service": "inference.GRPCInferenceService", "method": "ModelInfer"}


@pytest.fixture
def staged():
    with stage(
        {("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.root(), ("other", 1): networks.root()}
    ) as it:
        yield it


def shown(staged):
    return parsed(text_of(staged.metrics))


def code_of(staged, request):
    try:
        staged.infer(request)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_predictions_are_counted_by_model_arm_and_outcome(staged):
    staged.serve(live=1)
    codes = [code_of(staged, request) for request in (ask([[1, 1, 1]]), ask([[1, 1]]), ask([[1, 1, 1]], model="none"))]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND]
    staged.infer(ask([[1, 1, 1]], model_version="1"))
    found = shown(staged)
    for arm, outcome in (("stable", "ok"), ("stable", "refused"), ("pinned", "ok")):
        assert found.value("headgate_predictions_total", model="fraud", arm=arm, outcome=outcome) == 1
    assert found.total("headgate_predictions_total") == 3, "a model that does not exist has no series"
    assert found.value("headgate_prediction_duration_seconds_count", model="fraud", arm="stable") == 1
    assert found.value("headgate_rpc_requests_total", **RPC, code="OK") == 2
    assert found.value("headgate_rpc_requests_total", **RPC, code="NOT_FOUND") == 1
    assert found.value("headgate_rpc_duration_seconds_count", **RPC) == 2


def test_the_candidate_has_series_while_its_release_lasts(staged):
    staged.serve(live=1, release=canary(EVERYTHING, epoch=5))
    staged.infer(ask([[-1, 1, 1]], key="k"))
    assert shown(staged).value("headgate_predictions_total", model="fraud", arm="candidate", outcome="bad") == 1
    staged.serve(live=2, release=canary(EVERYTHING, epoch=5, phase=resources.PHASE_COMPLETED))
    until(lambda: not staged.follower.table.entries["fraud"].route.release, "the end of the release")
    assert shown(staged).total("headgate_predictions_total", arm="candidate") == 0
    assert shown(staged).total("headgate_prediction_duration_seconds_count", arm="candidate") == 0


def test_a_model_that_is_no_longer_routed_has_no_series(staged):
    staged.serve(live=1)
    staged.serve("other", live=1)
    staged.infer(ask([[1, 1, 1]]))
    staged.infer(ask([[1, 1, 1]], model="other"))
    del staged.fold.models["other"]
    staged.serve(live=1)
    until(lambda: "other" not in staged.follower.table.entries, "the table without it")
    found = shown(staged)
    assert found.total("headgate_predictions_total", model="other") == 0
    assert found.total("headgate_predictions_total", model="fraud") == 1
