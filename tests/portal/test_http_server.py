"""The console's HTTP port: whoever sends no request holds no connection."""

import socket
from collections.abc import Iterator

import pytest
from starlette.responses import PlainTextResponse

from services.portal import http_server
from services.portal.http_server import HttpServer
from tests.waiting import PATIENCE_SECONDS

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
ENDING_REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    server = HttpServer(PlainTextResponse("well"), "127.0.0.1", 0, None)
    yield server.start()
    server.stop(1.0)


def answers(port: int, sent: bytes) -> int:
    """How many requests were answered before the server closed the connection."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4_096), b"")).count(b"200 OK")


@pytest.mark.parametrize("sent", [b"", REQUEST[:20], REQUEST + REQUEST[:20]])
def test_a_connection_whose_next_request_does_not_come_is_closed(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.1)
    assert answers(port, sent) == sent.count(REQUEST)


def test_requests_that_come_are_answered_one_after_the_other(port: int):
    assert answers(port, REQUEST + REQUEST + ENDING_REQUEST) == 3
