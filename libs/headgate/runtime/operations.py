"""The HTTP door of operations: /metrics, /livez and /readyz, on a port of its own and in threads of its own.

Nothing behind it asks the log, Redis or another service, so it answers while all of them are away.
"""

import logging
import socket
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Protocol

from headgate.runtime.errors import CannotListen
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import count_invalid_by

MAX_CONNECTIONS = 16
"""More at once are closed without an answer: Prometheus and a kubelet need two."""
REQUEST_SECONDS = 5.0
CLOSING_SECONDS = 0.1
"""How soon the door notices that it is to be closed."""
STARTING, READY, DRAINING = "starting", "ready", "draining"
TEXT = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)
Answer = tuple[HTTPStatus, bytes, str]


class Loop(Protocol):
    """A part of the process that runs in a thread of its own."""

    def is_alive(self) -> bool: ...


class Operations:
    """A process's metrics and what it says of its own state. Port 0: no door, the rest works."""

    def __init__(self, service: str, host: str, port: int) -> None:
        self.metrics = Metrics(service)
        count_invalid_by(self.metrics.counter("headgate_invalid_trace_parents_total").labels().inc)
        self.port = port
        self._state = STARTING
        self._loops: tuple[Loop, ...] = ()
        self._is_ready = self.metrics.gauge("headgate_ready").labels()
        self._server: _Server | None = None
        if port:
            self._server = _listen(host, port, self._answer)
            serve = partial(self._server.serve_forever, CLOSING_SECONDS)
            threading.Thread(target=serve, name="operations", daemon=True).start()

    def watch(self, *loops: Loop) -> None:
        """Loops without which the process is of no use: /livez fails once one of them has ended."""
        self._loops = (*self._loops, *loops)

    def ready(self) -> None:
        """The service takes work, unless it drains already."""
        if self._state == STARTING:
            self._state = READY
            self._is_ready.set(1)

    def drain(self) -> None:
        """The service takes no more work and ends; its loops may end too."""
        self._state = DRAINING
        self._is_ready.set(0)
        self._loops = ()

    def close(self) -> None:
        """Lets go of the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, path: str, accept: str) -> Answer:
        match path:
            case "/metrics":
                body, content_type = self.metrics.exposition(accept)
                return HTTPStatus.OK, body, content_type
            case "/livez":
                ended = [type(loop).__name__ for loop in self._loops if not loop.is_alive()]
                return _text(f"ended: {', '.join(ended)}" if ended else "alive", not ended)
            case "/readyz":
                return _text(self._state, self._state == READY)
            case _:
                return HTTPStatus.NOT_FOUND, b"there are /metrics, /livez and /readyz\n", TEXT


def _text(line: str, well: bool) -> Answer:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, f"{line}\n".encode(), TEXT


class _Server(ThreadingTCPServer):
    """Not http.server's own: that one looks its host up in the DNS when it starts."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], answer: Callable[[str, str], Answer]) -> None:
        self.answer = answer
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("a client of the operations door went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version, sys_version = "headgate", ""

    def do_GET(self) -> None:
        try:
            status, body, content_type = self.server.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
        except Exception:  # one failing reading must not end the door
            logger.exception("the operations door failed", extra={"path": self.path})
            status, body, content_type = HTTPStatus.INTERNAL_SERVER_ERROR, b"see the log\n", TEXT
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Probes and scrapes are no news."""


def _listen(host: str, port: int, answer: Callable[[str, str], Answer]) -> _Server:
    try:
        return _Server((host, port), answer)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port} for /metrics: {error.strerror}") from error
