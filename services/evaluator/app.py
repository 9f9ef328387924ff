"""Puts the evaluator together; the only place that does."""

from collections.abc import Iterator
from functools import partial

import grpc

from headgate.artifacts.store import open_store
from headgate.log.at_start import await_log
from headgate.log.fold import LifecycleFold
from headgate.log.port import LogUnavailable
from headgate.runtime.clock import now_ms
from headgate.runtime.grpc_server import GrpcServer
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.loop import Issue, Undertake, Worker
from headgate.worker.telemetry import TelemetryReader, TelemetryWriter
from services.evaluator.due import LEASE_MS, Assignment, due
from services.evaluator.score import Artifacts
from services.evaluator.servicer import EvaluatorServicer
from services.evaluator.settings import Settings
from services.evaluator.signs import Signs
from services.evaluator.work import evaluate

CATCH_UP_SECONDS = 60.0
BOOT_LETTERS = 8
SERVICE = worker_services.DESCRIPTOR.services_by_name["EvaluatorService"].full_name


class Evaluator:
    """The running service: a fold, the loop that works it off, and the door."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name
        self._log = await_log(settings.log, settings.log_wait_seconds)
        self._artifacts = Artifacts(open_store(settings.artifacts), settings.keys)
        self._fold = LifecycleFold(self._log)
        self._signs = Signs(now_ms())
        self._voice = TelemetryWriter(self._log, settings.name)
        self._hearing = TelemetryReader(self._log, self._signs.hear)
        self._claimant = f"{settings.name}.{self._voice.boot_id[:BOOT_LETTERS]}"
        self._worker = Worker(self._log, self._fold, self._due, settings.name)
        self._server = GrpcServer(settings.port, [self._register], [SERVICE], host=settings.host)

    def start(self) -> int:
        """Folds the log, begins to work and answers its port once the door is open."""
        self._fold.start()
        self._hearing.start(now_ms() - LEASE_MS)
        if not self._fold.wait_caught_up(CATCH_UP_SECONDS):
            raise LogUnavailable(f"the log was not folded within {CATCH_UP_SECONDS} s")
        self._worker.start()
        return self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Closes the door, lets the evaluation in hand end within the grace, and leaves the log."""
        self._server.stop(grace_seconds)
        self._worker.stop(grace_seconds)
        self._hearing.close()
        self._fold.close()
        self._log.close()

    def _due(self, at_ms: int) -> Iterator[Issue | Undertake]:
        for work in due(self._fold.models, self._signs.life(), self._claimant, at_ms):
            if isinstance(work, Assignment):
                yield Undertake(work.key, partial(evaluate, self._artifacts, self._voice, work))
            else:
                yield Issue(work)

    def _register(self, server: grpc.Server) -> None:
        servicer = EvaluatorServicer(self._fold, self._artifacts)
        worker_services_grpc.add_EvaluatorServiceServicer_to_server(servicer, server)


def build(settings: Settings) -> Evaluator:
    """An evaluator that has not started yet."""
    return Evaluator(settings)
