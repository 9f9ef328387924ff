"""ModelStreamInfer: answers in the order of the requests, few requests in progress, and errors that end no stream."""

import itertools

import grpc
import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.stream import MAX_IN_PROGRESS
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, infer_request, running_gateway, until


@pytest.fixture(scope="module")
def gates():
    """Of models whose versions are slow until the test opens their gate."""
    return {("slow", 1): Gate(), ("queued", 1): Gate()}


@pytest.fixture(scope="module")
def gateway(gates):
    versions = {(model, 1): networks.affine(2.0) for model in ("fraud", "slow", "queued")}
    with running_gateway(versions, gates) as running:
        for model in ("fraud", "slow", "queued"):
            running.serve(model, live=1)
        yield running
        for gate in gates.values():
            gate.open()


def numbered(n, model="fraud", **fields):
    return infer_request([[n, 0, 0]], model=model, id=str(n), **fields)


def test_answers_come_in_order_and_a_refused_request_ends_no_stream(gateway):
    sent = [numbered(0), infer_request([[1, 2]], id="1"), numbered(2, model="nobody"), numbered(3)]
    got = list(gateway.stub.ModelStreamInfer(iter(sent), timeout=60))
    assert [each.infer_response.id for each in got] == ["0", "1", "2", "3"]
    assert [bool(each.error_message) for each in got] == [False, True, True, False]
    assert "expected shape [-1, 3]" in got[1].error_message
    assert "there is no model 'nobody'" in got[2].error_message
    assert answer(got[3].infer_response).tolist() == [[6, 0, 0]]


def test_an_answer_says_that_it_is_the_last_one_where_the_client_asks_for_it(gateway):
    request = numbered(1)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    first, second = gateway.stub.ModelStreamInfer(iter([request, numbered(2)]), timeout=60)
    assert first.infer_response.parameters["triton_final_response"].bool_param
    assert "triton_final_response" not in second.infer_response.parameters


def test_a_stream_reads_few_requests_ahead_and_a_slow_one_delays_the_answers_behind_it(gateway, gates):
    sent = [numbered(n, model="fraud" if n else "slow") for n in range(3 * MAX_IN_PROGRESS)]
    before = gateway.counts()[telemetry.ARM_STABLE].requests
    stream = gateway.stub.ModelStreamInfer(iter(sent), timeout=60)
    gates["slow", 1].await_entered()
    until(lambda: gateway.counts()[telemetry.ARM_STABLE].requests - before >= MAX_IN_PROGRESS)
    # One request is being answered, so many wait, and one more waits for its place.
    assert gateway.counts()[telemetry.ARM_STABLE].requests - before <= MAX_IN_PROGRESS + 1
    gates["slow", 1].open()
    assert [each.infer_response.id for each in stream] == [request.id for request in sent]


def test_a_stream_of_no_requests_ends_well_and_so_does_one_that_is_cancelled(gateway):
    assert list(gateway.stub.ModelStreamInfer(iter([]), timeout=60)) == []
    stream = gateway.stub.ModelStreamInfer((numbered(n) for n in itertools.count()), timeout=60)
    assert next(stream).infer_response.id == "0"
    stream.cancel()
    assert stream.code() == grpc.StatusCode.CANCELLED


def test_a_request_whose_parameter_timeout_passes_while_it_waits_does_not_run(gateway, gates):
    gate = gates["queued", 1]
    first = gateway.stub.ModelInfer.future(numbered(1, model="queued"), timeout=60)
    gate.await_entered()
    late = numbered(2, model="queued")
    late.parameters["timeout"].uint64_param = 1  # a microsecond
    behind = gateway.stub.ModelInfer.future(late, timeout=60)
    until(lambda: gateway.follower.table.entries["queued"].waiting == 1)
    gate.open()
    assert behind.exception(60).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert (first.result(60).id, gate.entered) == ("1", 1)


@pytest.mark.parametrize(
    ("method", "words"),
    [("TraceSetting", "HEADGATE_TRACES"), ("LogSettings", "HEADGATE_LOG_LEVEL"), ("CudaSharedMemoryStatus", "bytes")],
)
def test_a_method_of_triton_that_is_not_offered_says_what_to_do_instead(gateway, method, words):
    call = gateway.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    with pytest.raises(grpc.RpcError) as refused:
        call(inference.ServerLiveRequest().SerializeToString())
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert words in refused.value.details()
