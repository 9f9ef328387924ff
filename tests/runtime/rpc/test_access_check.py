"""The sweep: no method of any service answers a caller that has not proven who it is, or that holds too small a role.

One server has every method that the descriptors know, with a servicer that answers everything.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from headgate.access.roles import RIGHTS, Role
from headgate.access.table import Scope, row_of
from headgate.client.tls import ClientTls
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.access_check import AccessCheck, permission_of
from headgate.runtime.rpc.call_check import AUDIT_LINES_PER_SECOND, FORBIDDEN_RULE, UNPROVEN_RULE, Shown
from headgate.runtime.rpc.server import GrpcServer
from headgate.runtime.tls import TlsFiles
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from tests.access.test_table import OURS
from tests.certificates.issued import Issued
from tests.runtime.authentication.granted import ROOT, Granted, Header, bearer, called
from tests.runtime.authentication.provider import token

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in OURS
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
CLOSED = {path: method for path, method in METHODS.items() if row_of(path).scope is not Scope.OPEN}
GET_MODEL = "/headgate.v1.RegistryService/GetModel"


class World:
    """A server with every method, and the grants and tokens that decide on its calls."""

    def __init__(self, tls: TlsFiles | None = None, caller: ClientTls | None = None) -> None:
        self.granted = Granted()
        self.seen: list[Any] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.metrics = Metrics("registry")
        names = sorted({path.split("/")[1] for path in METHODS})
        access = AccessCheck(self.granted.check(self.metrics))
        self._server = GrpcServer(0, [self._add], names, access=access, tls=tls)
        address = f"127.0.0.1:{self._server.start()}"
        self.channel = grpc.secure_channel(address, caller.credentials()) if caller else grpc.insecure_channel(address)
        self._server.admit()

    def close(self) -> None:
        self.channel.close()
        self._server.stop(1)

    def call(self, path: str, header: Header | None = None, request: bytes = b"") -> tuple[str, str]:
        """The status and the words with which a call ends."""
        return called(self.channel, path, METHODS[path], header, request)

    def _add(self, server: Any) -> None:
        by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
        for path, method in METHODS.items():
            _, service, name = path.split("/")
            by_service.setdefault(service, {})[name] = self._handler(method)
        for service, handlers in by_service.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            server.add_registered_method_handlers(service, handlers)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        asked, answered = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

        def one(request: Any, context: Any) -> Any:
            self.seen.append(context)
            return answered()

        def many(request: Any, context: Any) -> Iterator[Any]:
            self.seen.append(context)
            yield answered()
            assert self.may_go_on.wait(20)
            yield answered()

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.client_streaming, method.server_streaming]
        behaviour: Any = many if method.server_streaming else one
        handler: grpc.RpcMethodHandler = make(behaviour, asked.FromString, answered.SerializeToString)
        return handler


@pytest.fixture
def world() -> Iterator[World]:
    found = World()
    yield found
    found.close()


def test_no_method_answers_a_caller_that_has_proven_nothing(world: World):
    world.granted.grant(Role.ADMINISTRATOR)  # so that a token which is wrongly believed is answered
    for why, header in world.granted.bad_headers().items():
        for path in CLOSED:
            assert world.call(path, header) == ("UNAUTHENTICATED", UNPROVEN_RULE), (path, why)
    assert world.seen == [], "no servicer has seen such a call"
    counted = world.metrics.text()
    for why in ("unproven", "wrong-audience", "unknown-key", "expired-token", "malformed-header"):
        assert f'why="{why}"' in counted


def test_every_method_answers_an_administrator_and_refuses_all_roles_without_its_action(world: World):
    smaller = {role: token(sub=f"{role.value}@example.com") for role in Role}
    for role in Role:
        world.granted.grant(role, f"{role.value}@example.com")
    for path in CLOSED:
        assert world.call(path, bearer(token(sub=ROOT))) == ("OK", ""), path
        for role, rights in RIGHTS.items():
            may = row_of(path).action in rights.own | rights.also
            expected = ("OK", "") if may else ("PERMISSION_DENIED", FORBIDDEN_RULE)
            assert world.call(path, bearer(smaller[role])) == expected, (path, role)


def test_what_is_open_answers_everybody(world: World):
    for path in METHODS.keys() - CLOSED.keys():
        assert world.call(path) == ("OK", "")


def test_the_servicer_sees_the_proven_subject_and_nothing_that_the_caller_says_of_itself(world: World):
    secret = world.granted.made_token("ci")
    header = [*bearer(secret), ("x-actor", "root"), ("x-trace", "t")]
    assert world.call(GET_MODEL, header)[0] == "OK"
    (context,) = world.seen
    permission = permission_of(context)
    assert permission is not None
    assert (permission.subject.name, permission.subject.how.value) == ("token:ci", "token")
    names = {name for name, _ in context.invocation_metadata()}
    assert "x-trace" in names
    assert names.isdisjoint({"x-actor", "authorization"})


def test_a_grant_for_one_model_answers_for_it_alone(world: World):
    world.granted.grant(Role.VIEWER, models="fraud")
    fraud, churn = (
        registry_service.GetModelRequest(name=f"models/{name}").SerializeToString() for name in ("fraud", "churn")
    )
    assert world.call(GET_MODEL, bearer(token()), fraud)[0] == "OK"
    assert world.call(GET_MODEL, bearer(token()), churn)[0] == "PERMISSION_DENIED"
    assert world.call("/headgate.v1.RegistryService/ListModels", bearer(token()))[0] == "OK"
    assert world.call("/headgate.v1.RegistryService/GetFoldDigest", bearer(token()))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("holder", "read", "published"),
    [
        ("user/alice", "OK", "OK"),
        ("trainer", "OK", "PERMISSION_DENIED"),
        ("edge/press-4", "PERMISSION_DENIED", "PERMISSION_DENIED"),
    ],
)
def test_a_certificate_proves_who_calls_and_no_wrong_token_hides_behind_it(
    holder: str, read: str, published: str, tmp_path: Path
):
    issued = Issued(tmp_path)
    world = World(issued.server("registry"), issued.caller(holder))
    world.granted.grant(Role.PUBLISHER, "spiffe://headgate/user/alice")
    assert world.call(GET_MODEL)[0] == read
    assert world.call("/headgate.v1.RegistryService/CreateModel")[0] == published
    assert world.call(GET_MODEL, bearer("wrong"))[0] == "UNAUTHENTICATED"
    world.close()


def test_a_permission_ends_with_the_grant_and_with_the_token(world: World):
    secret = world.granted.made_token("ci", facts.ROLE_VIEWER)
    assert world.call(GET_MODEL, bearer(secret))[0] == "OK"
    permission = permission_of(world.seen[-1])
    assert permission is not None
    assert permission.refusal() is None
    world.granted.send(commands.RevokeToken(token="ci"))
    refused = permission.refusal()
    assert refused is not None
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_watch_ends_once_its_grant_is_revoked(world: World):
    grant = world.granted.grant(Role.VIEWER)
    world.may_go_on.clear()
    watch: Any = world.channel.unary_stream("/headgate.v1.RegistryService/WatchModels")
    answers = watch(b"", metadata=bearer(token()), timeout=20)
    next(answers)
    world.granted.send(commands.RevokeRole(grant=grant))
    world.may_go_on.set()
    with pytest.raises(grpc.RpcError) as caught:
        list(answers)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]


def test_a_refusal_is_a_line_of_the_audit_log(world: World, caplog: pytest.LogCaptureFixture):
    assert world.call(GET_MODEL, bearer(token()))[0] == "PERMISSION_DENIED"
    (line,) = [each for each in caplog.records if each.name == "headgate.audit"]
    fields: Any = line
    assert (fields.method, fields.why, fields.subject, fields.how) == (GET_MODEL, "no-grant", "ada@example.com", "jwt")
    assert fields.peer.startswith("ipv4:127.0.0.1:")


def test_a_flood_of_refusals_fills_no_log_and_is_counted(caplog: pytest.LogCaptureFixture):
    metrics, now = Metrics("registry"), 0.0
    check = Granted().check(metrics, lambda: now)
    shown = Shown(GET_MODEL, (), (), lambda: "")
    for _ in range(2 * AUDIT_LINES_PER_SECOND):
        check.refused(shown, None, "unproven")
    now = 1.0
    check.refused(shown, None, "unproven")
    lines: list[Any] = [each for each in caplog.records if each.name == "headgate.audit"]
    assert len(lines) == AUDIT_LINES_PER_SECOND + 1
    assert lines[-1].left_out == AUDIT_LINES_PER_SECOND
    assert f'headgate_access_refusals_total{{why="unproven"}} {2 * AUDIT_LINES_PER_SECOND + 1}.0' in metrics.text()
