"""Puts the deployer's parts together. No other file constructs them."""

from collections.abc import Iterator

import grpc

from headgate.dead_letters.burials import Burials, counting
from headgate.lifecycle.service_parts import REPLAY_SECONDS
from headgate.log import topics
from headgate.log.port import LogUnavailable
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import DEPLOYER
from headgate.runtime.observability.metrics import Reading
from headgate.telemetry.topic import TelemetryReader
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.isolation import Undecidable
from headgate.worker.loop import Issue, Worker
from headgate.worker.parts import WorkerParts
from services.deployer.events import ReleaseEvents
from services.deployer.evidence import GatewayReports, needed_since
from services.deployer.pilot import due
from services.deployer.readings import READING_NAMES, readings
from services.deployer.release_commands import set_correlation_id
from services.deployer.servicer import DeployerServicer
from services.deployer.settings import Settings

SHARE_OF_WORK = 0.4
"""Share of the grace for commands that are being sent."""
SHARE_OF_CALLS = 0.4
"""Share of the grace for calls in progress. The rest is for closing the log."""

SERVICE = worker_services.DESCRIPTOR.services_by_name["DeployerService"].full_name


class Deployer:
    """The running service: it reads the gateways' reports, steers releases and answers gRPC."""

    def __init__(self, settings: Settings) -> None:
        self._parts = parts = WorkerParts(DEPLOYER, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        self._fold, self._clock = parts.fold, parts.clock
        self._reports = GatewayReports()
        burials = Burials(parts.log, settings.name, counting(parts.metrics))
        self._reader = TelemetryReader(parts.log, self._reported, parts.metrics, burials, self._reports.missed)
        self._worker = Worker(
            parts.log, parts.fold, self._due, settings.name, parts.metrics, log_time_ms=parts.clock.now_ms
        )
        self._events = ReleaseEvents(parts.metrics, parts.fold)
        parts.metrics.read_at_scrape(READING_NAMES, self._readings)
        parts.watch_lag("deployer", topics.TELEMETRY, self._reader.positions)
        self._server = parts.serve(self._register, [SERVICE])

    def start(self) -> int:
        """Opens the port, reads the log, then begins to steer releases. Returns the port."""
        port = self._parts.open()
        with self._fold.lock:
            since_ms = needed_since(self._fold.models, self._clock.now_ms())
        self._reader.start(since_ms)
        # With only some of the reports read, one ready gateway would look like all gateways.
        if not self._reader.wait_caught_up(REPLAY_SECONDS):
            raise LogUnavailable(f"the deployer could not read {topics.TELEMETRY} within {REPLAY_SECONDS:.0f} s")
        self._events.listen()
        self._worker.start()
        self._parts.ready(self._reader, self._worker)
        return port

    def stop(self, grace_seconds: float) -> None:
        """Ends what is in progress and closes the log. Releases stay as they are until a deployer runs again."""
        deadline = Deadline(grace_seconds)
        self._parts.drain()
        self._reader.stop_soon()
        self._worker.stop(deadline.left(SHARE_OF_WORK))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._reader.close()
        self._parts.close(deadline)

    def _reported(self, record: telemetry.TelemetryRecord, timestamp_ms: int) -> None:
        self._reports.add(record, self._clock.age_seconds(timestamp_ms))

    def _due(self, at_ms: int) -> Iterator[Issue | Undecidable]:
        for work in due(self._fold.models, self._fold.environments, self._reports, at_ms, self._fold.access):
            if isinstance(work, Issue):
                set_correlation_id(work.command, self._fold.models)
            yield work

    def _readings(self) -> list[Reading]:
        with self._fold.lock:
            return list(readings(self._fold.models, self._fold.environments, self._reports, self._clock.now_ms()))

    def _register(self, server: grpc.Server) -> None:
        servicer = DeployerServicer(self._fold, self._reports, self._clock)
        worker_services_grpc.add_DeployerServiceServicer_to_server(servicer, server)


def build(settings: Settings) -> Deployer:
    """A deployer that has not started yet."""
    return Deployer(settings)
