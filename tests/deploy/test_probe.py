"""The image's health check: what a service says of itself, turned into an exit code."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headgate.client import probe


@contextmanager
def operations_door(status: int) -> Iterator[str]:
    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer((probe.HOST, 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def test_a_service_that_takes_work_is_ready():
    with operations_door(200) as port:
        assert probe.problem({"HEADGATE_METRICS_PORT": port}) == ""


def test_a_service_that_drains_is_not():
    with operations_door(503) as port:
        assert probe.problem({"HEADGATE_METRICS_PORT": port}).endswith("/readyz answered 503")


def test_a_service_that_is_not_there_is_not():
    with operations_door(200) as port:
        pass
    assert "refused" in probe.problem({"HEADGATE_METRICS_PORT": port})


def test_a_door_is_asked_by_grpc_where_there_is_no_operations_door(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.1)
    assert probe.problem({"HEADGATE_PORT": "1"}) == "127.0.0.1:1 does not answer as healthy"


def test_the_environment_has_to_say_where():
    assert "neither" in probe.problem({})


def test_it_ends_with_a_sentence_and_so_with_1(monkeypatch):
    monkeypatch.setattr(probe.os, "environ", {})
    with pytest.raises(SystemExit) as ended:
        probe.main()
    assert str(ended.value.code).startswith("not ready: ")
