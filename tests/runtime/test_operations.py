"""The HTTP server for operations."""

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event, Thread, current_thread
from threading import enumerate as enumerate_threads

import pytest

from headgate.client.tls import ClientTls
from headgate.runtime import operations as operations_module
from headgate.runtime.errors import CannotListen
from headgate.runtime.observability.metrics import Reading
from headgate.runtime.operations import MAX_CONNECTIONS, Operations
from tests.certificates.issued import Issued
from tests.waiting import PATIENCE_SECONDS, until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@pytest.fixture
def operations() -> Iterator[Operations]:
    server = Operations("deployer", "127.0.0.1", free_port())
    yield server
    server.close()


def get(operations: Operations, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", operations.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def asked_with_tls(port: int, context: ssl.SSLContext) -> int:
    """The status of /livez over TLS."""
    connection = HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status
    finally:
        connection.close()


def test_with_a_certificate_the_port_speaks_tls_alone_and_asks_nobody_for_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issued = Issued(tmp_path)
    server = Operations("deployer", "127.0.0.1", free_port(), issued.server("deployer"))
    context = ClientTls(issued.authority_file).context()
    try:
        assert asked_with_tls(server.port, context) == 200
        with pytest.raises((ConnectionError, HTTPException)):
            get(server, "/livez")
        until(lambda: "did not agree on TLS: http request" in caplog.text, "the line in the log")
        before = ssl.get_server_certificate(("127.0.0.1", server.port))
        issued.server("deployer")
        assert asked_with_tls(server.port, context) == 200
        assert ssl.get_server_certificate(("127.0.0.1", server.port)) != before
        silent = [connected(server) for _ in range(MAX_CONNECTIONS - 2)]
        assert asked_with_tls(server.port, context) == 200
        for connection in silent:
            connection.close()
    finally:
        server.close()


def connected(operations: Operations) -> socket.socket:
    return socket.create_connection(("127.0.0.1", operations.port), timeout=PATIENCE_SECONDS)


def test_readyz_and_headgate_ready_show_when_the_service_takes_work(operations: Operations) -> None:
    def readiness() -> tuple[int, str, str]:
        (ready,) = (line for line in get(operations, "/metrics")[1].splitlines() if line.startswith("headgate_ready "))
        return *get(operations, "/readyz"), ready

    assert readiness() == (503, "starting\n", "headgate_ready 0.0")
    operations.ready()
    assert readiness() == (200, "ready\n", "headgate_ready 1.0")
    operations.drain()
    assert readiness() == (503, "draining\n", "headgate_ready 0.0")


def test_livez_answers_200_until_a_watched_loop_has_ended(operations: Operations) -> None:
    class Fold(Thread):
        pass

    end = Event()
    fold = Fold(target=end.wait)
    fold.start()
    operations.watch(current_thread(), fold)
    assert get(operations, "/livez") == (200, "alive\n")
    end.set()
    fold.join()
    assert get(operations, "/livez") == (503, "ended: Fold\n")
    operations.drain()
    assert get(operations, "/livez") == (200, "alive\n")


def test_unknown_paths_and_methods_are_refused(operations: Operations) -> None:
    status, body = get(operations, "/metrics?name=x")
    assert status == 200
    assert "headgate_build_info" in body
    assert get(operations, "/metrics", "HEAD") == (200, "")
    assert get(operations, "/readyz", "HEAD") == (503, "")
    assert get(operations, "/")[0] == 404
    assert get(operations, "/metrics/../livez")[0] == 404
    assert get(operations, "/metrics", "POST")[0] == 501


def test_the_format_of_the_metrics_follows_the_accept_header(operations: Operations) -> None:
    def content_type(accept: str) -> str:
        connection = HTTPConnection("127.0.0.1", operations.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.getheader("Content-Length") == str(len(body))
        return str(answer.getheader("Content-Type"))

    assert content_type("application/openmetrics-text; version=1.0.0").startswith("application/openmetrics-text")
    assert content_type("*/*").startswith("text/plain; version=")


def test_a_reading_that_fails_does_not_end_the_server(operations: Operations) -> None:
    def failing() -> Iterator[Reading]:
        raise KeyError("gone")

    operations.metrics.read_at_scrape(["headgate_releases"], failing)
    assert get(operations, "/metrics") == (500, "see the log\n")
    assert get(operations, "/livez")[0] == 200


def test_slow_clients_do_not_delay_others(operations: Operations) -> None:
    slow = [connected(operations) for _ in range(MAX_CONNECTIONS - 1)]
    assert get(operations, "/livez")[0] == 200
    for connection in slow:
        connection.close()


def test_a_connection_above_the_limit_is_closed(operations: Operations) -> None:
    slow = [connected(operations) for _ in range(MAX_CONNECTIONS)]
    with connected(operations) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in slow:
        connection.close()


def test_the_connection_of_a_silent_client_is_closed_after_the_timeout(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations_module._Handler, "timeout", 0.05)
    with connected(operations) as silent:
        assert silent.recv(1) == b""


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6_too() -> None:
    port = free_port()
    server = Operations("deployer", "::1", port)
    connection = HTTPConnection("::1", port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()
    server.close()


def test_a_closed_server_frees_its_port_and_ends_its_thread(operations: Operations) -> None:
    operations.close()
    socket.create_server(("127.0.0.1", operations.port)).close()
    assert "operations" not in [thread.name for thread in enumerate_threads()]


def test_the_error_names_a_port_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port} for /metrics"):
            Operations("deployer", "127.0.0.1", port)
