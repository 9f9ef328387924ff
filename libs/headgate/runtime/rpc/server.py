"""A service's gRPC door: servicers with health, reflection, limits and one place for errors."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from headgate.runtime.deadline import Deadline
from headgate.runtime.errors import CannotListen
from headgate.runtime.rpc.admission import Admission
from headgate.runtime.rpc.errors import ErrorInterceptor
from headgate.runtime.rpc.work import RpcWork

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Well above what any request needs: one that is too large is refused by its own rule and recorded, not cut off."""
DEFAULT_HOST = "127.0.0.1"
QUIET_SHARE_OF_GRACE = 0.5
STOP_MARGIN_SECONDS = 1.0


class GrpcServer:
    """Serves what `add` registers; the names in `service_names` are reported by health and reflection.

    `interceptors` stand around all others, so that they see the status a caller gets.
    """

    def __init__(
        self,
        port: int,
        add: Sequence[Callable[[grpc.Server], None]],
        service_names: Sequence[str],
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        threads: int = 16,
        host: str = DEFAULT_HOST,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self.port = 0
        self._names = tuple(service_names)
        self._admission = Admission()
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=[*interceptors, RpcWork(), ErrorInterceptor(), self._admission],
            options=[
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        for register in add:
            register(self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    def start(self) -> int:
        """Listens; returns the bound port. Health says NOT_SERVING and no call is let in. Raises CannotListen."""
        address = f"{self._host}:{self._wanted_port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {address}: is it taken?") from error
        self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._server.start()
        return self.port

    def admit(self) -> None:
        """Lets calls in and says so in health."""
        self._admission.open.set()
        self._say(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Says NOT_SERVING for good, and has streams end; other calls are still answered."""
        self._health.enter_graceful_shutdown()
        self._admission.draining.set()

    def stop(self, grace_seconds: float) -> None:
        """Serves on until it is quiet, then turns new calls away and gives those under way the grace to end."""
        deadline = Deadline(grace_seconds)
        self.drain()
        # A stopping gRPC server cancels the calls that it has read but not yet begun: let it begin them first.
        self._admission.wait_quiet(deadline.left(QUIET_SHARE_OF_GRACE))
        left_seconds = deadline.left()
        self._server.stop(left_seconds).wait(left_seconds + STOP_MARGIN_SECONDS)

    def _say(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *self._names):
            self._health.set(name, status)
