"""A service's gRPC server: its servicers with health, reflection, limits and error handling."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from headgate.access.coverage import CoveredServer
from headgate.runtime.deadline import Deadline
from headgate.runtime.rpc.admission import Admission
from headgate.runtime.rpc.errors import ErrorInterceptor
from headgate.runtime.rpc.listening_port import ListeningPort, connection_limits
from headgate.runtime.rpc.pending_calls import PENDING_CALLS
from headgate.runtime.rpc.quiet import await_quiet
from headgate.runtime.rpc.work import RpcWork
from headgate.runtime.tls import TlsFiles

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Far above what a request needs. So a request that is too large reaches the rule that refuses and records it."""
DEFAULT_HOST = "127.0.0.1"
QUIET_SHARE_OF_GRACE = 0.5
STOP_MARGIN_SECONDS = 1.0


class GrpcServer:
    """Serves what `add` registers; the names in `service_names` are reported by health and reflection.

    `interceptors` are the outermost ones, so they see the status that the caller gets. With `tls` the port speaks TLS.
    `access` is the innermost one, and decides who may call what. Without it everybody may do all.
    Raises MethodWithoutRow when the policy table does not say who may call a method.
    """

    def __init__(
        self,
        port: int,
        add: Sequence[Callable[[grpc.Server], None]],
        service_names: Sequence[str],
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        threads: int = 16,
        host: str = DEFAULT_HOST,
        tls: TlsFiles | None = None,
        access: grpc.ServerInterceptor | None = None,
    ) -> None:
        self._listening = ListeningPort(host, port, tls)
        self.port = 0
        self._names = tuple(service_names)
        self._admission = Admission()
        asks_callers = tls is not None and tls.client_ca is not None
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=[
                *interceptors,
                RpcWork(peers=asks_callers),
                ErrorInterceptor(),
                self._admission,
                *([access] if access else ()),
            ],
            options=[
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
                *PENDING_CALLS,
                *connection_limits(),
            ],
        )
        covered: Any = CoveredServer(self._server)
        for register in add:
            register(covered)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, covered)
        names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, covered)

    def start(self) -> int:
        """Listens and returns the bound port. Health reports NOT_SERVING and calls are refused. Raises CannotListen."""
        self.port = self._listening.open(self._server)
        self._report_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._server.start()
        return self.port

    def admit(self) -> None:
        """Accepts calls, and reports SERVING in health."""
        self._admission.open.set()
        self._report_health(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Reports NOT_SERVING from now on and ends streams. Other calls are still answered."""
        self._health.enter_graceful_shutdown()
        self._admission.draining.set()

    def stop(self, grace_seconds: float) -> None:
        """Drains until no more calls come, then refuses new calls and gives running ones the rest of the grace."""
        deadline = Deadline(grace_seconds)
        self.drain()
        if self.port:
            own_address, limit_seconds = self._listening.own_address, deadline.left(QUIET_SHARE_OF_GRACE)
            await_quiet(self._admission.last_call_at, own_address, limit_seconds)
        left_seconds = deadline.left()
        self._server.stop(left_seconds).wait(left_seconds + STOP_MARGIN_SECONDS)
        self._listening.close()

    def _report_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *self._names):
            self._health.set(name, status)
