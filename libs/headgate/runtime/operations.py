"""The HTTP server for operations: /metrics, /livez and /readyz, on a port of its own and in threads of its own.

It asks neither the log nor Redis nor another service, so it also answers while they cannot be reached.
"""

import io
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from headgate.runtime.errors import CannotListen
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import count_invalid_by
from headgate.runtime.refused_handshakes import RefusedHandshakes
from headgate.runtime.tls import TlsFiles, TlsUnusable, WatchedTls

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_CONNECTIONS = 16
"""Further connections are closed without an answer. Prometheus and a kubelet need two."""
REQUEST_SECONDS = 5.0
CLOSING_SECONDS = 1.0
STARTING, READY, DRAINING = "starting", "ready", "draining"

logger = logging.getLogger(__name__)


class Loop(Protocol):
    """A part of the process that runs in a thread of its own."""

    def is_alive(self) -> bool: ...


class Operations:
    """The metrics and the state of a process. With port 0 there is no HTTP server; everything else works."""

    def __init__(self, service: str, host: str, port: int, tls: TlsFiles | None = None) -> None:
        """With `tls` the port speaks TLS, and asks nobody for a certificate: a kubelet's probe has none."""
        self.metrics = Metrics(service)
        count_invalid_by(self.metrics.counter("headgate_invalid_trace_parents_total").labels().inc)
        self.port = port
        self._state = STARTING
        self._loops: tuple[Loop, ...] = ()
        self._is_ready = self.metrics.gauge("headgate_ready").labels()
        self._show_metrics = self.metrics.application()
        self._server = _listen(host, port, self._answer, tls) if port else None

    def watch(self, *loops: Loop) -> None:
        """Adds loops that the process needs: /livez fails once one of them has ended."""
        self._loops = (*self._loops, *loops)

    def ended(self) -> list[str]:
        """The loops that the process needs and that have ended."""
        return [type(loop).__name__ for loop in self._loops if not loop.is_alive()]

    def show(self, application: "WSGIApplication") -> None:
        """From now on this application answers /metrics, in place of the one for this process alone."""
        self._show_metrics = application

    def ready(self) -> None:
        """Records that the service takes work, unless it already drains."""
        if self._state == STARTING:
            self._state = READY
            self._is_ready.set(1)

    def drain(self) -> None:
        """Records that the service takes no more work; from now on its loops may end."""
        self._state = DRAINING
        self._is_ready.set(0)
        self._loops = ()

    def close(self) -> None:
        """Stops the server and frees the port."""
        if self._server is not None:
            self._server.close()

    def _answer(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        try:
            match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
                case "HEAD", _:
                    self._answer({**environ, "REQUEST_METHOD": "GET"}, start)
                    return iter((b"",))  # not a list: wsgiref would report its length as the content's
                case "GET", "/metrics":
                    return self._show_metrics(environ, start)
                case "GET", "/livez":
                    ended = self.ended()
                    return _text(start, _status(not ended), f"ended: {', '.join(ended)}" if ended else "alive")
                case "GET", "/readyz":
                    return _text(start, _status(self._state == READY), self._state)
                case "GET", _:
                    return _text(start, HTTPStatus.NOT_FOUND, "not found: the paths are /metrics, /livez and /readyz")
                case _:
                    return _text(start, HTTPStatus.NOT_IMPLEMENTED, "not supported: send GET or HEAD")
        except Exception:  # one reading that fails must not end the server
            logger.exception("a request for operations failed", extra={"path": environ["PATH_INFO"]})
            return _text(start, HTTPStatus.INTERNAL_SERVER_ERROR, "see the log")


def _status(is_well: bool) -> HTTPStatus:
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE


def _text(start: "StartResponse", status: HTTPStatus, line: str) -> list[bytes]:
    start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{line}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], application: "WSGIApplication", tls: TlsFiles | None) -> None:
        self._refused = RefusedHandshakes("operations")
        self._tls = _Encryption(TlsFiles(tls.certificate, tls.key)) if tls else None
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._closing = False
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.set_app(application)
        self._thread = threading.Thread(target=self._serve, name="operations", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Binds as WSGIServer does, but without a DNS lookup."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        request, client_address = super().get_request()
        return (self._tls.wrapped(request) if self._tls else request), client_address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if error := sys.exception():
            self._refused.note(error, client_address)
        logger.debug("a client of the operations port went away", exc_info=True)

    def close(self) -> None:
        self._closing = True
        with suppress(OSError):  # the thread waits for a connection without a timeout, so this one wakes it
            socket.create_connection((self.server_name, self.server_port), CLOSING_SECONDS).close()
        self._thread.join(CLOSING_SECONDS)
        self.server_close()

    def _serve(self) -> None:
        while not self._closing:
            self.handle_request()


class _Encryption:
    """Has each connection speak TLS by the newest certificate."""

    def __init__(self, files: TlsFiles) -> None:
        self._watched = WatchedTls(files)
        self._context = files.context()

    def wrapped(self, connection: socket.socket) -> ssl.SSLSocket:
        """The connection, on which nothing has been said yet: the first byte that is read agrees on TLS."""
        if self._watched.renewed():
            with suppress(TlsUnusable):  # the files have changed again, and the next connection reads them
                self._context = self._watched.files.context()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: probes and scrapes come all the time."""

    def get_stderr(self) -> Any:
        """A stream that nobody reads: wsgiref would print a traceback when a client reads too slowly."""
        return io.StringIO()


def _listen(host: str, port: int, application: "WSGIApplication", tls: TlsFiles | None) -> _Server:
    try:
        return _Server((host, port), application, tls)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port} for /metrics: {error.strerror}") from error
