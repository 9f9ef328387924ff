import time
from dataclasses import replace
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.errors import MAX_RULE_BYTES
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway import inference as inference_module
from services.gateway.forward import may_be_too_large
from services.gateway.inference import Call, Inference
from services.gateway.pace import Pace, size_class
from services.gateway.request import request_of
from services.gateway.table import Table
from tests.gateway import networks
from tests.gateway.harness import answer, canary, infer_request, running_gateway, until

SERVICE = "inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def stand():
    with running_gateway(
        {
            ("fraud", 1): networks.affine(2.0),
            ("fraud", 2): networks.affine(3.0),
            ("fraud", 3): networks.root(),
            ("fraud", 4): networks.fragile(),
            ("fraud", 5): networks.affine(2.0, width=4),
            ("fraud", 6): networks.wide(),
            ("mixed", 1): networks.mixed(),
            ("half", 1): networks.half(),
            ("shop", 1): networks.categorical(),
        }
    ) as gateway:
        gateway.serve("mixed", live=1)
        gateway.serve("half", live=1)
        gateway.serve("shop", live=1)
        yield gateway


@pytest.fixture
def gateway(stand):
    stand.fold.silent_seconds = 0.0
    stand.serve(live=1)
    return stand


def test_the_live_version_answers_and_the_response_names_it(gateway):
    response = gateway.infer(infer_request([[1, 2, 3]], id="r-1"))
    assert answer(response).tolist() == [[2, 4, 6]]
    assert (response.model_name, response.model_version, response.id) == ("fraud", "1", "r-1")
    assert response.parameters["arm"].string_param == "stable"
    assert response.parameters["release"].int64_param == 0
    assert (response.outputs[0].name, response.outputs[0].datatype) == ("y", "FP32")


def test_a_request_with_typed_contents_gets_a_response_with_typed_contents(gateway):
    request = inference.ModelInferRequest(model_name="fraud")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([1, 2, 3])
    response = gateway.infer(request)
    assert list(response.outputs[0].contents.fp32_contents) == [2, 4, 6]
    assert not response.raw_output_contents


def test_values_of_every_typed_kind_come_back_unchanged(gateway):
    request = inference.ModelInferRequest(model_name="mixed")
    sent = {
        "i64": ("INT64", "int64_contents", [-(2**40), 7]),
        "u8": ("UINT8", "uint_contents", [0, 255]),
        "f64": ("FP64", "fp64_contents", [0.1, -0.2]),
        "flag": ("BOOL", "bool_contents", [True, False]),
        "text": ("BYTES", "bytes_contents", [b"a", "é".encode()]),
    }
    for name, (datatype, field, values) in sent.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[2])
        getattr(tensor.contents, field).extend(values)
    response = gateway.infer(request)
    for output in response.outputs:
        _, field, values = sent[output.name.removesuffix("_out")]
        assert list(getattr(output.contents, field)) == values


def test_raw_text_has_a_length_before_each_element(gateway):
    request = inference.ModelInferRequest(model_name="mixed", outputs=[{"name": "text_out"}])
    for name, datatype, raw in (
        ("i64", "INT64", bytes(8)),
        ("u8", "UINT8", b"\1"),
        ("f64", "FP64", bytes(8)),
        ("flag", "BOOL", b"\1"),
        ("text", "BYTES", b"\3\0\0\0abc"),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[1])
        request.raw_input_contents.append(raw)
    assert list(gateway.infer(request).raw_output_contents) == [b"\3\0\0\0abc"]
    request.raw_input_contents[-1] = b"\4\0\0\0abc"
    code, message = gateway.refusal(request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "'text'" in message


def test_half_floats_are_accepted_as_raw_bytes_only(gateway):
    request = inference.ModelInferRequest(model_name="half", raw_input_contents=[np.array([1.5], np.float16).tobytes()])
    request.inputs.add(name="x", datatype="FP16", shape=[1])
    assert np.frombuffer(gateway.infer(request).raw_output_contents[0], np.float16).tolist() == [1.5]
    del request.raw_input_contents[:]
    assert gateway.refusal(request)[0] == grpc.StatusCode.INVALID_ARGUMENT


def wrong(array=((1, 2, 3),), shape=None, datatype="FP32", name="x", raw=None, **fields):
    request = infer_request(array, name=name, **fields)
    request.inputs[0].datatype = datatype
    if shape is not None:
        request.inputs[0].shape[:] = shape
    if raw is not None:
        request.raw_input_contents[:] = raw
    return request


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (wrong(name="z"), ["'z'", "it takes 'x'"]),
        (wrong(datatype="FP64"), ["'x'", "expected datatype FP32", "'FP64'"]),
        (wrong(((1, 2),)), ["'x'", "expected shape [-1, 3]", "got [1, 2]"]),
        (wrong(shape=[3]), ["'x'", "expected shape [-1, 3]", "got [3]"]),
        (wrong(shape=[-1, 3]), ["'x'", "expected shape", "got [-1, 3]"]),
        (wrong(shape=[0, 3], raw=[b""]), ["'x'", "-1 is any size from 1 up", "got [0, 3]"]),
        (wrong(shape=[2, 3]), ["'x'", "expected 24 bytes", "got 12"]),
        (wrong(shape=[2**62, 3], raw=[b""]), ["'x'", f"expected {2**62 * 12} bytes", "got 0"]),
        (wrong(raw=[b"", b""]), ["as many entries as inputs (1)", "got 2"]),
        (wrong(outputs=[{"name": "q"}]), ["output 'q'", "it has 'y'"]),
        (wrong(outputs=[{"name": "y"}, {"name": "y"}]), ["outputs: expected each name once"]),
        (inference.ModelInferRequest(model_name="fraud"), ["input 'x': missing"]),
    ],
)
def test_the_error_for_a_request_that_does_not_fit_names_what_was_expected_and_what_came(gateway, request_, words):
    code, message = gateway.refusal(request_)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [word for word in words if word not in message] == []


def test_typed_values_out_of_range_and_wrong_counts_are_refused(gateway):
    request = inference.ModelInferRequest(model_name="fraud")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend([1, 2])
    assert "expected 3 elements in fp32_contents" in gateway.refusal(request)[1]
    request = inference.ModelInferRequest(model_name="mixed")
    for name, datatype in (("i64", "INT64"), ("u8", "UINT8"), ("f64", "FP64"), ("flag", "BOOL"), ("text", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[1])
    request.inputs[0].contents.int64_contents.append(1)
    request.inputs[1].contents.uint_contents.append(300)
    code, message = gateway.refusal(request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message == "input 'u8': expected numbers from 0 to 255 (UINT8), got 300 as element 0"


def test_an_unknown_model_is_not_found_and_one_without_a_version_is_unavailable(gateway):
    assert gateway.refusal(infer_request([[1, 2, 3]], model="nobody"))[0] == grpc.StatusCode.NOT_FOUND
    gateway.serve("empty")
    assert gateway.refusal(infer_request([[1, 2, 3]], model="empty"))[0] == grpc.StatusCode.UNAVAILABLE


def test_before_the_gateway_is_ready_an_unknown_model_or_version_is_unavailable_and_not_missing(gateway, monkeypatch):
    gateway.serve(live=1)
    monkeypatch.setattr(gateway, "ready", False)
    for early in (infer_request([[1, 2, 3]], model="nobody"), infer_request([[1, 2, 3]], model_version="9")):
        code, message = gateway.refusal(early)
        assert (code, message) == (grpc.StatusCode.UNAVAILABLE, "this gateway is not ready yet")
    assert answer(gateway.infer(infer_request([[1, 2, 3]]))).tolist() == [[2, 4, 6]]


def test_a_request_may_name_a_loaded_version_and_is_then_not_counted(gateway):
    gateway.serve(live=1, release=canary(0, epoch=3))
    response = gateway.infer(infer_request([[1, 2, 3]], model_version="2"))
    assert (response.model_version, answer(response).tolist()) == ("2", [[3, 6, 9]])
    assert [counts.requests for counts in gateway.counts().values()] == [0, 0]
    assert gateway.refusal(infer_request([[1, 2, 3]], model_version="9"))[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["9" * 5_000, "9" * 10, "-1", "1.0", "01", "\u0661"])
def test_a_text_that_can_be_no_version_is_not_found_and_the_gateway_lives_on(gateway, version):
    assert gateway.refusal(infer_request([[1, 2, 3]], model_version=version))[0] == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as refused:
        gateway.stub.ModelMetadata(inference.ModelMetadataRequest(name="fraud", version=version))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert not gateway.stub.ModelReady(inference.ModelReadyRequest(name="fraud", version=version)).ready


def test_a_refusal_of_a_long_text_arrives_with_its_status(gateway):
    for wrong_request in (infer_request([[1, 2, 3]], model="x" * 20_000), wrong(name="y" * 20_000)):
        code, message = gateway.refusal(wrong_request)
        assert code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        assert len(message) <= MAX_RULE_BYTES


def test_a_canary_splits_by_key_and_counts_keys_per_arm(gateway):
    gateway.serve(live=1, release=canary(5_000, epoch=4))
    arms = {}
    for n in range(200):
        arms.setdefault(n % 50, set()).add(
            gateway.infer(infer_request([[1, 2, 3]], key=f"user-{n % 50}")).parameters["arm"].string_param
        )
    assert all(len(seen) == 1 for seen in arms.values())
    counts = gateway.counts()
    assert sum(each.requests for each in counts.values()) == 200
    assert sum(each.keys for each in counts.values()) == 50
    candidates = sum(seen == {"candidate"} for seen in arms.values())
    assert counts[telemetry.ARM_CANDIDATE].keys == candidates
    assert 10 < candidates < 40


def test_metadata_parameter_and_request_id_give_the_same_routing_key(gateway):
    gateway.serve(live=1, release=canary(5_000, epoch=5))
    for n in range(20):
        by_parameter = gateway.infer(infer_request([[1, 2, 3]], key=f"k{n}")).model_version
        by_metadata = gateway.infer(infer_request([[1, 2, 3]]), metadata=[("x-routing-key", f"k{n}")]).model_version
        by_id = gateway.infer(infer_request([[1, 2, 3]], id=f"k{n}")).model_version
        assert by_parameter == by_metadata == by_id
    assert sum(each.keys for each in gateway.counts().values()) == 20


def test_an_answer_with_nan_is_sent_marked_as_bad_and_counted_as_bad(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=6, candidate=3))
    good, bad = gateway.infer(infer_request([[4, 9, 1]], key="a")), gateway.infer(infer_request([[4, -9, 1]], key="a"))
    assert "headgate_bad" not in good.parameters
    assert bad.parameters["headgate_bad"].bool_param
    assert np.isnan(answer(bad)).tolist() == [[False, True, False]]
    counts = gateway.counts()[telemetry.ARM_CANDIDATE]
    assert (counts.requests, counts.bad_requests, counts.keys, counts.bad_keys) == (2, 1, 1, 1)


def quick():
    """The pace of a version that runs on the event loop."""
    pace = Pace()
    pace.observe(size_class(3), 0.0001)
    return pace


@pytest.mark.parametrize(("seconds", "bad"), [(0.9, 0), (1.1, 1)])
def test_an_answer_after_the_callers_deadline_counts_as_bad_for_the_version_that_ran(
    gateway, monkeypatch, seconds, bad
):
    gateway.serve(live=1, release=canary(10_000, epoch=20 + bad))
    entry = gateway.follower.table.entries["fraud"]
    now = [100.0]

    class SlowSession:
        def run(self, outputs, arrays, options):
            now.append(now[-1] + seconds)
            return entry.versions[2].session.run(outputs, arrays)

    slow = replace(entry.versions[2], session=SlowSession(), pace=quick())
    table = Table({"fraud": replace(entry, versions={**entry.versions, 2: slow})})
    monkeypatch.setattr(inference_module, "time", SimpleNamespace(monotonic=lambda: now[-1]))
    answering = Inference(lambda: table, lambda: True, lambda: now[-1])
    answering.infer(request_of(infer_request([[1, 2, 3]], key="a")), Call(expires_at=now[-1] + 1.0))
    counts = gateway.counts()[telemetry.ARM_CANDIDATE]
    assert (counts.requests, counts.bad_requests, counts.late_requests) == (1, bad, bad)


def test_a_call_whose_deadline_has_passed_runs_no_version_and_counts_for_none(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=13))
    with pytest.raises(RpcRefused) as refused:
        gateway.inference.infer(request_of(infer_request([[1, 2, 3]], key="a")), Call(expires_at=time.monotonic()))
    assert refused.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert [counts.requests for counts in gateway.counts().values()] == [0, 0]


def test_a_request_on_which_the_model_fails_gets_an_error_and_counts_as_bad(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=7, candidate=4))
    code, message = gateway.refusal(infer_request(np.ones((3, 3)), key="a"))
    assert code == grpc.StatusCode.INTERNAL
    assert "fraud version 4 failed" in message
    counts = gateway.counts()[telemetry.ARM_CANDIDATE]
    assert (counts.requests, counts.bad_requests, counts.bad_keys) == (1, 1, 1)


def shop_request(rows, codes):
    request = inference.ModelInferRequest(model_name="shop")
    request.inputs.add(name="x", datatype="FP32", shape=[len(codes), 3]).contents.fp32_contents.extend(rows)
    request.inputs.add(name="code", datatype="INT64", shape=[len(codes)]).contents.int64_contents.extend(codes)
    return request


@pytest.mark.parametrize(
    ("rows", "codes", "rule"),
    [
        ([0, 1, 2], [3], "input 'code': the model knows no category 3; expected a whole number from 0 to 2"),
        ([0, 1, 2, 0, 1, 2], [2, -4], "input 'code': the model knows no category -4;"),
        ([0, 3, 2], [0], "input 'x': the model knows no category 3.0; expected a whole number from 0 to 2"),
        ([0, 7, 9], [0], "the model knows no category"),
        ([0, float("nan"), 2], [0], "input 'x': the model knows no category nan;"),
        ([3, 1, 2], [3], "input 'x', 'code': the model knows no category 3.0;"),
    ],
)
def test_a_category_that_the_model_does_not_know_is_refused_with_its_input_and_value(gateway, rows, codes, rule):
    code, message = gateway.refusal(shop_request(rows, codes))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert rule in message


def test_the_highest_known_category_is_answered(gateway):
    assert list(gateway.infer(shop_request([2, 2.9, 0], [2])).outputs[1].contents.fp32_contents) == [3]


def test_a_failure_that_only_looks_like_a_value_of_the_caller_is_the_models(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=70, candidate=4))
    # The model fails because there are three rows, and each row has a 3 too.
    code, message = gateway.refusal(infer_request(np.full((3, 3), 3.0), key="a"))
    assert code == grpc.StatusCode.INTERNAL
    assert "fraud version 4 failed" in message


def test_a_request_that_the_candidate_refuses_and_stable_accepts_counts_as_bad(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=8, candidate=5))
    assert gateway.refusal(infer_request([[1, 2, 3]], key="a"))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert gateway.refusal(infer_request([[1, 2]], key="a"))[0] == grpc.StatusCode.INVALID_ARGUMENT
    counts = gateway.counts()[telemetry.ARM_CANDIDATE]
    assert (counts.requests, counts.bad_requests) == (1, 1)


def test_a_gateway_without_contact_to_the_log_serves_only_stable_and_counts_nothing(gateway):
    gateway.serve(live=1, release=canary(10_000, epoch=9))
    assert gateway.infer(infer_request([[1, 2, 3]])).model_version == "2"
    gateway.fold.silent_seconds = 61.0
    assert gateway.infer(infer_request([[1, 2, 3]])).model_version == "1"
    gateway.fold.silent_seconds = 0.0
    assert gateway.infer(infer_request([[1, 2, 3]])).model_version == "2"
    assert gateway.counts()[telemetry.ARM_STABLE].requests == 0


def test_without_contact_to_the_log_a_first_release_goes_on_because_it_has_no_stable_version(gateway):
    gateway.serve(release=canary(10_000, epoch=10, stable=0, candidate=2, phase=resources.PHASE_PROMOTING))
    gateway.fold.silent_seconds = 61.0
    assert gateway.infer(infer_request([[1, 2, 3]])).model_version == "2"


def test_a_candidate_that_cannot_be_loaded_is_reported_while_stable_serves(gateway):
    gateway.fold.set("fraud", 1, canary(5_000, epoch=11, candidate=8))
    status = until(lambda: [s for s in gateway.follower.table.statuses() if s.model == "fraud" and s.failures])[0]
    assert status.failures[0].version == 8
    assert list(status.ready_versions) == [1]
    assert status.epoch == 0
    assert {gateway.infer(infer_request([[1, 2, 3]], key=f"k{n}")).model_version for n in range(20)} == {"1"}
    assert gateway.counts()[telemetry.ARM_STABLE].requests == 0


def test_readiness_and_metadata_follow_the_routes(gateway):
    stub = gateway.stub
    assert stub.ServerLive(inference.ServerLiveRequest()).live
    assert stub.ServerReady(inference.ServerReadyRequest()).ready
    assert stub.ServerMetadata(inference.ServerMetadataRequest()).name == "headgate"
    ready = [("fraud", ""), ("fraud", "1"), ("fraud", "9"), ("fraud", "one"), ("nobody", "")]
    answers = [
        stub.ModelReady(inference.ModelReadyRequest(name=name, version=version)).ready for name, version in ready
    ]
    assert answers == [True, True, False, False, False]
    metadata = stub.ModelMetadata(inference.ModelMetadataRequest(name="fraud"))
    assert (metadata.name, list(metadata.versions), list(metadata.inputs[0].shape)) == ("fraud", ["1"], [-1, 3])
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelMetadata(inference.ModelMetadataRequest(name="nobody"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_waits_for_readiness_and_reflection_names_the_service(gateway):
    health = health_pb2_grpc.HealthStub(gateway.channel)
    check = health_pb2.HealthCheckRequest(service=SERVICE)
    assert health.Check(check).status == health_pb2.HealthCheckResponse.NOT_SERVING
    gateway.server.set_ready()
    assert health.Check(check).status == health_pb2.HealthCheckResponse.SERVING
    ask_names = reflection_pb2.ServerReflectionRequest(list_services="")
    listing = next(
        iter(reflection_pb2_grpc.ServerReflectionStub(gateway.channel).ServerReflectionInfo(iter([ask_names])))
    )
    assert SERVICE in [service.name for service in listing.list_services_response.service]


@pytest.mark.parametrize("typed", [True, False])
def test_an_answer_that_cannot_be_sent_is_refused_with_its_size_and_counts_as_bad(gateway, typed):
    gateway.serve(live=1, release=canary(10_000, epoch=30 + typed, candidate=6))
    request = infer_request(np.ones((2, 1)), key="a")
    if typed:
        del request.raw_input_contents[:]
        request.inputs[0].contents.fp32_contents.extend([1, 1])
    code, message = gateway.refusal(request)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the answer of fraud version 6 has 22.9 MiB, and 16 MiB can be sent; send fewer rows at once" in message
    counts = gateway.counts()[telemetry.ARM_CANDIDATE]
    assert (counts.requests, counts.bad_requests) == (1, 1)


@pytest.mark.parametrize(
    ("array", "looked_at"),
    [
        (np.zeros(MAX_MESSAGE_BYTES // 10, np.int8), False),
        (np.zeros(MAX_MESSAGE_BYTES // 10 + 1, np.int8), True),
        (np.array(["a"], np.object_), True),
        (np.zeros((1, 3), np.float32), False),
    ],
)
def test_the_size_of_an_answer_is_looked_at_when_it_may_be_too_large(array, looked_at):
    assert may_be_too_large([array]) == looked_at


def test_a_message_above_the_size_limit_is_refused(gateway):
    rows = MAX_MESSAGE_BYTES // 12 + 1
    assert gateway.refusal(infer_request(np.zeros((rows, 3))))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
