"""The gRPC server that every service has."""

import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from headgate.runtime import connections
from headgate.runtime.errors import CannotListen, RpcRefused
from headgate.runtime.rpc import quiet
from headgate.runtime.rpc.errors import MAX_RULE_BYTES
from headgate.runtime.rpc.server import MAX_REQUEST_BYTES, GrpcServer
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from tests.http2_frames import attacked, rapid_resets
from tests.waiting import PATIENCE_SECONDS

NAME = "headgate.v1.RegistryService"


class Answers(registry_service_grpc.RegistryServiceServicer):
    def GetModel(self, request: registry_service.GetModelRequest, context: grpc.ServicerContext) -> resources.Model:
        if request.name == "crash":
            raise KeyError("an internal secret")
        if len(request.name) > 64:
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "no-such-model", f"{request.name} does not exist", "name")
        if request.name == "abort":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        raise RpcRefused(grpc.StatusCode.NOT_FOUND, "no-such-model", "the model does not exist", "name")

    def WatchHistory(
        self, request: registry_service.WatchHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchHistoryResponse]:
        yield registry_service.WatchHistoryResponse()
        raise RpcRefused(grpc.StatusCode.OUT_OF_RANGE, "no-such-position", "the log does not reach that far")


@pytest.fixture
def port() -> Iterator[int]:
    server = GrpcServer(0, [partial(registry_service_grpc.add_RegistryServiceServicer_to_server, Answers())], [NAME])
    port = server.start()
    server.admit()
    yield port
    server.stop(0)


@pytest.fixture
def channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def ask(channel: grpc.Channel, name: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        registry_service_grpc.RegistryServiceStub(channel).GetModel(
            registry_service.GetModelRequest(name=name), timeout=PATIENCE_SECONDS
        )
    return caught.value


def test_a_refusal_carries_its_code_its_rule_and_the_field(channel: grpc.Channel) -> None:
    error = ask(channel, "models/x")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, status.message) == ("no-such-model", "the model does not exist")
    assert bad.field_violations[0].field == "name"


@pytest.mark.parametrize("character", ["x", "%", "\x00", "é", "\N{GRINNING FACE}"])
def test_a_long_text_of_the_caller_in_a_refusal_is_cut_and_its_status_arrives(
    channel: grpc.Channel, character: str
) -> None:
    error = ask(channel, f"models/{character * 20_000}")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert bad.field_violations[0].description == status.message == error.details()
    assert status.message.startswith("models/")
    assert " ... " in status.message
    assert status.message.endswith(" does not exist")
    assert len(status.message.encode()) <= MAX_RULE_BYTES


def test_an_unexpected_error_shows_the_caller_only_an_incident_id(channel: grpc.Channel) -> None:
    error = ask(channel, "crash")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert "incident" in error.details()


def test_a_call_that_the_servicer_aborts_keeps_its_status(channel: grpc.Channel) -> None:
    error = ask(channel, "abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "not now")


def test_a_refusal_in_the_middle_of_a_stream_ends_it_with_its_status(channel: grpc.Channel) -> None:
    answers = registry_service_grpc.RegistryServiceStub(channel).WatchHistory(
        registry_service.WatchHistoryRequest(), timeout=PATIENCE_SECONDS
    )
    next(answers)
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE


def test_health_and_reflection_name_the_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", NAME):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert NAME in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_a_message_over_the_limit_is_refused(channel: grpc.Channel) -> None:
    assert ask(channel, "x" * (MAX_REQUEST_BYTES + 1)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_thousands_of_calls_that_are_opened_and_reset_drop_nobody_elses(port: int, channel: grpc.Channel) -> None:
    with attacked(port, rapid_resets(method=f"/{NAME}/GetModel")):
        assert ask(channel, "models/x").code() is grpc.StatusCode.NOT_FOUND
    assert ask(channel, "models/x").code() is grpc.StatusCode.NOT_FOUND


class Busy(grpc.ServerInterceptor):
    """Holds up the thread that starts calls, as a busy machine does, from the first call on until it is released."""

    def __init__(self) -> None:
        self.held, self.released = threading.Event(), threading.Event()

    def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method.endswith("GetModel"):
            self.held.set()
            assert self.released.wait(PATIENCE_SECONDS)
        return continuation(handler_call_details)


def test_calls_that_wait_to_be_started_are_answered_before_the_server_stops() -> None:
    busy = Busy()
    add = partial(registry_service_grpc.add_RegistryServiceServicer_to_server, Answers())
    server = GrpcServer(0, [add], [NAME], interceptors=[busy])
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        server.admit()
        stub = registry_service_grpc.RegistryServiceStub(channel)
        calls = [stub.GetModel.future(registry_service.GetModelRequest(name="models/x")) for _ in range(20)]
        assert busy.held.wait(PATIENCE_SECONDS)
        stopping = threading.Thread(target=server.stop, args=(PATIENCE_SECONDS,))
        stopping.start()
        stopping.join(10 * quiet.QUIET_SECONDS)  # long enough for a server that trusts in silence to stop
        busy.released.set()
        codes = [call.exception(PATIENCE_SECONDS).code() for call in calls]
        stopping.join(PATIENCE_SECONDS)
    assert codes == [grpc.StatusCode.NOT_FOUND] * len(calls)


def test_the_error_names_a_port_that_is_in_use() -> None:
    first = GrpcServer(0, [], [])
    port = first.start()
    with pytest.raises(CannotListen, match=str(port)):
        GrpcServer(port, [], []).start()
    first.stop(0)


def test_connections_above_the_limit_are_closed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    server = GrpcServer(0, [], [])
    port = server.start()
    opened = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in range(4)]
    assert [bool(each.recv(9)) for each in opened] == [True, True, True, False]
    for each in opened:
        each.close()
    server.stop(0)
