"""The health check of the images: it turns the readiness of a service into an exit code."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headgate.client import probe
from headgate.runtime.operations import Operations
from tests.certificates.issued import Issued
from tests.runtime.test_operations import free_port


@contextmanager
def http_port(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer((probe.HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def test_a_service_that_takes_work_is_ready():
    with http_port(200) as port:
        assert probe.problem({"HEADGATE_METRICS_PORT": port}) == ""


def test_a_service_that_drains_is_not_ready():
    with http_port(503) as port:
        assert probe.problem({"HEADGATE_METRICS_PORT": port}).endswith("/readyz answered 503")


def test_a_service_that_does_not_answer_is_not_ready():
    with http_port(200) as port:
        pass
    assert "refused" in probe.problem({"HEADGATE_METRICS_PORT": port})


def test_a_service_with_a_certificate_is_asked_by_tls_and_only_its_own_is_taken(tmp_path):
    issued = Issued(tmp_path)
    files = issued.server("registry")
    operations = Operations("registry", probe.HOST, free_port(), files)
    try:
        environ = {"HEADGATE_METRICS_PORT": str(operations.port), "HEADGATE_TLS_CERTIFICATE": str(files.certificate)}
        assert probe.problem(environ).endswith("/readyz answered 503")
        operations.ready()
        assert probe.problem(environ) == ""
        other = environ | {"HEADGATE_TLS_CERTIFICATE": str(issued.pair("trainer"))}
        assert "certificate verify failed" in probe.problem(other)
    finally:
        operations.close()


def test_a_service_without_an_http_port_is_asked_by_grpc(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.1)
    assert probe.problem({"HEADGATE_PORT": "1"}) == "127.0.0.1:1 does not answer as healthy"


def test_the_environment_must_name_a_port():
    assert "set HEADGATE_METRICS_PORT or HEADGATE_PORT" in probe.problem({})


def test_the_probe_exits_1_with_the_reason_when_a_service_is_not_ready(monkeypatch):
    monkeypatch.setattr(probe.os, "environ", {})
    with pytest.raises(SystemExit) as ended:
        probe.main()
    assert str(ended.value.code).startswith("not ready: ")


@pytest.mark.parametrize("variable", ["HEADGATE_METRICS_PORT", "HEADGATE_PORT"])
@pytest.mark.parametrize("port", ["99999", "-1", "many"])
def test_the_probe_asks_no_port_that_does_not_exist_and_exits_2(variable, port, monkeypatch, capsys):
    monkeypatch.setattr(probe.os, "environ", {variable: port})
    with pytest.raises(SystemExit) as ended:
        probe.main()
    assert (ended.value.code, f"{variable}={port!r}: expected a" in capsys.readouterr().err) == (2, True)
