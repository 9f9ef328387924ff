"""What the trainer, the evaluator and the deployer have beside the parts of every service, and their start and end."""

from collections.abc import Callable, Sequence

import grpc

from headgate.lifecycle.authentication_setting import AuthenticatedSettings, access_check
from headgate.lifecycle.service_parts import ServiceParts
from headgate.runtime.operations import Loop
from headgate.runtime.rpc.metrics import RpcMetrics
from headgate.runtime.rpc.server import GrpcServer
from headgate.telemetry.clock_watch import ClockWatch
from headgate.telemetry.topic import TelemetryWriter


class WorkerParts(ServiceParts):
    """The parts of a service that works from its fold. It needs the log's time before it decides what is due."""

    def __init__(self, service: str, settings: AuthenticatedSettings) -> None:
        super().__init__(service, settings)
        self.telemetry = TelemetryWriter(self.log, settings.name)
        self._host, self._port = settings.host, settings.port
        self._access = access_check(settings, self)
        self._clock_watch = ClockWatch(self.clock, self.telemetry, self.metrics)

    def serve(self, register: Callable[[grpc.Server], None], service_names: Sequence[str]) -> GrpcServer:
        """Makes the gRPC server of what `register` adds. `open` starts it, and whoever gets it stops it."""
        self._server = GrpcServer(
            self._port,
            [register],
            service_names,
            [RpcMetrics(self.metrics)],
            host=self._host,
            tls=self.tls,
            access=self._access,
        )
        return self._server

    def open(self) -> int:
        """Opens the port, folds the log and waits for the log's time. Returns the port.

        Raises CannotListen, LogUnavailable and RecordsLost.
        """
        port = self._server.start()
        self.start()
        self.await_replay()
        self._clock_watch.await_time()
        self._clock_watch.start()
        return port

    def ready(self, *loops: Loop) -> None:
        """Reports the service as ready, watches its loops and takes calls."""
        super().ready(*loops, self._clock_watch)
        self._server.admit()

    def drain(self) -> None:
        """Reports the service as not ready: it takes no more work, and its streams end."""
        super().drain()
        self._clock_watch.stop_soon()
        self._server.drain()
