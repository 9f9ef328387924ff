"""A service's gRPC port with TLS."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.client.stubs import Stubs, serves
from headgate.client.tls import ClientTls
from headgate.lifecycle import service_parts
from headgate.runtime.deadline import Deadline
from headgate.runtime.rpc.server import GrpcServer
from headgate.runtime.settings import SettingsError
from headgate.runtime.tls import TlsFiles
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from services.registry.app import build
from services.registry.settings import Settings
from tests.tls import Authority, caller_of, replace_files, tls_files
from tests.waiting import PATIENCE_SECONDS

NAME = "headgate.v1.RegistryService"


class Answers(registry_service_grpc.RegistryServiceServicer):
    def GetModel(self, request: registry_service.GetModelRequest, context: grpc.ServicerContext) -> resources.Model:
        return resources.Model(name=request.name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path, "authority")


@pytest.fixture
def start() -> Iterator[Callable[[TlsFiles], GrpcServer]]:
    started = []

    def start(files: TlsFiles) -> GrpcServer:
        add = partial(registry_service_grpc.add_RegistryServiceServicer_to_server, Answers())
        server = GrpcServer(0, [add], [NAME], tls=files)
        started.append(server)
        server.start()
        server.admit()
        return server

    yield start
    for server in started:
        server.stop(0)


def asked(server: GrpcServer, tls: ClientTls | None) -> str:
    """The name that comes back over a new connection, or the status."""
    with Stubs(f"127.0.0.1:{server.port}", "", tls=tls) as stubs:
        request = registry_service.GetModelRequest(name="models/fraud")
        try:
            return stubs.registry.GetModel(request, timeout=PATIENCE_SECONDS).name
        except grpc.RpcError as error:
            return str(error.code().name)


def shown(server: GrpcServer) -> str:
    """The certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)


def test_a_caller_that_trusts_the_authority_is_answered_and_others_are_not(
    start: Callable[[TlsFiles], GrpcServer], authority: Authority, tmp_path: Path
) -> None:
    server = start(tls_files(authority, tmp_path))
    trusting = caller_of(authority, tmp_path)
    assert asked(server, trusting) == "models/fraud"
    assert serves(f"127.0.0.1:{server.port}", PATIENCE_SECONDS, trusting)
    assert asked(server, ClientTls(Authority.new(tmp_path, "stranger").file)) == "UNAVAILABLE"
    assert asked(server, None) == "UNAVAILABLE"


def test_only_callers_with_a_certificate_are_answered_where_one_is_asked_for(
    start: Callable[[TlsFiles], GrpcServer], authority: Authority, tmp_path: Path
) -> None:
    server = start(tls_files(authority, tmp_path, client_ca=True))
    assert asked(server, caller_of(authority, tmp_path, certificate=True)) == "models/fraud"
    assert asked(server, caller_of(authority, tmp_path)) == "UNAVAILABLE"
    stranger = Authority.new(tmp_path, "stranger")
    forged = caller_of(stranger, tmp_path, certificate=True)
    assert asked(server, ClientTls(authority.file, forged.certificate, forged.key)) == "UNAVAILABLE"


def test_the_next_connection_gets_a_new_certificate_and_an_open_one_goes_on(
    start: Callable[[TlsFiles], GrpcServer], authority: Authority, tmp_path: Path
) -> None:
    files = tls_files(authority, tmp_path)
    server = start(files)
    request = registry_service.GetModelRequest(name="models/fraud")
    with Stubs(f"127.0.0.1:{server.port}", "", tls=caller_of(authority, tmp_path)) as open_one:
        open_one.registry.GetModel(request, timeout=PATIENCE_SECONDS)
        before = shown(server)
        assert before.strip() == files.certificate.read_text().strip()
        replace_files(authority, files)
        assert shown(server).strip() == files.certificate.read_text().strip() != before.strip()
        assert open_one.registry.GetModel(request, timeout=PATIENCE_SECONDS).name == "models/fraud"


def test_a_caller_that_stops_in_its_handshake_delays_nobody(
    start: Callable[[TlsFiles], GrpcServer], authority: Authority, tmp_path: Path
) -> None:
    server = start(tls_files(authority, tmp_path))
    silent = [socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) for _ in range(200)]
    for connection in silent:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert asked(server, caller_of(authority, tmp_path)) == "models/fraud"
    for connection in silent:
        connection.close()


def test_a_server_that_asks_for_certificates_stops_as_soon_as_it_is_quiet(
    start: Callable[[TlsFiles], GrpcServer], authority: Authority, tmp_path: Path
) -> None:
    """It asks its own health on the way, and has no certificate as a caller."""
    server = start(tls_files(authority, tmp_path, client_ca=True))
    asked(server, caller_of(authority, tmp_path, certificate=True))
    deadline = Deadline(2 * PATIENCE_SECONDS)
    server.stop(2 * PATIENCE_SECONDS)
    assert deadline.left() > PATIENCE_SECONDS, "the stop waited for its limit"


def test_a_service_beyond_the_loopback_needs_a_certificate_or_says_that_nobody_else_reaches_it(tmp_path: Path) -> None:
    settings = Settings(log=f"sqlite://{tmp_path}/log.db", host="0.0.0.0")  # it never listens
    with pytest.raises(SettingsError, match=r"HEADGATE_HOST=0.0.0.0 is not the loopback, so its ports need TLS"):
        build(settings)
    assert service_parts.tls_files(replace(settings, plain_text=True)) is None
    assert service_parts.tls_files(replace(settings, host="127.0.0.1")) is None


def test_settings_that_do_not_belong_together_are_refused_at_the_start(authority: Authority, tmp_path: Path) -> None:
    files = tls_files(authority, tmp_path)
    log = f"sqlite://{tmp_path}/log.db"
    with pytest.raises(SettingsError, match="HEADGATE_TLS_CERTIFICATE and HEADGATE_TLS_KEY go together"):
        build(Settings(log=log, tls_certificate=files.certificate))
    files.key.write_text("no key")
    with pytest.raises(SettingsError, match=rf"HEADGATE_TLS_\*: {files.certificate}"):
        build(Settings(log=log, tls_certificate=files.certificate, tls_key=files.key))
    assert not (tmp_path / "log.db").exists()
