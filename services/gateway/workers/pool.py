"""A gateway of several processes on the same ports: the parent starts them, and shows them as one gateway.

The workers follow the log, load and answer, each for itself. The kernel gives each new connection to one of them. The
parent serves no prediction: it reports one status, shows one page of metrics, and starts a worker that ended again.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping

from headgate.lifecycle.service_parts import opened_log, tls_files
from headgate.runtime.deadline import Deadline, run_within
from headgate.runtime.errors import CannotListen
from headgate.runtime.observability.merged_metrics import MergedMetrics
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.observed_log import ObservedLog
from headgate.runtime.operations import Operations
from headgate.runtime.service import FATAL_EXITS
from headgate.runtime.settings import SettingsError
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.evidence import EvidenceCounters
from services.gateway.reporter import Reporter
from services.gateway.settings import Settings
from services.gateway.workers.merged_routes import merged_routes
from services.gateway.workers.worker import Worker

LOOK_SECONDS = 0.1
"""Time between two looks at the workers."""
SCRAPE_SECONDS = 2.0
"""How long a scrape waits for the workers' metrics."""
STOP_MARGIN_SECONDS = 2.0
"""How long a worker may take after its grace before it is killed."""

logger = logging.getLogger(__name__)


class WorkerPool:
    """Ready once every worker has opened its ports. Without one that answers it reports nothing."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.name, self.grace_seconds = settings.name, settings.grace_seconds
        self._settings = settings
        self._operations = Operations(GATEWAY, settings.host, settings.metrics_port, tls_files(settings))
        self._own = self._operations.metrics
        self._own.gauge("headgate_gateway_info").labels(settings.environment).set(1)
        self._log = ObservedLog(opened_log(settings), self._own)
        self._metrics = MergedMetrics(GATEWAY, self._pages)
        self._operations.show(self._metrics.application())
        self._reservations = [_reserved(settings.host, port) for port in (settings.port, settings.rest_port)]
        ports: list[int] = [each.getsockname()[1] for each in self._reservations]
        self._port, self._rest_port = ports
        self._workers = [
            Worker(number, worker_environ(settings, environ, *ports), self._changed, self._metrics.retire)
            for number in range(settings.gateway_workers)
        ]
        self._settled = threading.Event()
        self._stop_at: Deadline | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="workers", daemon=True)
        host = settings.advertise
        self._reporter = Reporter(
            TelemetryWriter(self._log, settings.name),
            self._routes,
            EvidenceCounters(),
            settings.environment,
            f"{host}:{self._port}",
            f"{host}:{self._rest_port}",
        )

    def start(self) -> int:
        """Starts the workers and waits until all of them answer. Returns the port of gRPC. Raises SettingsError."""
        self._thread.start()
        self._operations.watch(self)
        self._settled.wait()
        if problems := [FATAL_EXITS[each.fatal_exit] for each in self._workers if each.fatal_exit]:
            raise SettingsError([f"a worker of the gateway {problems[0]}: see the error above"])
        self._reporter.start()
        self._operations.watch(self._reporter)
        self._operations.ready()
        return self._port

    def is_alive(self) -> bool:
        """Whether the thread runs that looks after the workers."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Reports that the gateway is leaving, and has every worker finish its accepted requests."""
        deadline = Deadline(grace_seconds)
        self._operations.drain()
        leaving = threading.Thread(target=self._reporter.leave, name="leaving", daemon=True)
        leaving.start()
        self._stop_at = Deadline(grace_seconds + STOP_MARGIN_SECONDS)
        self._stopping.set()
        self._thread.join(grace_seconds + STOP_MARGIN_SECONDS + 1.0)
        leaving.join(deadline.left())
        run_within(deadline.left() or STOP_MARGIN_SECONDS, self._log.close)
        self._operations.close()
        for each in self._reservations:
            each.close()

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            for worker in self._workers:
                worker.keep_running()
            self._stopping.wait(LOOK_SECONDS)
        self._end_workers(self._stop_at or Deadline(0))

    def _end_workers(self, deadline: Deadline) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        while deadline.left() and not all(worker.has_ended() for worker in self._workers):
            time.sleep(LOOK_SECONDS)
        for worker in self._workers:
            worker.signal(signal.SIGKILL)

    def _changed(self) -> None:
        if all(worker.is_open for worker in self._workers) or any(worker.fatal_exit for worker in self._workers):
            self._settled.set()
        self._reporter.wake()

    def _routes(self) -> list[telemetry.RouteStatus] | None:
        workers = [worker.routes for worker in self._workers if worker.is_open]
        return merged_routes(workers) if workers else None

    def _pages(self) -> Iterator[str]:
        yield self._own.text()
        deadline = Deadline(SCRAPE_SECONDS)
        for worker in self._workers:
            worker.ask_page()
        for worker in self._workers:
            yield worker.page(deadline.left())


def worker_environ(settings: Settings, environ: Mapping[str, str], port: int, rest_port: int) -> dict[str, str]:
    """The environment of a worker: the gateway's, with its ports, its part of what is limited, and no metrics port."""
    return {
        **environ,
        "HEADGATE_PORT": str(port),
        "HEADGATE_REST_PORT": str(rest_port),
        "HEADGATE_METRICS_PORT": "0",
        "HEADGATE_PREDICTIONS_PER_SECOND": str(settings.predictions_per_second / settings.gateway_workers),
    }


def _reserved(host: str, port: int) -> socket.socket:
    """Holds the port for the workers and takes no connection. Raises CannotListen."""
    holding = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holding.bind((host.strip("[]"), port))
    except OSError as error:
        holding.close()
        raise CannotListen(f"cannot listen on {host}:{port}: does another process use the port?") from error
    return holding
