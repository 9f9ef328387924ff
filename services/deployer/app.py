"""Puts the deployer together; the only place that does."""

import grpc

from headgate.log.at_start import await_log
from headgate.log.fold import LifecycleFold
from headgate.log.port import LogUnavailable
from headgate.runtime.clock import now_ms
from headgate.runtime.grpc_server import GrpcServer
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.dead_letters import Burials
from headgate.worker.loop import Issue, Worker
from headgate.worker.telemetry import TelemetryReader
from services.deployer.evidence import Observations, needed_since
from services.deployer.pilot import due
from services.deployer.servicer import DeployerServicer
from services.deployer.settings import Settings

CATCH_UP_SECONDS = 600.0
"""For the facts, and again for the telemetry of the oldest release under way."""

SERVICE = worker_services.DESCRIPTOR.services_by_name["DeployerService"].full_name


class Deployer:
    """The running service: a fold, the gateways' reports, the loop that pilots, and the door."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name
        self._log = await_log(settings.log, settings.log_wait_seconds)
        self._fold = LifecycleFold(self._log)
        self._observations = Observations()
        self._hearing = TelemetryReader(self._log, self._observations.take, Burials(self._log, settings.name))
        self._worker = Worker(self._log, self._fold, self._due, settings.name)
        self._server = GrpcServer(settings.port, [self._register], [SERVICE], host=settings.host)

    def start(self) -> int:
        """Reads what there is, begins to pilot and answers its port once the door is open."""
        self._fold.start()
        if not self._fold.wait_caught_up(CATCH_UP_SECONDS):
            raise LogUnavailable(f"the facts were not read within {CATCH_UP_SECONDS:.0f} s")
        with self._fold.lock:
            since_ms = needed_since(self._fold.models, now_ms())
        self._hearing.start(since_ms)
        # Half of the gateways' reports would make one ready gateway look like all of them.
        if not self._hearing.wait_caught_up(CATCH_UP_SECONDS):
            raise LogUnavailable(f"the telemetry was not read within {CATCH_UP_SECONDS:.0f} s")
        self._worker.start()
        return self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Closes the door and leaves the log. Releases stay as they are until a deployer comes back."""
        self._server.stop(grace_seconds)
        self._worker.stop(grace_seconds)
        self._hearing.close()
        self._fold.close()
        self._log.close()

    def _due(self, at_ms: int) -> list[Issue]:
        return due(self._fold.models, self._fold.environments, self._observations, at_ms)

    def _register(self, server: grpc.Server) -> None:
        servicer = DeployerServicer(self._fold, self._observations)
        worker_services_grpc.add_DeployerServiceServicer_to_server(servicer, server)


def build(settings: Settings) -> Deployer:
    """A deployer that has not started yet."""
    return Deployer(settings)
