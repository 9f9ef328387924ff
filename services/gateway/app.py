"""Puts the gateway's parts together.

The follower keeps the routing table up to date with the fold, the server answers from the table, and the reporter
writes telemetry.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from headgate.artifacts.store import ArtifactStore
from headgate.domain.names import model_stream, release_subject, version_name, version_subject
from headgate.lifecycle.artifact_setting import artifact_store
from headgate.lifecycle.authentication_setting import administrators_of, call_check
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.service_parts import ServiceParts
from headgate.runtime.deadline import Deadline, run_within
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.runtime.observability.work_log import unit_of_work
from headgate.runtime.operations import Loop
from headgate.runtime.settings import SettingsError
from headgate.runtime.tls import TlsFiles, TlsUnusable
from headgate.telemetry.clock_watch import ClockWatch
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import facts_pb2 as facts
from services.gateway import readings
from services.gateway.batching import Batching
from services.gateway.callers import Callers
from services.gateway.evidence import EvidenceCounters
from services.gateway.fleet.server import EdgeServer
from services.gateway.follower import Follower
from services.gateway.h2corn_server import IS_INSTALLED, H2cornServer
from services.gateway.inference import Inference
from services.gateway.loading.first_load import loader_at_first_load
from services.gateway.loading.trial import Trials
from services.gateway.memory import bytes_for_versions
from services.gateway.prediction_log.log import PredictionLog, begin_counters
from services.gateway.prediction_log.record import Recording
from services.gateway.prediction_log.sampling import Sampling, models_of, rates_of
from services.gateway.prediction_metrics import PredictionMetrics
from services.gateway.reporter import Reporter, Telemetry
from services.gateway.resident import give_back
from services.gateway.rest.server import RestServer
from services.gateway.routed import Routed
from services.gateway.routing_key import KeyPlaces
from services.gateway.served_access import ServedAccess
from services.gateway.server import InferenceServer
from services.gateway.servicer import InferenceServicer
from services.gateway.sessions import Load, LoadedVersion
from services.gateway.settings import H2CORN, Settings
from services.gateway.workers.link import ParentLink, WorkerTelemetry

logger = logging.getLogger(__name__)

SHARE_OF_CALLS = 0.7
"""Share of the grace for accepted requests. The rest is for the last evidence and for closing the log."""


SHARE_OF_DEVICES = 0.1
"""Share of the grace for files and reports of devices."""


class Gateway:
    """The running gateway.

    Its ports open at once, and health reports NOT_SERVING. It is ready once it has tried to load every version that
    must answer now. One of several workers, which has a `parent`, opens its ports then: they share them, and one that
    is not ready yet must be given no connection.
    """

    def __init__(self, settings: Settings, parent: ParentLink | None = None) -> None:
        self._settings, self._parent = settings, parent
        artifacts = artifact_store(settings)
        self._parts = parts = ServiceParts(GATEWAY, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        self._fold, metrics = parts.fold, parts.metrics
        metrics.gauge("headgate_gateway_info").labels(settings.environment).set(1)
        self._loaded, self._ready, self._draining = threading.Event(), threading.Event(), threading.Event()
        self._evidence = EvidenceCounters()
        self._writer = TelemetryWriter(parts.log, settings.name)
        self._clock_watch = ClockWatch(parts.clock, self._writer, metrics)
        self._trials = Trials()
        workers = settings.gateway_workers if parent else 1
        batches = settings.micro_batching
        load = counting(metrics, loader_at_first_load(artifacts, settings.keys, self._trials, workers, batches))
        self.follower = Follower(
            self._fold,
            settings.environment,
            traced(self._fold, load),
            self._evidence,
            PredictionMetrics(metrics),
            self._changed,
            metrics,
            self._fold.trace_of,
            (settings.model_memory_bytes or bytes_for_versions()) // workers,
            self._routed,
        )
        metrics.read_at_scrape(readings.NAMES, self._readings)
        begin_counters(metrics)
        self._prediction_log = prediction_log(settings, parts)
        inference = Inference(
            table=lambda: self.follower.table,
            is_ready=self._ready.is_set,
            last_poll_at=lambda: self._fold.last_poll_monotonic,
            is_draining=self._draining.is_set,
            why_missing=self.follower.why_missing,
            places=KeyPlaces(settings.routing_header, settings.routing_cookie),
            prediction_log=self._prediction_log,
            loads=self.follower,
            batching=Batching(batches, metrics.histogram("headgate_prediction_batch_requests").labels().observe),
        )
        servicer = InferenceServicer(inference)
        self._access = ServedAccess(parts.fold, settings.environment, administrators_of(settings))
        self._callers = callers = callers_of(settings, parts, self._access)
        host, tls, is_shared = settings.host, parts.tls, parent is not None
        front, port, rest_port = settings.gateway_front, settings.port, settings.rest_port
        self._server = grpc_server(front, inference, servicer, host, port, metrics, tls, callers)
        self._rest = RestServer(inference, self._server.loop, host, rest_port, metrics, tls, is_shared, callers)
        self._edge = self._edge_server(artifacts) if settings.edge_port else None

    def start(self) -> int:
        """Opens the ports, follows the log and reports. Returns the port of gRPC."""
        if self._parent is not None:
            return self._start_as_worker(self._parent)
        port, rest_port = self._open()
        host = self._settings.advertise
        self._begin(self._writer, [self._server], f"{host}:{port}", f"{host}:{rest_port}")
        return port

    def _start_as_worker(self, parent: ParentLink) -> int:
        """Opens the ports once all is loaded. The parent reports in the name of all workers."""
        parent.start(lambda: self._parts.metrics.text().encode())
        self._begin(WorkerTelemetry(self._writer, parent, self._parts.operations.ended), [])
        self._loaded.wait()
        port, _ = self._open()
        self._parts.operations.watch(self._server)
        self._become_ready()
        parent.opened()
        return port

    def _open(self) -> tuple[int, int]:
        port, rest_port = self._server.start(), self._rest.start()
        logger.info("REST is served", extra={"port": rest_port})
        if self._edge is not None:
            edge_port = self._edge.start(self._settings.host, self._settings.edge_port)
            logger.info("devices are served", extra={"port": edge_port})
        return port, rest_port

    def _begin(self, sink: Telemetry, servers: list[Loop], address: str = "", rest_address: str = "") -> None:
        """Begins to follow the log and to report."""
        self._reporter = Reporter(
            sink,
            lambda: self.follower.table.statuses(),
            self._evidence,
            self._settings.environment,
            address,
            rest_address,
        )
        self._parts.start()
        if self._callers is not None:
            self._clock_watch.await_time()  # no token can be compared with a time that is not known
        self.follower.start()
        self._reporter.start()
        self._clock_watch.start()
        loops: list[Loop] = [self.follower, self._reporter, *servers, self._clock_watch]
        if self._prediction_log is not None:
            self._prediction_log.start()
            loops.append(self._prediction_log)
        if self._edge is not None:
            loops.append(self._edge)
        self._parts.watch(*loops)

    def stop(self, grace_seconds: float) -> None:
        """Reports that it is leaving, so that no release waits for it. Then finishes all accepted requests."""
        deadline = Deadline(grace_seconds)
        self._draining.set()
        self._parts.drain()
        self._clock_watch.stop_soon()
        self._server.drain()
        self._rest.drain()
        # In a thread of its own: when the log is unavailable, this must not take time from accepted requests.
        leaving = threading.Thread(target=self._reporter.leave, name="leaving", daemon=True)
        leaving.start()
        if self._edge is not None:
            self._edge.stop(deadline.left(SHARE_OF_DEVICES))
        # First REST, because the event loop of both is the gRPC server's, which answers meanwhile.
        self._rest.stop(deadline.left(SHARE_OF_CALLS / 2))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self.follower.close()
        if self._callers is not None:
            self._callers.close()
        self._trials.close()
        leaving.join(deadline.left())
        run_within(deadline.left(), self._reporter.send_last_evidence)
        if self._prediction_log is not None:
            self._prediction_log.close(deadline.left())
        self._parts.close(deadline)

    def _changed(self) -> None:
        self._reporter.wake()
        if not self._loaded.is_set() and self.follower.loads_finished():
            self._loaded.set()
            if self._parent is None:
                self._become_ready()

    def _become_ready(self) -> None:
        give_back()  # before the first request, so that none waits for code to come back
        self._ready.set()
        self._server.set_ready()
        self._parts.operations.ready()

    def _routed(self, routed: Routed) -> None:
        """The fold has caught up."""
        if self._callers is not None:
            self._access.begin()
        if self._edge is not None:
            self._edge.publish(routed)

    def _edge_server(self, artifacts: ArtifactStore) -> EdgeServer:
        """Raises SettingsError."""
        return EdgeServer(
            self._settings.environment,
            artifacts,
            self._fold,
            self._writer,
            self._server.loop,
            lambda: time.monotonic() - self._fold.last_poll_monotonic,
            self._parts.metrics,
            tls=devices_tls(self._settings, self._parts.tls),
            callers=self._callers,
        )

    def _readings(self) -> Iterator[Reading]:
        return readings.readings(
            self.follower.table, time.monotonic() - self._fold.last_poll_monotonic, self.follower.memory()
        )


def devices_tls(settings: Settings, tls: TlsFiles | None) -> TlsFiles | None:
    """The files of the server for devices, which may need a certificate where callers of predictions need none."""
    if settings.edge_client_ca is None:
        return tls
    if tls is None:
        raise SettingsError(["HEADGATE_EDGE_CLIENT_CA needs HEADGATE_TLS_CERTIFICATE and HEADGATE_TLS_KEY"])
    found = replace(tls, client_ca=settings.edge_client_ca)
    try:
        found.read()
    except TlsUnusable as error:
        raise SettingsError([f"HEADGATE_EDGE_CLIENT_CA: {error}"]) from error
    return found


def callers_of(settings: Settings, parts: ServiceParts, access: ServedAccess) -> Callers | None:
    """Who decides on calls; None where callers need not prove who they are. Raises SettingsError."""
    check = call_check(settings, parts, access)
    return Callers(check, access) if check else None


def grpc_server(
    front: str,
    inference: Inference,
    servicer: InferenceServicer,
    host: str,
    port: int,
    metrics: Metrics,
    tls: TlsFiles | None = None,
    callers: Callers | None = None,
) -> InferenceServer | H2cornServer:
    """The gRPC server that the settings choose; grpcio's where h2corn has no wheel for this machine."""
    if front == H2CORN and IS_INSTALLED:
        return H2cornServer(inference, servicer, host, port, metrics, tls, callers)
    if front == H2CORN:
        logger.warning("h2corn is not installed, so grpcio serves: predictions cost two to three times the CPU time")
    return InferenceServer(servicer, host, port, metrics, tls, callers)


def build(settings: Settings, parent: ParentLink | None = None) -> Gateway:
    """A gateway that has not started yet, or one of its workers."""
    return Gateway(settings, parent)


def prediction_log(settings: Settings, parts: ServiceParts) -> PredictionLog | None:
    """The prediction log; None when no prediction is to be recorded."""
    sampling = Sampling(settings.prediction_rate, rates_of(settings.prediction_rates), settings.predictions_per_second)
    left_out = models_of(settings.prediction_inputs_left_out)
    recording = Recording(settings.name, settings.environment, settings.prediction_content_bytes, left_out)
    if not sampling.is_on:
        return None
    return PredictionLog(parts.log, sampling, recording, parts.metrics, parts.clock.now_ms)


def traced(fold: LifecycleFold, load: Load) -> Load:
    """Makes each load a unit of work. It continues the trace of the version's release, or else that of the version."""

    def loaded(model: str, version: int, artifact: facts.Artifact) -> LoadedVersion:
        stream = model_stream(model)
        with fold.lock:
            state = fold.models.get(model)
            releases = [each.release for each in state.releases.values() if each.candidate == version] if state else []
        for_release = fold.trace_of(stream, release_subject(max(releases, default=0)))
        parent = for_release or fold.trace_of(stream, version_subject(version))
        with unit_of_work("load", version_name(model, version), parent, stream=stream):
            return load(model, version, artifact)

    return loaded


def counting(metrics: Metrics, load: Load) -> Load:
    """Counts the loads that fail."""
    failures = metrics.counter("headgate_version_load_failures_total").labels()

    def counted(model: str, version: int, artifact: facts.Artifact) -> LoadedVersion:
        with failures.count_exceptions():
            return load(model, version, artifact)

    return counted
