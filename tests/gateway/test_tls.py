"""The gateway's two ports with TLS: predictions, certificates that are renewed, and callers without one."""

import json
import socket
import ssl
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.runtime.rpc.peer import peer_uris
from services.gateway.rest.limits import MAX_BODY_BYTES
from services.gateway.rest.server import RestServer
from services.gateway.servicer import InferenceServicer
from services.gateway.settings import GRPCIO, H2CORN
from tests.certificates.issued import Issued
from tests.cli.running import run_headgate
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, infer_request, running_gateway, until
from tests.gateway.rest.serving import rows
from tests.http2_frames import CALL, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, frame
from tests.tls import Authority, abandon_handshakes, caller_of, held_connections, memory_bytes, replace_files, tls_files
from tests.waiting import PATIENCE_SECONDS

SLOW = "slow"


@pytest.fixture(scope="module", params=[(H2CORN, False), (H2CORN, True), (GRPCIO, False), (GRPCIO, True)], ids=str)
def served(request, tmp_path_factory):
    front, needs_certificate = request.param
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority.new(folder, "authority")
    files = tls_files(authority, folder, client_ca=needs_certificate)
    caller = caller_of(authority, folder, certificate=needs_certificate)
    gates = {(SLOW, 1): Gate()}
    versions = {version: networks.affine(2.0) for version in (("fraud", 1), *gates)}
    with running_gateway(versions, gates, front, tls=files, caller=caller) as gateway:
        gateway.authority, gateway.files = authority, files
        gateway.caller, gateway.needs_certificate = caller, needs_certificate
        for model in ("fraud", SLOW):
            gateway.serve(model, live=1)
        gateway.rest = RestServer(gateway.inference, gateway.server.loop, "127.0.0.1", 0, gateway.metrics, files)
        gateway.rest_port = gateway.rest.start()
        yield gateway
        gates[SLOW, 1].open()
        gateway.rest.stop(PATIENCE_SECONDS)


def connected(served, context=None):
    """A REST connection over TLS."""
    plain = socket.create_connection(("127.0.0.1", served.rest_port), PATIENCE_SECONDS)
    return (context or served.caller.context()).wrap_socket(plain, server_hostname="127.0.0.1")


def received(connection):
    got = b""
    while part := connection.recv(65_536):
        got += part
    return got


def post(body, path="/v2/models/fraud/infer"):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def shown(port):
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE_SECONDS).strip()


def test_both_ports_predict(served):
    assert answer(served.infer(infer_request([[1, 2, 3]])))[0][0] == 2.0
    with connected(served) as connection:
        assert connection.version() == "TLSv1.3"
        connection.sendall(post(json.dumps(rows(1, 2, 3)).encode()))
        assert json.loads(received(connection).partition(b"\r\n\r\n")[2])["outputs"][0]["data"] == [2.0, 4.0, 6.0]


def test_the_command_line_predicts_with_the_authority_and_fails_without(served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = partial(run_headgate, monkeypatch, capsys, "--gateway", served.address)
    trusting = ["--tls-ca", str(served.caller.ca)]
    if served.needs_certificate:
        caller = served.caller
        trusting += ["--tls-client-certificate", str(caller.certificate), "--tls-client-key", str(caller.key)]
    code, out, err = run(*trusting, "predict", "fraud", "--row", "1,2,3")
    assert (code, "4" in out) == (0, True), err
    code, _, err = run("predict", "fraud", "--row", "1,2,3")
    assert (code, "a service with TLS is called with --tls-ca" in err) == (4, True), err


def test_files_of_the_command_line_that_cannot_be_used_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = partial(run_headgate, monkeypatch, capsys)
    code, _, err = run("--tls-ca", "missing.pem", "doctor")
    assert (code, "missing.pem: No such file" in err) == (2, True), err
    code, _, err = run("--tls-client-key", "mine.key", "doctor")
    assert (code, "go together" in err) == (2, True), err


def test_plain_callers_get_no_answer(served):
    with grpc.insecure_channel(served.address) as channel:
        stub = inference_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    with socket.create_connection(("127.0.0.1", served.rest_port), PATIENCE_SECONDS) as plain:
        plain.sendall(post(b"{}"))
        assert b"HTTP/1.1 200" not in received(plain)


def test_callers_without_a_certificate_get_no_answer_where_one_is_asked_for(served):
    context = ssl.create_default_context(cafile=served.authority.file)
    with grpc.secure_channel(
        served.address, grpc.ssl_channel_credentials(served.authority.file.read_bytes())
    ) as channel:
        call = inference_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(
            infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS
        )
        assert (call.code() == grpc.StatusCode.OK) is not served.needs_certificate
    try:
        with connected(served, context) as connection:
            connection.sendall(post(json.dumps(rows(1, 1, 1)).encode()))
            assert (b"HTTP/1.1 200" in received(connection)) is not served.needs_certificate
    except (ssl.SSLError, ConnectionError):
        assert served.needs_certificate


def test_a_renewed_certificate_is_shown_to_the_next_connections_and_open_ones_go_on(served):
    port = int(served.address.rpartition(":")[2])
    with connected(served) as open_one:
        replace_files(served.authority, served.files)
        expected = served.files.certificate.read_text().strip()
        until(lambda: shown(port) == expected, "the new certificate of gRPC")
        until(lambda: shown(served.rest_port) == expected, "the new certificate of REST")
        open_one.sendall(post(json.dumps(rows(1, 2, 3)).encode()))
        assert b"HTTP/1.1 200" in received(open_one)
    assert answer(served.infer(infer_request([[1, 2, 3]])))[0][0] == 2.0


@pytest.mark.parametrize("front", [H2CORN, GRPCIO])
def test_a_gateway_knows_its_callers_by_their_certificates(tmp_path, front, monkeypatch):
    issued, known = Issued(tmp_path), []

    async def server_live(self, request, context):
        known.append(peer_uris(context))
        return inference.ServerLiveResponse(live=True)

    monkeypatch.setattr(InferenceServicer, "ServerLive", server_live)
    with running_gateway({}, front=front, tls=issued.server("gateway"), caller=issued.caller("user/alice")) as gateway:
        for holder in ("user/alice", "deployer"):
            with grpc.secure_channel(gateway.address, issued.caller(holder).credentials()) as channel:
                stub = inference_grpc.GRPCInferenceServiceStub(channel)
                stub.ServerLive(inference.ServerLiveRequest(), timeout=PATIENCE_SECONDS)
        for pair in (issued.ended("user/alice"), Issued(tmp_path / "stranger").pair("user/alice")):
            secret = pair.read_bytes()
            credentials = grpc.ssl_channel_credentials(issued.authority_file.read_bytes(), secret, secret)
            with grpc.secure_channel(gateway.address, credentials) as channel:
                stub = inference_grpc.GRPCInferenceServiceStub(channel)
                call = stub.ServerLive.future(inference.ServerLiveRequest(), timeout=PATIENCE_SECONDS)
                assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert known == [("spiffe://headgate/user/alice",), ("spiffe://headgate/deployer",)]


def test_rest_says_in_its_log_why_a_caller_is_refused(tmp_path, caplog):
    issued, stranger = Issued(tmp_path), Issued(tmp_path / "stranger")
    expected = {issued.ended("user/alice"): "certificate has expired", stranger.pair("user/bob"): "issuer"}
    with running_gateway({}, tls=issued.server("gateway"), caller=issued.caller("deployer")) as gateway:
        loop, files = gateway.server.loop, issued.server("gateway")
        rest = RestServer(gateway.inference, loop, "127.0.0.1", 0, gateway.metrics, files)
        port = rest.start()
        for pair, reason in expected.items():
            context = ssl.create_default_context(cafile=issued.authority_file)
            context.load_cert_chain(pair)
            plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
            with suppress(OSError), context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                connection.recv(1)
            until(lambda reason=reason: f"its certificate is refused: {reason}" in said(caplog), "the line in the log")
        rest.stop(PATIENCE_SECONDS)


def said(caplog):
    """The lines of the log, in the words that the tests look for."""
    return caplog.text.replace("unable to get local issuer", "issuer")


@pytest.mark.parametrize("front", [H2CORN, GRPCIO])
def test_thousands_of_callers_that_stop_in_their_handshake_leave_nothing_behind(tmp_path, front):
    issued = Issued(tmp_path)
    with running_gateway({}, front=front, tls=issued.server("gateway"), caller=issued.caller("user/alice")) as gateway:
        port = int(gateway.address.rpartition(":")[2])
        abandon_handshakes(port, 100)
        memory = memory_bytes()
        abandon_handshakes(port, 2_000)
        assert gateway.stub.ServerLive(inference.ServerLiveRequest(), timeout=PATIENCE_SECONDS).live
        until(lambda: held_connections(port) <= 1, "the end of their connections, but of the test's own")
        assert memory_bytes() - memory < 64 << 20, "each of them kept 32 KiB"


def test_only_tls_1_3_predicts(served):
    port = int(served.address.rpartition(":")[2])
    predicts = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = served.caller.context()
        context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                predicts[version] = answered_bytes(connection)
        except (ssl.SSLError, ConnectionError):
            predicts[version] = 0
    assert predicts[ssl.TLSVersion.TLSv1_2] == 0
    assert predicts[ssl.TLSVersion.TLSv1_3] > 0


def answered_bytes(connection):
    """The bytes of the message that answers a call."""
    message = infer_request([[1, 1, 1]]).SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    connection.sendall(PREFACE + frame(HEADERS, END_HEADERS, 1, CALL) + frame(DATA, END_STREAM, 1, body))
    found = 0
    with connection.makefile("rb") as frames:
        while head := frames.read(9):
            payload = frames.read(int.from_bytes(head[:3], "big"))
            if int.from_bytes(head[5:], "big") == 1:
                found += len(payload) if head[3] == DATA else 0
                if head[4] & END_STREAM:
                    return found
    return found


def test_a_certificate_that_cannot_be_used_changes_nothing(served):
    good, port = served.files.certificate.read_bytes(), int(served.address.rpartition(":")[2])
    served.files.certificate.write_text("no PEM")
    try:
        assert shown(port) == shown(served.rest_port) == good.decode().strip()
    finally:
        served.files.certificate.write_bytes(good)


def test_a_refused_body_gets_its_answer_while_its_caller_still_sends(served):
    with connected(served) as connection:
        head = f"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 100_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_large_answer_and_a_large_request_arrive_whole(served):
    values = [1.5] * 300_000
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [100_000, 3], "data": values}]}
    with connected(served) as connection:
        connection.sendall(post(json.dumps(document).encode()))
        got = json.loads(received(connection).partition(b"\r\n\r\n")[2])
    assert got["outputs"][0]["data"] == [3.0] * 300_000


@pytest.mark.parametrize("front", [H2CORN, GRPCIO])
def test_a_request_in_progress_is_answered_before_the_ports_close(tmp_path: Path, front):
    authority = Authority.new(tmp_path, "authority")
    files, caller = tls_files(authority, tmp_path, client_ca=True), caller_of(authority, tmp_path, certificate=True)
    gate = Gate()
    with running_gateway(
        {("fraud", 1): networks.affine(2.0)}, {("fraud", 1): gate}, tls=files, caller=caller
    ) as gateway:
        gateway.serve("fraud", live=1)
        running = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]]), timeout=PATIENCE_SECONDS)
        gate.await_entered()
        stopping = threading.Thread(target=gateway.stop, args=(PATIENCE_SECONDS,))
        stopping.start()
        gate.open()
        assert running.result().model_version == "1"
        stopping.join()


def test_callers_that_have_not_agreed_on_tls_count_for_the_limit_of_connections(tmp_path, monkeypatch):
    monkeypatch.setattr("services.gateway.rest.server.max_connections", lambda: 3)
    authority = Authority.new(tmp_path, "authority")
    files, context = tls_files(authority, tmp_path), caller_of(authority, tmp_path).context()
    with running_gateway({}) as gateway:
        rest = RestServer(gateway.inference, gateway.server.loop, "127.0.0.1", 0, gateway.metrics, files)
        address = ("127.0.0.1", rest.start())
        silent = [socket.create_connection(address, PATIENCE_SECONDS) for _ in range(3)]
        with socket.create_connection(address, PATIENCE_SECONDS) as late:
            assert late.recv(1) == b""  # taken in the order in which they came, so the three hold all places
        silent.pop().close()
        until(lambda: lives(address, context), "the place of the one that went")
        rest.stop(1.0)
        assert [caller.recv(1) for caller in silent] == [b"", b""]
        for caller in silent:
            caller.close()


def lives(address, context):
    """Whether the server takes one more caller and answers."""
    try:
        with context.wrap_socket(socket.create_connection(address, PATIENCE_SECONDS), server_hostname="127.0.0.1") as c:
            c.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return received(c).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
