"""The gateway's gRPC server on h2corn: HTTP/2, TLS and their limits in Rust, outside Python's lock, calls as ASGI."""

import asyncio
import logging
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2

from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.connections import max_connections
from headgate.runtime.deadline import Deadline
from headgate.runtime.errors import CannotListen
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.listening_port import HANDSHAKE_SECONDS
from headgate.runtime.tls import TlsFiles, WatchedTls
from services.gateway.asgi.methods import AsgiMethods
from services.gateway.asgi.wire import PREFIX_BYTES
from services.gateway.callers import MODEL_INFER, Callers
from services.gateway.inference import Inference
from services.gateway.loop_thread import STOP_MARGIN_SECONDS
from services.gateway.server import (
    MAX_CONCURRENT_CALLS,
    QUIET_SHARE_OF_GRACE,
    LoopServer,
    add_services,
    report,
)
from services.gateway.servicer import InferenceServicer

if TYPE_CHECKING:
    from h2corn import Config, Server

logger = logging.getLogger(__name__)

IS_INSTALLED = find_spec("h2corn") is not None
"""It has wheels for Linux and macOS on x86-64 and on ARM."""

BACKLOG = 1_024
MAX_STREAMS = 1_024
"""Calls of one connection at once."""
MAX_HEADER_BYTES = 16 * 1024
WINDOW_BYTES = 1024 * 1024
"""What a caller may send before it is read, on a call and on a connection."""
BODY_SECONDS = 60.0
"""How long a request may pause while it comes."""
STALL_SECONDS = 60.0
"""How long a caller may take nothing of its answer."""
IDLE_SECONDS = 3_600.0
"""How long a connection may stay open without a call."""
RENEWAL_SECONDS = 600.0
"""How long the calls of a connection may go on that has the certificate before the present one."""
LOOK_SECONDS = 1.0


class H2cornServer(LoopServer):
    """Answers calls from the start. Health reports SERVING after `set_ready`. With `tls` the port speaks TLS.

    Without `callers` it answers everybody.
    """

    def __init__(
        self,
        inference: Inference,
        servicer: InferenceServicer,
        host: str,
        port: int,
        metrics: Metrics,
        tls: TlsFiles | None = None,
        callers: Callers | None = None,
    ) -> None:
        super().__init__()
        self._host, self._port, self._tls = host, port, tls
        self._methods = AsgiMethods(inference, metrics, callers)
        self._health = add_services(servicer, self._methods)

    def is_alive(self) -> bool:
        """Whether the event loop runs, and the engine on it."""
        return self._loop.is_alive() and not self._serving.done()

    def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING and answers until no more calls come. Calls in progress get the rest of the grace."""
        deadline = Deadline(grace_seconds)
        self.drain()
        self._loop.run(self._stop(deadline), grace_seconds + STOP_MARGIN_SECONDS)
        self._loop.stop()

    async def _start(self) -> int:
        host = self._host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (host, self._port), family=family, backlog=BACKLOG, reuse_port=True, dualstack_ipv6=host == "::"
            )
        except OSError as error:
            address = f"{self._host}:{self._port}"
            raise CannotListen(f"cannot listen on {address}: does another process use the port?") from error
        await report(self._health, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._watched = WatchedTls(self._tls) if self._tls else None
        self._server, self._serving = await self._serve()
        self._looking = asyncio.ensure_future(self._follow_certificate())
        return int(self._socket.getsockname()[1])

    async def _serve(self) -> "tuple[Server, asyncio.Task[None]]":
        """The engine on the socket, once it takes connections."""
        from h2corn import Server, _lib

        # It would print lines of its own form among those of the log, at each start.
        _lib.emit_banner = _no_banner  # type: ignore[assignment]
        server = Server(self._methods, _config(self._socket.fileno(), self._tls))
        running = asyncio.ensure_future(server.serve())
        await server.wait_started()
        return server, running

    async def _follow_certificate(self) -> None:
        """Starts the engine again beside itself when the certificate is new. The last one ends its calls."""
        while self._watched:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._watched.renewed():
                continue
            try:
                server, running = await self._serve()
            except ValueError as error:
                logger.warning("the new certificate cannot be used, so the last one stays: %s", error)
                continue
            self._server.shutdown()
            self._server, self._serving = server, running

    async def _stop(self, deadline: Deadline) -> None:
        self._looking.cancel()
        await self._methods.await_quiet(deadline.left(QUIET_SHARE_OF_GRACE))
        self._server.shutdown()
        await self._methods.await_ended(deadline.left())
        await asyncio.wait({self._serving}, timeout=STOP_MARGIN_SECONDS / 2)
        self._socket.close()


def _no_banner(*_: object) -> None:
    """Prints nothing."""


def _config(descriptor: int, tls: TlsFiles | None) -> "Config":
    from h2corn import Config, RequestPolicy

    files: dict[str, Any] = {"certfile": tls.certificate, "keyfile": tls.key} if tls else {}
    if tls and tls.client_ca:
        files |= {"ca_certs": tls.client_ca, "cert_reqs": "required"}
    return Config(
        bind=(f"fd://{descriptor}",),
        grpc=True,
        http1=False,
        lifespan="off",
        access_log=False,
        log_format="json",
        date_header=False,
        runtime_threads=1,
        max_concurrent_streams=MAX_STREAMS,
        h2_max_header_list_size=MAX_HEADER_BYTES,
        h2_max_header_block_size=MAX_HEADER_BYTES,
        h2_initial_stream_window_size=WINDOW_BYTES,
        h2_initial_connection_window_size=WINDOW_BYTES,
        limit_connections=max_connections(),
        limit_concurrency=2 * MAX_CONCURRENT_CALLS,
        timeout_handshake=HANDSHAKE_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
        h2_timeout_response_stall=STALL_SECONDS,
        timeout_graceful_shutdown=RENEWAL_SECONDS,
        request_policies=(
            RequestPolicy(
                path=MODEL_INFER,
                max_request_body_size=MAX_MESSAGE_BYTES + PREFIX_BYTES,
                timeout_request_body_idle=BODY_SECONDS,
                h2_timeout_response_stall=STALL_SECONDS,
            ),
        ),
        **files,
    )
