"""Puts the deployer together; the only place that does."""

import grpc

from headgate.dead_letters.burials import Burials, counting
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import LogUnavailable
from headgate.log.startup import await_log
from headgate.runtime.clock import now_ms
from headgate.runtime.deadline import Deadline, within
from headgate.runtime.observability.log_metrics import FoldMetrics, LagWatch, Reader
from headgate.runtime.observability.metric_catalogue import DEPLOYER
from headgate.runtime.observability.metrics import Reading
from headgate.runtime.operations import Operations
from headgate.runtime.rpc.metrics import RpcMetrics
from headgate.runtime.rpc.server import GrpcServer
from headgate.telemetry.topic import TelemetryReader
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.loop import Issue, Worker
from services.deployer.events import ReleaseEvents
from services.deployer.evidence import GatewayReports, needed_since
from services.deployer.figures import FIGURES, figures
from services.deployer.orders import correlate
from services.deployer.pilot import due
from services.deployer.servicer import DeployerServicer
from services.deployer.settings import Settings

CATCH_UP_SECONDS = 600.0
"""For the facts, and again for the telemetry of the oldest release under way."""
SHARE_OF_WORK = 0.4
"""Of the grace, for the orders in hand; what they leave is for calls under way and for leaving the log."""
SHARE_OF_CALLS = 0.4

SERVICE = worker_services.DESCRIPTOR.services_by_name["DeployerService"].full_name


class Deployer:
    """The running service: a fold, the gateways' reports, the loop that pilots, and the door."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name
        self.grace_seconds = settings.grace_seconds
        self._operations = Operations(DEPLOYER, settings.host, settings.metrics_port)
        metrics = self._operations.metrics
        self._log = await_log(settings.log, settings.log_wait_seconds)
        self._fold = LifecycleFold(self._log, FoldMetrics(metrics))
        self._reports = GatewayReports()
        burials = Burials(self._log, settings.name, counting(metrics))
        self._hearing = TelemetryReader(self._log, self._reports.take, metrics, burials)
        self._worker = Worker(self._log, self._fold, self._due, settings.name, metrics)
        self._events = ReleaseEvents(metrics, self._fold)
        metrics.read_at_scrape(FIGURES, self._figures)
        fold = Reader("fold", topics.LIFECYCLE, self._fold.positions)
        hearing = Reader("deployer", topics.TELEMETRY, self._hearing.positions)
        self._lag = LagWatch(self._log, metrics, [fold, hearing])
        self._server = GrpcServer(
            settings.port, [self._register], [SERVICE], interceptors=[RpcMetrics(metrics)], host=settings.host
        )

    def start(self) -> int:
        """Opens the door, reads what there is, and then begins to pilot; returns the port."""
        port = self._server.start()
        self._fold.start()
        self._lag.start()
        if not self._fold.wait_caught_up(CATCH_UP_SECONDS):
            raise LogUnavailable(f"the facts were not read within {CATCH_UP_SECONDS:.0f} s")
        with self._fold.lock:
            since_ms = needed_since(self._fold.models, now_ms())
        self._hearing.start(since_ms)
        # Half of the gateways' reports would make one ready gateway look like all of them.
        if not self._hearing.wait_caught_up(CATCH_UP_SECONDS):
            raise LogUnavailable(f"the telemetry was not read within {CATCH_UP_SECONDS:.0f} s")
        self._events.listen()
        self._worker.start()
        self._operations.watch(self._fold, self._hearing, self._worker)
        self._server.admit()
        self._operations.ready()
        return port

    def stop(self, grace_seconds: float) -> None:
        """Closes the door and leaves the log. Releases stay as they are until a deployer comes back."""
        deadline = Deadline(grace_seconds)
        self._operations.drain()
        self._lag.close()
        self._hearing.stop_soon()
        self._server.drain()
        self._worker.stop(deadline.left(SHARE_OF_WORK))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._hearing.close()
        self._fold.close()
        within(deadline.left(), self._log.close)
        self._operations.close()

    def _due(self, at_ms: int) -> list[Issue]:
        issues = due(self._fold.models, self._fold.environments, self._reports, at_ms)
        for issue in issues:
            correlate(issue.command, self._fold.models)
        return issues

    def _figures(self) -> list[Reading]:
        with self._fold.lock:
            return list(figures(self._fold.models, self._fold.environments, self._reports, now_ms()))

    def _register(self, server: grpc.Server) -> None:
        servicer = DeployerServicer(self._fold, self._reports)
        worker_services_grpc.add_DeployerServiceServicer_to_server(servicer, server)


def build(settings: Settings) -> Deployer:
    """A deployer that has not started yet."""
    return Deployer(settings)
