"""What a client asks beside predictions, and which version answers a caller who asks for one."""

import grpc
import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from tests.gateway import networks
from tests.gateway.harness import canary, infer_request, running_gateway, until

PASSED = {"verdict": resources.VERDICT_STATE_PASSED, "retention": resources.RETENTION_STATE_KEPT}
ROWS = [[1, 2, 3]]


@pytest.fixture(scope="module")
def gateway():
    numbers = {("fraud", number): networks.affine(float(number)) for number in (1, 2)}
    with running_gateway({**numbers, ("all", 1): networks.every_number(), ("mixed", 1): networks.mixed()}) as running:
        running.serve("all", live=1)
        running.serve("mixed", live=1)
        yield running


def open_to_testers(epoch, bps):
    release = canary(bps, epoch)
    release.policy.CopyFrom(configuration.ReleasePolicy(arm_header=True))
    return release


def arm_of(gateway, arm):
    return gateway.infer(infer_request(ROWS), metadata=[("x-headgate-arm", arm)]).parameters["arm"].string_param


def test_a_tester_reaches_each_arm_at_any_weight_and_no_answer_counts(gateway):
    gateway.serve(live=1, release=open_to_testers(1, 0))
    assert (arm_of(gateway, "candidate"), arm_of(gateway, "stable")) == ("candidate", "stable")
    gateway.serve(live=1, release=open_to_testers(2, 10_000))
    assert arm_of(gateway, "stable") == "stable"
    assert {counts.requests for counts in gateway.counts().values()} == {0}


def test_without_a_policy_that_allows_it_the_header_is_refused(gateway):
    gateway.serve(live=1, release=canary(0, 3))
    with pytest.raises(grpc.RpcError) as refused:
        arm_of(gateway, "candidate")
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "arm_header = true" in refused.value.details()


def test_the_header_and_the_cookie_of_the_settings_keep_a_caller_on_one_version(gateway):
    gateway.serve(live=1, release=canary(5_000, 4))

    def versions(name, value):
        request = infer_request(ROWS)
        return [gateway.infer(request, metadata=[(name, value.format(n))]).model_version for n in range(20)]

    by_key = versions("x-routing-key", "user-{}")
    assert by_key == versions("x-customer", "user-{}") == versions("cookie", "theme=dark; session=user-{}")
    assert set(by_key) == {"1", "2"}
    assert sum(each.keys for each in gateway.counts().values()) == 20


def test_a_caller_who_names_a_version_that_cannot_answer_gets_the_reason(gateway):
    quarantined = PASSED | {"quarantined": True}
    purged = PASSED | {"retention": resources.RETENTION_STATE_PURGED}
    training = PASSED | {"build": resources.BUILD_STATE_TRAINING, "verdict": resources.VERDICT_STATE_UNDECIDED}
    gateway.serve(live=1, release=canary(0, 5), versions=[PASSED, quarantined, purged, training, PASSED])
    expected = {
        "2": (grpc.StatusCode.FAILED_PRECONDITION, "is quarantined"),
        "3": (grpc.StatusCode.NOT_FOUND, "is purged"),
        "4": (grpc.StatusCode.NOT_FOUND, "is training, so it is not deployable"),
        "5": (grpc.StatusCode.NOT_FOUND, "is not released to production"),
        "6": (grpc.StatusCode.NOT_FOUND, "does not exist"),
        "one": (grpc.StatusCode.NOT_FOUND, "does not exist"),
    }
    for number, (code, words) in expected.items():
        found, message = gateway.refusal(infer_request(ROWS, model_version=number))
        assert (found, words in message) == (code, True), message
        assert not gateway.stub.ModelReady(inference.ModelReadyRequest(name="fraud", version=number)).ready
    assert gateway.infer(infer_request(ROWS, model_version="1")).parameters["arm"].string_param == "pinned"


def test_a_release_that_overrides_a_quarantine_lets_callers_name_its_candidate(gateway):
    release = canary(0, 6)
    release.override_quarantine = True
    gateway.serve(live=1, release=release, versions=[PASSED, PASSED | {"quarantined": True}])
    assert gateway.infer(infer_request(ROWS, model_version="2")).model_version == "2"


def test_a_version_that_fails_to_load_is_named_with_the_cause_in_the_refusal_and_in_the_index(gateway):
    gateway.fold.set("fraud", 1, canary(0, 7, candidate=9), versions=[PASSED] * 9)
    until(lambda: gateway.follower.table.entries["fraud"].failures)
    code, message = gateway.refusal(infer_request(ROWS, model_version="9"))
    assert (code, "failed to load: KeyError" in message) == (grpc.StatusCode.NOT_FOUND, True), message
    index = {each.version: each for each in index_of(gateway) if each.name == "fraud"}
    assert (index["1"].state, index["1"].reason) == ("READY", "")
    assert (index["9"].state, index["9"].reason[:24]) == ("UNAVAILABLE", "failed to load: KeyError")
    assert [each.version for each in index_of(gateway, ready=True) if each.name == "fraud"] == ["1"]


def index_of(gateway, **fields):
    return gateway.stub.RepositoryIndex(inference.RepositoryIndexRequest(**fields)).models


def test_a_model_without_any_version_says_what_is_missing(gateway):
    gateway.serve("empty")
    message = gateway.refusal(infer_request(ROWS, model="empty"))[1]
    assert "none is live; release one with: headgate release start empty/NUMBER" in message


def test_loading_and_unloading_by_a_caller_are_refused_with_the_command_that_does_it(gateway):
    calls = (
        lambda: gateway.stub.RepositoryModelLoad(inference.RepositoryModelLoadRequest(model_name="fraud")),
        lambda: gateway.stub.RepositoryModelUnload(inference.RepositoryModelUnloadRequest(model_name="fraud")),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "headgate release start fraud/NUMBER" in refused.value.details()


def test_the_configuration_names_every_datatype_and_shape(gateway):
    config = gateway.stub.ModelConfig(inference.ModelConfigRequest(name="all")).config
    kinds = [inference.DataType.Name(each.data_type) for each in config.input]
    assert kinds == [f"TYPE_{datatype}" for datatype in networks.NUMBERS.values()]
    assert (config.backend, config.max_batch_size, list(config.input[0].dims)) == ("onnxruntime", 0, [-1])
    text = gateway.stub.ModelConfig(inference.ModelConfigRequest(name="mixed")).config.output[-1]
    assert (text.name, inference.DataType.Name(text.data_type)) == ("text_out", "TYPE_STRING")


def test_statistics_count_what_each_version_answered_and_refused(gateway):
    gateway.serve(live=1, release=canary(0, 8))

    def counted():
        request = inference.ModelStatisticsRequest(name="fraud", version="1")
        (found,) = gateway.stub.ModelStatistics(request).model_stats
        return found

    before = counted()
    gateway.infer(infer_request(ROWS))
    gateway.refusal(infer_request([[1, 2]]))
    after = counted()
    assert after.inference_count - before.inference_count == 1
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.last_inference >= before.last_inference > 0
    everything = gateway.stub.ModelStatistics(inference.ModelStatisticsRequest()).model_stats
    assert {(each.name, each.version) for each in everything} >= {("all", "1"), ("fraud", "1"), ("fraud", "2")}


def test_what_names_an_unknown_model_is_not_found(gateway):
    for call in (
        lambda: gateway.stub.ModelConfig(inference.ModelConfigRequest(name="nobody")),
        lambda: gateway.stub.ModelStatistics(inference.ModelStatisticsRequest(name="nobody")),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_wrong_arm_counts_for_nobody(gateway):
    gateway.serve(live=1, release=open_to_testers(9, 10_000))
    with pytest.raises(grpc.RpcError) as refused:
        arm_of(gateway, "both")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert gateway.counts()[telemetry.ARM_CANDIDATE].requests == 0
