"""The metrics of a gRPC server: the rate, errors and duration of its calls."""

from collections.abc import Iterator
from functools import partial

import grpc
import pytest

from headgate.client.stubs import serves
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.metrics import RpcMetrics
from headgate.runtime.rpc.server import GrpcServer
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

NAME = "headgate.v1.RegistryService"


class Answers(registry_service_grpc.RegistryServiceServicer):
    def GetModel(self, request: registry_service.GetModelRequest, context: grpc.ServicerContext) -> resources.Model:
        if request.name == "crash":
            raise KeyError("lost")
        if request.name == "missing":
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", "no such model")
        return resources.Model()

    def WatchHistory(
        self, request: registry_service.WatchHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchHistoryResponse]:
        yield registry_service.WatchHistoryResponse()


@pytest.fixture
def server() -> Iterator[tuple[GrpcServer, Metrics]]:
    metrics = Metrics("registry")
    add = partial(registry_service_grpc.add_RegistryServiceServicer_to_server, Answers())
    server = GrpcServer(0, [add], [NAME], interceptors=[RpcMetrics(metrics)])
    server.start()
    yield server, metrics
    server.stop(0)


def ask(stub: registry_service_grpc.RegistryServiceStub, name: str) -> grpc.StatusCode:
    try:
        stub.GetModel(registry_service.GetModelRequest(name=name), timeout=PATIENCE_SECONDS)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_calls_are_counted_by_method_and_by_the_status_that_the_caller_got(server: tuple[GrpcServer, Metrics]) -> None:
    grpc_server, metrics = server
    with grpc.insecure_channel(f"127.0.0.1:{grpc_server.port}") as channel:
        stub = registry_service_grpc.RegistryServiceStub(channel)
        asked = [ask(stub, "too early")]
        grpc_server.admit()
        asked += [ask(stub, name) for name in ("fraud", "fraud", "missing", "crash")]
        assert len(list(stub.WatchHistory(registry_service.WatchHistoryRequest(), timeout=PATIENCE_SECONDS))) == 1
        assert serves(f"127.0.0.1:{grpc_server.port}"), "health checks are not counted"
    grpc_server.stop(1)
    shown = parsed(text_of(metrics))
    method = {"rpc_service": NAME, "method": "GetModel"}
    for code in set(asked):
        assert shown.value("headgate_rpc_requests_total", **method, code=code.name) == asked.count(code)
    assert shown.value("headgate_rpc_duration_seconds_count", **method) == len(asked)
    watch = {"rpc_service": NAME, "method": "WatchHistory"}
    assert shown.value("headgate_rpc_requests_total", **watch, code="OK") == 1
    assert shown.value("headgate_rpc_duration_seconds_count", **watch) is None, "a stream's duration is not measured"
    assert shown.total("headgate_rpc_requests_total") == len(asked) + 1
