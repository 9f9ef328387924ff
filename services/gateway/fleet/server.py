"""The gRPC server for devices: on a port of its own, on the event loop of the gateway's other servers.

Thousands of devices hold a call each, so they have a limit of their own and take none of the places of predictions.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from headgate.access.coverage import CoveredServer
from headgate.artifacts.store import ArtifactStore
from headgate.domain.state import ModelState
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.listening_port import ListeningPort, connection_limits
from headgate.runtime.rpc.pending_calls import PENDING_CALLS
from headgate.runtime.tls import TlsFiles
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_service_pb2_grpc as edge_grpc
from services.gateway.callers import Callers
from services.gateway.fleet.catalogue import Catalogue
from services.gateway.fleet.devices import MAX_WATCHES, Devices
from services.gateway.fleet.report_writer import ReportWriter, Telemetry
from services.gateway.fleet.servicer import REPORT_SECONDS, SIGN_OF_LIFE_SECONDS, EdgeServicer
from services.gateway.fleet.shared_blobs import SharedBlobs
from services.gateway.follower import Fold
from services.gateway.loop_thread import run_on
from services.gateway.routed import Routed
from services.gateway.server import CallInterceptor

logger = logging.getLogger(__name__)

MAX_CALLS = MAX_WATCHES + 1_000
MAX_REPORT_BYTES = 1 << 20
KEEPALIVE_MS = 30_000
FOLD_SECONDS = 0.02
"""Longest wait for the fold."""
START_SECONDS = 10.0
STOP_MARGIN_SECONDS = 2.0
SERVICE = f"/{edge.DESCRIPTOR.services_by_name['EdgeService'].full_name}/"


class EdgeServer:
    """Answers devices from `start` on, with the routes that `publish` was given last."""

    def __init__(
        self,
        environment: str,
        store: ArtifactStore,
        fold: Fold,
        sink: Telemetry,
        loop: asyncio.AbstractEventLoop,
        log_silent_seconds: Callable[[], float],
        metrics: Metrics,
        sign_of_life_seconds: float = SIGN_OF_LIFE_SECONDS,
        report_seconds: float = REPORT_SECONDS,
        tls: TlsFiles | None = None,
        callers: Callers | None = None,
    ) -> None:
        """With `tls` the port speaks TLS. Without `callers` it answers everybody."""
        self._tls = tls
        self._loop = loop
        self._fold = fold
        self._catalogue = Catalogue(environment, loop)
        self._blobs = SharedBlobs(store.view)
        self._writer = ReportWriter(sink, environment)
        self._calls = CallInterceptor(metrics, SERVICE, callers)
        self._servicer = EdgeServicer(
            self._catalogue,
            self._blobs,
            Devices(metrics),
            self._writer,
            self._states,
            log_silent_seconds,
            sign_of_life_seconds,
            report_seconds,
            tls is not None and tls.client_ca is not None,
        )

    def publish(self, routed: Routed) -> None:
        """Gives the routes to all devices."""
        self._catalogue.publish(routed)

    def start(self, host: str, port: int) -> int:
        """Opens the port and returns it. The loop must run. Raises CannotListen."""
        self._writer.start()
        self._listening = ListeningPort(host, port, self._tls)
        return run_on(self._loop, self._start(), START_SECONDS)

    def is_alive(self) -> bool:
        """Whether reports are written."""
        return self._writer.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Ends the watches. Reads and reports in progress get the grace."""
        try:
            run_on(self._loop, self._stop(grace_seconds), grace_seconds + STOP_MARGIN_SECONDS)
        except TimeoutError:  # predictions in progress must not suffer from it
            logger.warning("calls of devices have not ended in time")
        self._writer.close(STOP_MARGIN_SECONDS)
        self._blobs.close()
        self._listening.close()

    async def _start(self) -> int:
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            maximum_concurrent_rpcs=MAX_CALLS,
            options=[
                ("grpc.max_receive_message_length", MAX_REPORT_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
                ("grpc.so_reuseport", 1),
                *PENDING_CALLS,
                *connection_limits(),
            ],
        )
        covered: Any = CoveredServer(self._server)
        edge_grpc.add_EdgeServiceServicer_to_server(self._servicer, covered)
        port = self._listening.open(self._server)
        await self._server.start()
        return port

    async def _stop(self, grace_seconds: float) -> None:
        self._catalogue.close()
        await self._server.stop(grace_seconds)

    @contextmanager
    def _states(self) -> Iterator[Mapping[str, ModelState]]:
        """The models of the fold. Raises RpcRefused while others use it, because predictions wait for this thread."""
        if not self._fold.lock.acquire(timeout=FOLD_SECONDS):
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "busy", "the gateway reads the log now", "", FOLD_SECONDS)
        try:
            yield self._fold.models
        finally:
            self._fold.lock.release()
