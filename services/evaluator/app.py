"""Puts the evaluator together; the only place that does."""

import logging
from collections.abc import Iterator
from functools import partial

import grpc

from headgate.domain.names import model_stream, version_subject
from headgate.lifecycle.artifact_setting import artifact_store
from headgate.log.topics import TELEMETRY
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import EVALUATOR
from headgate.telemetry.topic import TelemetryReader
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.isolation import Undecidable
from headgate.worker.leases import Heartbeats
from headgate.worker.loop import DueWork, Issue, Worker
from headgate.worker.parts import WorkerParts
from services.evaluator.due import LEASE_MS, WORK, Assignment, due, is_held
from services.evaluator.measuring import MeasuringProcess, NotHeld
from services.evaluator.service_metrics import EvaluatorMetrics
from services.evaluator.servicer import EvaluatorServicer
from services.evaluator.settings import Settings
from services.evaluator.work import evaluate

logger = logging.getLogger(__name__)

SHARE_OF_WORK = 0.6
"""Of the grace, for the running evaluation. What it does not need is for running calls and for leaving the log."""
SHARE_OF_CALLS = 0.3
BOOT_LETTERS = 8
SERVICE = worker_services.DESCRIPTOR.services_by_name["EvaluatorService"].full_name


class Evaluator:
    """The running service: the loop that finds and does evaluations, and its gRPC server."""

    def __init__(self, settings: Settings) -> None:
        artifact_store(settings)  # refuses a wrong setting before the service waits for anything
        self._measure = MeasuringProcess(
            settings.artifacts, settings.keys, settings.encryption_key, settings.encryption_token
        )
        self._parts = parts = WorkerParts(EVALUATOR, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        self._fold = parts.fold
        self._metrics = EvaluatorMetrics(parts.metrics)
        self._heartbeats = Heartbeats(WORK)
        self._reader = TelemetryReader(
            parts.log, self._heartbeats.observe, parts.metrics, on_gap=self._heartbeats.missed
        )
        self._claimant = f"{settings.name}.{parts.telemetry.boot_id[:BOOT_LETTERS]}"
        self._worker = Worker(
            parts.log, parts.fold, self._due, settings.name, parts.metrics, log_time_ms=parts.clock.now_ms
        )
        parts.watch_lag("evaluator", TELEMETRY, self._reader.positions)
        self._server = parts.serve(self._register, [SERVICE])

    def start(self) -> int:
        """Opens the port, folds the log, and then begins to work; returns the port."""
        port = self._parts.open()
        self._reader.start(self._parts.clock.now_ms() - LEASE_MS)
        self._fold.on_accepted(self._metrics.on_accepted)
        self._worker.start()
        self._parts.ready(self._reader, self._worker)
        return port

    def stop(self, grace_seconds: float) -> None:
        """Gives the running evaluation the grace to end, and leaves the log.

        Another evaluator takes over what does not end in time, after its lease has run out.
        """
        deadline = Deadline(grace_seconds)
        self._parts.drain()
        self._reader.stop_soon()
        self._worker.stop(deadline.left(SHARE_OF_WORK))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._reader.close()
        self._parts.close(deadline)

    def _due(self, at_ms: int) -> Iterator[Issue | DueWork | Undecidable]:
        for work in due(self._fold.models, self._claimant, self._heartbeats.liveness(), at_ms):
            if isinstance(work, Assignment):
                subject = version_subject(work.version.version)
                yield DueWork(work.key, partial(self._evaluate, work), "evaluation", model_stream(work.model), subject)
            elif isinstance(work, Undecidable):
                yield work
            else:
                yield Issue(work)

    def _evaluate(self, assignment: Assignment) -> commands.Command | None:
        with self._metrics.evaluation() as outcome:
            try:
                report = evaluate(self._measure, self._parts.telemetry, assignment, partial(self._is_held, assignment))
            except NotHeld:
                logger.info("evaluation stopped without a report", extra={"evaluation": assignment.key})
                return None
            outcome.set_from(report)
            return report

    def _is_held(self, assignment: Assignment) -> bool:
        with self._fold.lock:
            return is_held(self._fold.models, self._claimant, assignment.claim)

    def _register(self, server: grpc.Server) -> None:
        servicer = EvaluatorServicer(self._fold, self._measure)
        worker_services_grpc.add_EvaluatorServiceServicer_to_server(servicer, server)


def build(settings: Settings) -> Evaluator:
    """An evaluator that has not started yet."""
    return Evaluator(settings)
