"""The policy table has exactly one row for each method, and each row fits its method's request."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from headgate.access.coverage import CoveredServer
from headgate.access.roles import RIGHTS, Action, Role
from headgate.access.table import TABLE, MethodWithoutRow, Scope, row_of
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.rpc.server import GrpcServer
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import worker_services_pb2 as worker_services
from services.gateway.rest.paths import Method
from services.gateway.server import INFERENCE
from tests.house.tree import ROOT

OURS = (access_service, registry_service, release_service, worker_services, edge, inference)
FILES = (*OURS, health_pb2, reflection_pb2)
FIELDLESS = (Scope.OPEN, Scope.ANYWHERE, Scope.EVERYWHERE)
OF_NEWER_LIBRARIES = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/List"}
"""Methods of gRPC's own services that the present version of its libraries does not have."""


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Path and descriptor of every method that any server of Headgate has."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method


def test_every_method_has_exactly_one_row():
    assert sorted(path for path, _ in methods()) == sorted(TABLE.keys() - OF_NEWER_LIBRARIES)


def test_each_method_that_shows_a_part_is_known_to_a_test_of_what_it_shows():
    """The tests are registry/test_tenants.py, runtime/rpc/test_shown_parts.py and gateway/test_access.py."""
    parts = {path.rpartition("/")[2] for path, row in TABLE.items() if row.scope in (Scope.VISIBLE, Scope.STREAMS)}
    of_the_registry = {
        *("ListModels", "WatchModels", "ListVersions", "WatchVersions", "ListReleases", "WatchHistory"),
        *("ListGrants", "ListTokens"),
    }
    assert parts == of_the_registry | {"ListAttempts", "ListPilots", "ListDevices"}


def test_every_service_of_the_protos_is_walked():
    text = "".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))
    walked = {path.split("/")[1].rpartition(".")[2] for path, _ in methods()}
    declared = {line.split()[1] for line in text.splitlines() if line.startswith("service ")}
    assert declared - walked == set()


def test_a_row_names_a_field_of_its_request():
    for path, method in methods():
        row, fields = row_of(path), method.input_type.fields_by_name
        if row.named_by:
            assert row.scope not in FIELDLESS, path
            assert fields[row.named_by].type == fields[row.named_by].TYPE_STRING, path
        named = set(fields.keys()) & {"name", "parent", "model_name", "stream", "environment"}
        if row.scope in (Scope.MODEL, Scope.SERVED):
            assert row.named_by or not named, f"without a field {path} is about all models"
        if row.scope is Scope.START:
            assert "environment" in fields, path
        if row.scope is Scope.BOUNDS:
            assert {"models", "environments"} <= set(fields.keys()), path


PAST_A_GATE = {
    "headgate.v1.RegistryService": {"ApproveVersion", "WaiveGate", "LiftQuarantine", "LabelModel", "AddRepository"},
    "headgate.v1.ReleaseService": {"StartRelease", "ResumeRelease", "PromoteRelease", "UndoRelease", "SetPolicy"},
    "headgate.v1.AccessService": {"GrantRole", "RevokeRole", "CreateToken"},
}
"""What moves a version forward without new evidence, or changes the rules by which it moves."""


@pytest.mark.parametrize("role", [Role.SERVICE, Role.PUBLISHER, Role.PREDICTOR, Role.DEVICE, Role.VIEWER])
def test_no_role_for_services_and_pipelines_leads_past_a_gate(role: Role):
    rights = RIGHTS[role]
    for service, names in PAST_A_GATE.items():
        for name in names:
            assert row_of(f"/{service}/{name}").action not in rights.own | rights.also, name


def test_what_is_open_to_everybody_is_health_and_reflection():
    opened = {path for path, row in TABLE.items() if row.scope is Scope.OPEN}
    assert {path for path in opened if not path.startswith("/grpc.")} == {
        INFERENCE + "ServerLive",
        INFERENCE + "ServerReady",
    }


def test_every_method_of_rest_has_the_row_of_its_grpc_method():
    assert all(INFERENCE + method.value in TABLE for method in Method)


def test_every_action_has_a_role_beside_the_administrator():
    only_administrators = set(Action) - {
        action for role, rights in RIGHTS.items() if role is not Role.ADMINISTRATOR for action in rights.own
    }
    assert only_administrators == {Action.ADMINISTER, Action.GRANT}


def test_a_server_with_a_method_without_a_row_does_not_start():
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    def add(server: grpc.Server) -> None:
        server.add_registered_method_handlers("headgate.v1.NewService", {"Destroy": handler})

    with pytest.raises(MethodWithoutRow, match=r"/headgate\.v1\.NewService/Destroy has no row"):
        GrpcServer(0, [add], ["headgate.v1.NewService"])


def test_what_is_no_servicer_goes_to_the_server_itself():
    server = grpc.server(ThreadPoolExecutor(1))
    assert CoveredServer(server).stop == server.stop
    server.stop(0).wait()
