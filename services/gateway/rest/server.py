"""The REST server of the gateway: HTTP/1.1 on a port of its own, on the event loop of the gRPC server."""

import asyncio
import socket
import time
from email.utils import formatdate

from headgate.runtime.connections import max_connections
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.quiet import await_quiet
from headgate.runtime.tls import TlsFiles
from services.gateway.callers import Callers
from services.gateway.inference import Inference
from services.gateway.loop_thread import run_on
from services.gateway.rest.connection import Connection
from services.gateway.rest.handler import Handler, Later
from services.gateway.rest.http_messages import HttpAnswer, HttpRequest
from services.gateway.rest.known_heads import KnownHeads
from services.gateway.rest.limits import MAX_BODIES_BYTES, SWEEP_SECONDS
from services.gateway.rest.port import RestPort

START_SECONDS = 10.0
STOP_MARGIN_SECONDS = 2.0
QUIET_SHARE_OF_GRACE = 0.5
POLL_SECONDS = 0.02


class RestServer:
    """Answers from the start. It drains like the gRPC server: it answers until no more requests come.

    With `tls` the port speaks TLS. Several processes may listen on a port that is shared: the kernel gives each
    connection to one of them.
    """

    def __init__(
        self,
        inference: Inference,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        metrics: Metrics,
        tls: TlsFiles | None = None,
        is_shared: bool = False,
        callers: Callers | None = None,
    ) -> None:
        """Without `callers` it answers everybody."""
        self._loop = loop
        self._connections = connections = Connections(Handler(inference, metrics, callers))
        self._listening = RestPort(
            lambda: Connection(connections, loop), loop, host, port, tls, is_shared, connections.has_room
        )

    def start(self) -> int:
        """Opens the port and returns it. The loop must run. Raises CannotListen."""
        return run_on(self._loop, self._start(), START_SECONDS)

    def drain(self) -> None:
        """From now on each connection ends with its next answer."""
        self._connections.is_draining = True

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more connections."""
        return not self._listening.is_serving

    def stop(self, grace_seconds: float) -> None:
        """Answers until no more requests come. Requests in progress get the rest of the grace."""
        deadline = Deadline(grace_seconds)
        self.drain()
        own_address, limit_seconds = self._listening.own_address, deadline.left(QUIET_SHARE_OF_GRACE)
        await_quiet(self._connections.last_request_at, own_address, limit_seconds, _ask_health)
        left_seconds = deadline.left()
        run_on(self._loop, self._close(left_seconds), left_seconds + STOP_MARGIN_SECONDS)

    async def _start(self) -> int:
        port = await self._listening.open()
        self._connections.sweep(self._loop)
        return port

    async def _close(self, limit_seconds: float) -> None:
        """Takes no more connections, and ends each one once it is idle; those that are not at the limit, at once."""
        deadline = Deadline(limit_seconds)
        await self._listening.close()
        self._connections.close_idle(self._loop.time())
        while self._connections.open and deadline.left():
            await asyncio.sleep(POLL_SECONDS)
            self._connections.close_idle(self._loop.time())
        self._listening.abort_handshakes()
        self._connections.abort_all()
        self._connections.stop()
        await asyncio.sleep(0)


class Connections:
    """The open connections of a server, and what they share."""

    def __init__(self, handler: Handler) -> None:
        self.open: set[Connection] = set()
        self.date = b""
        self.is_draining = False
        self.heads = KnownHeads()
        self.refused = handler.refused
        self._handler = handler
        self._max_connections = max_connections()
        self._bodies_bytes = 0
        self._last_request_at = time.monotonic()

    def last_request_at(self) -> float:
        """When the last request started, on the monotonic clock."""
        return self._last_request_at

    def handle(self, request: HttpRequest) -> HttpAnswer | Later:
        """The answer. Raises nothing."""
        if not request.target.startswith(b"/v2/health/"):
            self._last_request_at = time.monotonic()
        return self._handler.handle(request)

    def reserve(self, change_bytes: int) -> bool:
        """Whether so many more bytes of unfinished bodies may stay in memory."""
        self._bodies_bytes += change_bytes
        return self._bodies_bytes <= MAX_BODIES_BYTES

    def opened(self, connection: Connection) -> bool:
        """Whether the connection may stay."""
        self.open.add(connection)
        return len(self.open) <= self._max_connections

    def has_room(self, handshakes: int) -> bool:
        """Whether one more connection may come, while so many others agree on TLS."""
        return len(self.open) + handshakes < self._max_connections

    def closed(self, connection: Connection) -> None:
        """The connection has ended."""
        self.open.discard(connection)

    def sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends connections that exceed a limit of time, and does so again every SWEEP_SECONDS."""
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        now = loop.time()
        for connection in list(self.open):
            connection.sweep(now)
        self._next_sweep = loop.call_later(SWEEP_SECONDS, self.sweep, loop)

    def stop(self) -> None:
        """Looks at no limits any more."""
        self._next_sweep.cancel()

    def close_idle(self, now: float) -> None:
        """Ends the connections on which nothing has happened for a moment."""
        for connection in list(self.open):
            connection.close_idle(now)

    def abort_all(self) -> None:
        """Ends all connections at once."""
        for connection in list(self.open):
            connection.abort()


def _ask_health(address: str, deadline: Deadline) -> None:
    """One request of our own. A server starts requests in the order in which they came."""
    try:
        with _connected(address, deadline.left()) as asking:
            asking.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: self\r\nConnection: close\r\n\r\n")
            while asking.recv(1024):
                pass
    except OSError:
        return


def _connected(address: str, timeout_seconds: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    if host:
        return socket.create_connection((host.strip("[]"), int(port)), timeout_seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_seconds)
    connection.connect(address)
    return connection
