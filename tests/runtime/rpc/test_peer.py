"""Whom a server of grpc knows its callers to be, and which callers it refuses."""

import logging
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.client.stubs import Stubs
from headgate.client.tls import ClientTls, ClientTlsUnusable, client_tls
from headgate.runtime.rpc.peer import peer_uris
from headgate.runtime.rpc.server import GrpcServer
from headgate.runtime.tls import TlsFiles, WatchedTls
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from tests.certificates.issued import Issued
from tests.tls import abandon_handshakes, held_connections, memory_bytes
from tests.waiting import PATIENCE_SECONDS, until

NAME = "headgate.v1.RegistryService"


class NamesItsCaller(registry_service_grpc.RegistryServiceServicer):
    def GetModel(self, request: registry_service.GetModelRequest, context: grpc.ServicerContext) -> resources.Model:
        return resources.Model(name=" ".join(peer_uris(context)))


def started(files: TlsFiles | None) -> GrpcServer:
    add = partial(registry_service_grpc.add_RegistryServiceServicer_to_server, NamesItsCaller())
    server = GrpcServer(0, [add], [NAME], tls=files)
    server.start()
    server.admit()
    return server


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(issued: Issued) -> Iterator[GrpcServer]:
    server = started(issued.server("registry"))
    yield server
    server.stop(0)


def asked(server: GrpcServer, tls: ClientTls | None) -> str:
    """The names of the caller as the server knows them, or why there was no answer."""
    with Stubs(f"127.0.0.1:{server.port}", "", tls=tls) as stubs:
        try:
            return stubs.registry.GetModel(
                registry_service.GetModelRequest(name="models/fraud"), timeout=PATIENCE_SECONDS
            ).name
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"


@pytest.mark.parametrize("holder", ["user/alice", "edge/press-4", "deployer"])
def test_a_server_knows_its_caller_by_the_certificate_and_logs_it(
    server: GrpcServer, issued: Issued, holder: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "headgate.work")
    assert asked(server, issued.caller(holder)) == f"spiffe://headgate/{holder}"
    assert [record.peer for record in caplog.records] == [f"spiffe://headgate/{holder}"]


def test_a_caller_without_a_certificate_has_no_name(issued: Issued, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headgate.work")
    files = issued.server("registry")
    for tls, caller in ((TlsFiles(files.certificate, files.key), ClientTls(issued.authority_file)), (None, None)):
        server = started(tls)
        assert asked(server, caller) == ""
        server.stop(0)
    assert not any(hasattr(record, "peer") for record in caplog.records)


def test_certificates_that_ended_or_are_self_signed_or_of_another_authority_are_refused(
    server: GrpcServer, issued: Issued, tmp_path: Path
) -> None:
    stranger = Issued(tmp_path / "stranger")
    own, key = stranger.authority_file, stranger.authority_file.with_suffix(".key")
    files = [(each, each) for each in (issued.ended("user/bob"), stranger.pair("user/alice"))]
    for certificate, its_key in (*files, (own, key)):
        with grpc.secure_channel(
            f"127.0.0.1:{server.port}",
            grpc.ssl_channel_credentials(
                issued.authority_file.read_bytes(), its_key.read_bytes(), certificate.read_bytes()
            ),
        ) as channel:
            call = registry_service_grpc.RegistryServiceStub(channel).GetModel.future(
                registry_service.GetModelRequest(), timeout=PATIENCE_SECONDS
            )
            assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert asked(server, issued.caller("user/alice")) == "spiffe://headgate/user/alice"


def test_a_caller_refuses_a_server_that_ended_or_is_of_another_authority_or_name(
    issued: Issued, tmp_path: Path
) -> None:
    alice, stranger = issued.caller("user/alice"), Issued(tmp_path / "stranger")
    ended, person, other = issued.ended("trainer"), issued.pair("user/alice"), stranger.pair("registry")
    elsewhere = issued.pair("deployer", hosts=("elsewhere.example",))
    for pair, reason in ((ended, "expired"), (other, "issuer"), (person, "purpose"), (elsewhere, "Hostname")):
        server = started(TlsFiles(pair, pair))
        answer = asked(server, alice)
        assert answer.startswith("UNAVAILABLE")
        assert reason in answer
        server.stop(0)


def test_a_certificate_that_has_ended_is_said_on_its_own_side(issued: Issued, caplog: pytest.LogCaptureFixture) -> None:
    ended = issued.ended("evaluator")
    WatchedTls(TlsFiles(ended, ended))
    assert "the certificate has ended on" in caplog.text
    with pytest.raises(ClientTlsUnusable, match="the certificate has ended on"):
        client_tls(str(issued.authority_file), str(ended), str(ended))


def test_thousands_of_callers_that_stop_in_their_handshake_leave_nothing_behind(
    server: GrpcServer, issued: Issued
) -> None:
    abandon_handshakes(server.port, 100)
    memory = memory_bytes()
    abandon_handshakes(server.port, 2_000)
    assert asked(server, issued.caller("user/alice")) == "spiffe://headgate/user/alice"
    until(lambda: held_connections(server.port) == 0, "the end of their connections")
    assert memory_bytes() - memory < 64 << 20, "each of them kept 32 KiB"


def test_a_caller_that_knows_no_newer_tls_than_1_2_is_refused(server: GrpcServer, issued: Issued) -> None:
    context = issued.caller("user/alice").context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    with plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_server_that_also_takes_tls_1_2_says_so(
    issued: Issued, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GRPC_SSL_CIPHER_SUITES")
    started(issued.server("registry")).stop(0)
    assert "callers may also use TLS 1.2" in caplog.text
