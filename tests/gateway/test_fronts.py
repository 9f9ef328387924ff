"""One suite for both engines of the gRPC port."""

import asyncio
import os
import socket
import struct
import threading

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway import app, forward_queue
from services.gateway.asgi import methods
from services.gateway.server import InferenceServer
from services.gateway.settings import GRPCIO, H2CORN
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, ask_past_deadline, canary, infer_request, running_gateway, until
from tests.http2_frames import (
    DATA,
    END_HEADERS,
    HEADERS,
    MODEL_INFER,
    attacked,
    await_answer,
    call_of_no_text,
    endless_headers,
    frame,
    header_bomb,
    headers_of,
    rapid_resets,
)
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

SLOW = ("cancelled", "late", "streamed", "stream-late")


@pytest.fixture(scope="module", params=[GRPCIO, H2CORN])
def gateway(request):
    gates = {(model, 1): Gate() for model in SLOW}
    quick = (("fraud", 1), ("fraud", 2), ("small", 1))
    versions = {version: networks.affine(2.0) for version in (*quick, *gates)}
    with running_gateway(versions, gates, request.param) as running:
        for model in ("fraud", "small", *SLOW):
            running.serve(model, live=1)
        running.front = request.param
        yield running
        for gate in gates.values():
            gate.open()


def ask_slow(gateway, model):
    """A call whose version runs."""
    call = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]], model=model), timeout=PATIENCE_SECONDS)
    gateway.gates[model, 1].await_entered()
    return call


def counted(gateway, model):
    counts = gateway.counts(model)[telemetry.ARM_STABLE]
    return counts.requests, counts.bad_requests, counts.late_requests


def test_many_calls_at_once_get_their_own_answers_and_each_is_counted(gateway):
    calls = [gateway.stub.ModelInfer.future(infer_request([[n, 0, 0]], id=str(n)), timeout=60.0) for n in range(300)]
    answers = [call.result() for call in calls]
    assert [(response.id, answer(response)[0][0]) for response in answers] == [(str(n), 2.0 * n) for n in range(300)]
    assert counted(gateway, "fraud") == (300, 0, 0)
    shown = parsed(text_of(gateway.metrics))
    rpc = {"rpc_service": "inference.GRPCInferenceService", "method": "ModelInfer", "code": "OK"}
    assert shown.value("headgate_rpc_requests_total", **rpc) == 300


def test_the_metadata_of_a_call_choose_the_arm(gateway):
    gateway.serve("fraud", live=1, release=canary(5_000, epoch=1))
    for n in range(20):
        by_metadata = gateway.infer(infer_request([[1, 1, 1]]), metadata=[("x-routing-key", f"k{n}")])
        assert by_metadata.model_version == gateway.infer(infer_request([[1, 1, 1]], key=f"k{n}")).model_version


def test_a_stream_answers_in_its_order(gateway):
    requests = (infer_request([[n, 0, 0]], model="small", id=str(n)) for n in range(100))
    answers = gateway.stub.ModelStreamInfer(requests, timeout=PATIENCE_SECONDS)
    assert [each.infer_response.id for each in answers] == [str(n) for n in range(100)]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_answered(gateway, compression):
    request = infer_request([[1, 2, 3]] * 1000, model="small")
    response = gateway.stub.ModelInfer(request, timeout=PATIENCE_SECONDS, compression=compression)
    assert answer(response)[999][2] == 6.0


def test_a_stream_whose_caller_is_gone_gives_up_its_requests(gateway):
    asked = iter([infer_request([[1, 1, 1]], model="streamed")])
    call = gateway.stub.ModelStreamInfer(asked, timeout=PATIENCE_SECONDS)
    gateway.gates["streamed", 1].await_entered()
    call.cancel()
    until(lambda: counted(gateway, "streamed") == (1, 1, 1), "the bad answer")


def test_a_stream_ends_at_its_deadline(gateway):
    asked = iter([infer_request([[1, 1, 1]], model="stream-late")])
    call = gateway.stub.ModelStreamInfer(asked, timeout=PATIENCE_SECONDS / 20)
    with pytest.raises(grpc.RpcError) as ended:
        list(call)
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: counted(gateway, "stream-late") == (1, 1, 1), "the bad answer")


def test_a_watched_health_changes_with_the_server(gateway):
    watching = health_pb2_grpc.HealthStub(gateway.channel).Watch(health_pb2.HealthCheckRequest())
    first = next(watching).status
    gateway.server.set_ready()
    if first != health_pb2.HealthCheckResponse.SERVING:
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    watching.cancel()


def test_thousands_of_open_calls_take_no_more_memory_than_the_limit(gateway):
    """Each declares a large message and sends a part of it."""
    part = struct.pack(">BI", 0, MAX_MESSAGE_BYTES - 5) + b"x" * 1_000
    frames = [
        frame(HEADERS, END_HEADERS, number, headers_of(MODEL_INFER)) + frame(DATA, 0, number, part)
        for number in range(1, 1_001, 2)
    ]
    with attacked(int(gateway.address.split(":")[1]), frames):
        assert gateway.infer(infer_request([[1, 1, 1]], model="small")).model_version == "1"


def test_a_refusal_arrives_with_its_details(gateway):
    with pytest.raises(grpc.RpcError) as refused:
        gateway.infer(infer_request([[1, 1, 1]], model="nobódy 100%"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert "there is no model 'nobódy 100%'" in refused.value.details()
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(refused.value).details[0].Unpack(info)
    assert info.reason == "unknown-model"


def test_a_call_cancelled_while_its_version_runs_counts_as_bad(gateway):
    ask_slow(gateway, "cancelled").cancel()
    until(lambda: counted(gateway, "cancelled") == (1, 1, 1), "the bad answer")


def test_a_call_whose_deadline_passes_while_its_version_runs_counts_as_bad(gateway):
    call = ask_past_deadline(gateway, infer_request([[1, 1, 1]], model="late"), gateway.gates["late", 1])
    assert call.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: counted(gateway, "late") == (1, 1, 1), "the bad answer")


def test_a_message_above_the_limit_is_refused_and_the_next_call_is_answered(gateway):
    rows = MAX_MESSAGE_BYTES // 12 + 1
    with pytest.raises(grpc.RpcError) as refused:
        gateway.infer(infer_request([[0, 0, 0]] * rows, model="small"))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert gateway.infer(infer_request([[1, 1, 1]], model="small")).model_version == "1"


def test_bytes_that_are_no_message_are_refused(gateway):
    with pytest.raises(grpc.RpcError) as refused:
        gateway.channel.unary_unary(MODEL_INFER)(b"\xff\xff\xff", timeout=PATIENCE_SECONDS)
    expected = {GRPCIO: grpc.StatusCode.UNKNOWN, H2CORN: grpc.StatusCode.INVALID_ARGUMENT}
    assert refused.value.code() == expected[gateway.front]


def test_health_reflection_and_the_other_methods_answer(gateway):
    gateway.server.set_ready()
    health = health_pb2_grpc.HealthStub(gateway.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    names = reflection_pb2_grpc.ServerReflectionStub(gateway.channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    listed = [service.name for service in next(iter(names)).list_services_response.service]
    assert "inference.GRPCInferenceService" in listed
    assert gateway.stub.ModelMetadata(inference.ModelMetadataRequest(name="small")).versions == ["1"]
    with pytest.raises(grpc.RpcError) as refused:
        gateway.channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b"", timeout=PATIENCE_SECONDS)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(4_096)], ids=["http1", "garbage"])
def test_what_is_no_http2_ends_its_connection_and_delays_nobody(gateway, sent):
    host, port = gateway.address.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as other:
        other.sendall(sent)
        try:
            while other.recv(4_096):
                pass
        except ConnectionResetError:
            pass
    assert gateway.infer(infer_request([[1, 1, 1]], model="small")).model_version == "1"


@pytest.mark.parametrize("attack", [rapid_resets, endless_headers, header_bomb])
def test_an_attack_on_http2_delays_nobody(gateway, attack):
    with attacked(int(gateway.address.split(":")[1]), attack()):
        assert gateway.infer(infer_request([[1, 1, 1]], model="small")).model_version == "1"
    assert gateway.infer(infer_request([[1, 1, 1]], model="small")).model_version == "1"


def test_a_call_whose_path_is_no_text_ends_no_port(gateway):
    with attacked(int(gateway.address.split(":")[1]), call_of_no_text()) as attacker:
        await_answer(attacker)
    with grpc.insecure_channel(gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = inference_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(inference.ServerLiveRequest(), timeout=PATIENCE_SECONDS).live
        asked = infer_request([[1, 1, 1]], model="small")
        assert stub.ModelInfer(asked, timeout=PATIENCE_SECONDS).model_version == "1"


@pytest.mark.parametrize("front", [GRPCIO, H2CORN])
def test_a_full_queue_says_when_to_try_again_to_people_and_to_grpcs_own_retries(front, monkeypatch):
    monkeypatch.setattr(forward_queue, "MAX_WAITING", 1)
    gate = Gate()
    with running_gateway({("fraud", 1): networks.affine(2.0)}, {("fraud", 1): gate}, front) as gateway:
        gateway.serve("fraud", live=1)
        calls = [gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS)]
        gate.await_entered()
        calls.append(gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS))
        until(lambda: gateway.follower.table.entries["fraud"].waiting == 1, "a full queue")
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]]))
        retry = error_details_pb2.RetryInfo()
        assert rpc_status.from_call(refused.value).details[-1].Unpack(retry)
        trailers = dict(refused.value.trailing_metadata())
        assert (retry.retry_delay.seconds, trailers["grpc-retry-pushback-ms"]) == (1, "1000")
        gate.open()
        assert {call.result().model_version for call in calls} == {"1"}


@pytest.mark.parametrize("front", [GRPCIO, H2CORN])
def test_a_stopping_server_loses_no_request_that_it_took(front):
    gate = Gate()
    with running_gateway({("fraud", 1): networks.affine(2.0)}, {("fraud", 1): gate}, front) as gateway:
        gateway.serve("fraud", live=1)
        running, waiting = (
            gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS) for _ in range(2)
        )
        gate.await_entered()
        until(lambda: gateway.follower.table.entries["fraud"].waiting == 1, "the second call")
        stopping = threading.Thread(target=gateway.stop, args=(PATIENCE_SECONDS,))
        stopping.start()
        gate.open()
        assert {call.result().model_version for call in (running, waiting)} == {"1"}
        stopping.join()
        assert counted(gateway, "fraud") == (2, 0, 0)


def test_where_the_faster_engine_is_not_installed_grpcio_serves_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(app, "IS_INSTALLED", False)
    with running_gateway({("fraud", 1): networks.affine(2.0)}, front=H2CORN) as gateway:
        assert isinstance(gateway.server, InferenceServer)
        gateway.serve("fraud", live=1)
        assert gateway.infer(infer_request([[1, 1, 1]])).model_version == "1"
    assert "h2corn is not installed, so grpcio serves" in caplog.text


def test_more_calls_than_may_be_in_progress_are_refused_with_the_time_to_wait(monkeypatch):
    monkeypatch.setattr(methods, "MAX_CONCURRENT_CALLS", 1)
    gate = Gate()
    with running_gateway({("fraud", 1): networks.affine(2.0)}, {("fraud", 1): gate}, H2CORN) as gateway:
        gateway.serve("fraud", live=1)
        running = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS)
        gate.await_entered()
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]]))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert rpc_status.from_call(refused.value).details[-1].Unpack(retry)
        assert retry.retry_delay.seconds == 1
        gate.open()
        assert running.result().model_version == "1"


def test_a_server_of_grpcio_whose_port_is_gone_is_not_alive():
    with running_gateway({}, front=GRPCIO) as gateway:
        assert gateway.server.is_alive()
        asyncio.run_coroutine_threadsafe(gateway.server._server.stop(0), gateway.server.loop).result(PATIENCE_SECONDS)
        until(lambda: not gateway.server.is_alive(), "the end that is noticed")


def test_a_server_of_h2corn_whose_port_is_gone_is_not_alive():
    with running_gateway({}, front=H2CORN) as gateway:
        assert gateway.server.is_alive()
        gateway.server._server.shutdown()
        until(lambda: not gateway.server.is_alive(), "the end that is noticed")
